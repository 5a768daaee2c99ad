"""Processes of earlier runs: which one has a number now, and how to end it."""

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Signals, each with the seconds to wait for its effect before the next one.
Endings = Sequence[tuple[signal.Signals, float]]


def birth_of(pid: int) -> str | None:
    """Return the start time of a process; None if it runs no more.

    The start time (proc(5), field 22) tells it from a later process with the same number. A killed
    process runs, and holds its sockets, until the last of its threads (field 20) has left.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" and int(fields[17]) <= 1 else fields[19]


def end_process(pid: int, birth: str, endings: Endings) -> bool:
    """Send signals to a process, each if the one before had no effect in time.

    Args:
        pid: The number of the process.
        birth: What `birth_of` returned for it; any other process with its number is left alone.
        endings: The signals, each with the seconds to wait for its effect.

    Returns: Whether the process was running.
    """
    was_running = birth_of(pid) == birth
    for number, wait_s in endings:
        deadline = time.monotonic() + wait_s
        with suppress(ProcessLookupError):
            if birth_of(pid) == birth:
                os.kill(pid, number)
        while birth_of(pid) == birth and time.monotonic() < deadline:
            time.sleep(0.02)
    return was_running
