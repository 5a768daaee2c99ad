"""Calls that threads make on all cores, a few at a time, for libraries that leave Python's lock."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from job.interrupt import INTERRUPT

AHEAD = 4  # calls per core that are made or wait
HELD_BYTES = 1 << 28  # that the arguments of these calls hold
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")  # quota and period in microseconds, as a container sees it

T = TypeVar("T")


def cores() -> int:
    """Return how many cores this process may use: of its affinity, and of its control group."""
    usable = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):  # no such file, or "max"
        quota, period = CPU_MAX.read_text().split()
        usable = min(usable, math.ceil(int(quota) / int(period)))
    return max(usable, 1)


def on_all_cores(calls: Iterable[tuple[Callable[[], T], int]]) -> Iterator[T]:
    """Yield the results of calls, in order, while threads make the next ones.

    Args:
        calls: each call, and the bytes that it holds until it is made. They are taken from the
            iterator by this thread, a few ahead.

    Raises:
        Interrupted: a signal came.
        Exception: whatever a call raises.
    """
    threads = cores()
    waiting: deque[tuple[Future[T], int]] = deque()
    held = 0
    pool = ThreadPoolExecutor(threads, "worker")
    try:
        for call, size in calls:
            INTERRUPT.check()
            waiting.append((pool.submit(call), size))
            held += size
            while len(waiting) >= AHEAD * threads or held > HELD_BYTES:
                future, size = waiting.popleft()
                held -= size
                yield future.result()
        for future, _ in waiting:
            INTERRUPT.check()
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
