"""Wait for a condition, never for a guess of seconds."""

import time
from pathlib import Path


def wait_for(condition, seconds: float = 150) -> None:
    """Poll a condition until a deadline, but spend at most a fifth of the time on polling."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert began < deadline, f"the condition did not hold within {seconds} s"
        time.sleep(max(0.02, 4 * (time.monotonic() - began)))


def a_tick_after(path: Path) -> None:
    """Wait until the clock that dates files has ticked since the last change to a file.

    Two changes within one tick of the kernel's clock have the same date.
    """
    beside = path.with_name(f".{path.name}.tick")
    wait_for(lambda: beside.touch() or beside.stat().st_ctime_ns > path.stat().st_ctime_ns)
    beside.unlink()
