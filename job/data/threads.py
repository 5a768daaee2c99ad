"""Calls that threads make on all cores, a few at a time, for libraries that leave Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from job.interrupt import INTERRUPT

AHEAD = 4  # calls per core that are made or wait
HELD_BYTES = 1 << 28  # that the arguments of these calls hold

T = TypeVar("T")


def on_all_cores(calls: Iterable[tuple[Callable[[], T], int]]) -> Iterator[T]:
    """Yield the results of calls, in order, while threads make the next ones.

    Args:
        calls: each call, and the bytes that it holds until it is made. They are taken from the
            iterator by this thread, a few ahead.

    Raises:
        Interrupted: a signal came.
        Exception: whatever a call raises.
    """
    cores = len(os.sched_getaffinity(0))
    waiting: deque[tuple[Future[T], int]] = deque()
    held = 0
    pool = ThreadPoolExecutor(cores, "worker")
    try:
        for call, size in calls:
            INTERRUPT.check()
            waiting.append((pool.submit(call), size))
            held += size
            while len(waiting) >= AHEAD * cores or held > HELD_BYTES:
                future, size = waiting.popleft()
                held -= size
                yield future.result()
        for future, _ in waiting:
            INTERRUPT.check()
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
