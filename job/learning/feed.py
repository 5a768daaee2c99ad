"""The batches of a training or a prediction: a thread gathers the next one meanwhile."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np

from job.learning.interface import proceed

POLL_S = 0.1  # between two checks while a batch is late
LEAVE_S = 0.5  # for the thread to end; one that hangs in a read does not hold up the process

Batch = TypeVar("Batch")


class Feed(Generic[Batch]):
    """The batches of some rows, in order, as an iterator and a block.

    A thread gathers the next batch while the caller uses one, and ends with the block. More ahead
    would need more memory, and two waited as long as one for a cold disk. It gathers from memory,
    too: with small batches no step was slower than without a thread.

    Attributes:
        waited_s: seconds that the caller has waited for batches.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], Batch],
        rows: np.ndarray,
        size: int,
        check: Callable[[], None] = proceed,
    ):
        """Set up the feed.

        Args:
            read: called by the thread with the rows of a batch, int64; returns a copy of them.
            rows: of all batches, int64, in this order.
            size: rows per batch; the last one may have fewer.
            check: called now and then while a batch is late; raises to stop.
        """
        self.waited_s = 0.0
        self._read = read
        self._batches = (rows[start : start + size] for start in range(0, len(rows), size))
        self._check = check
        self._asked: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Batch | BaseException] = queue.SimpleQueue()
        self._is_asked = False  # for a batch that the caller has not received
        self._thread = threading.Thread(target=self._gather, name="feed", daemon=True)

    def __enter__(self) -> "Feed[Batch]":
        self._thread.start()
        self._ask()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._asked.put(None)
        self._thread.join(LEAVE_S)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises:
            Exception: whatever `read` or `check` raises, such as OSError and MemoryError.
        """
        if not self._is_asked:
            raise StopIteration
        began_s = time.perf_counter()
        batch = self._answer()
        self.waited_s += time.perf_counter() - began_s
        self._ask()
        return batch

    def _ask(self) -> None:
        """Let the thread gather one batch more, if there is one."""
        rows = next(self._batches, None)
        if rows is not None:
            self._asked.put(rows)
            self._is_asked = True

    def _answer(self) -> Batch:
        """Wait for the batch that was asked for, and check meanwhile."""
        while True:
            try:
                answer = self._answers.get(timeout=POLL_S)
                break
            except queue.Empty:
                self._check()
        self._is_asked = False
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _gather(self) -> None:
        """Gather what is asked for until the block ends: the thread."""
        while (rows := self._asked.get()) is not None:
            try:
                self._answers.put(self._read(rows))
            except BaseException as exc:
                self._answers.put(exc)
