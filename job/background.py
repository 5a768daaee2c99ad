"""Send reports and checkpoints from a thread of its own while training continues."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from job.errors import Interrupted
from job.interrupt import INTERRUPT

POLL_S = 0.05

Item = TypeVar("Item")


class Background(Generic[Item]):
    """Send items one after the other in a thread, however long the other side is away."""

    def __init__(self, send: Callable[[Item], object], newest: bool = False):
        """Set up the sending; the thread starts with the first item.

        Args:
            send: called with one item; returns when it has arrived, raises when it never will.
            newest: a newer item replaces one that still waits.
        """
        self._send = send
        self._newest = newest
        self._items: deque[Item] = deque()
        self._arrived = threading.Condition()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def post(self, item: Item) -> None:
        """Hand an item over, and do not wait for it. Raises: what `check` raises."""
        self.check()
        with self._arrived:
            if self._newest and len(self._items) > 1:
                self._items.pop()
            self._items.append(item)
            self._arrived.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="background", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Raise the error that ended the sending, if one did."""
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        """Wait until everything has arrived, but stop at a signal.

        Raises:
            Interrupted: a signal came, or the grace is nearly over.
            Exception: the error that ended the sending.
        """
        while self._items:
            self.check()
            INTERRUPT.sleep(POLL_S)
        self.check()

    def _run(self) -> None:
        while True:
            with self._arrived:
                while not self._items:
                    self._arrived.wait()
                item = self._items[0]
            try:
                self._send(item)
            except Interrupted:  # the main thread leaves too, and saves by itself
                return
            except BaseException as exc:
                self._error = exc
                return
            with self._arrived:
                self._items.popleft()
