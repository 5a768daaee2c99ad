# pyright: strict
"""Locks on files that many processes of a node share.

The kernel ends a lock with its process, however that ends, and keeps it while the process is
stopped.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from job.interrupt import INTERRUPT

LOCK_POLL_S = 0.2


def lock_file(path: Path) -> Path:
    """Return the lock file of a path. A writer of the path locks it; its text is the stamp."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def closing(handle: int) -> Generator[int]:
    """Yield an open descriptor and close it."""
    try:
        yield handle
    finally:
        os.close(handle)


def lock(file: int, kind: int) -> None:
    """Lock an open file, waiting for it, but not through a signal.

    Args:
        file: its descriptor.
        kind: `fcntl.LOCK_SH` or `fcntl.LOCK_EX`.

    Raises:
        Interrupted: a signal came.
    """
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            INTERRUPT.check()
            time.sleep(LOCK_POLL_S)


@contextmanager
def try_exclusive(path: Path) -> Generator[bool]:
    """Yield whether no other living process has a lock on a file or folder.

    If so, no process can take one within the block.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def is_same_file(path: Path, file: int) -> bool:
    """Tell whether a path leads to this very open file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def remove_unused(path: Path) -> bool:
    """Remove a file, unless a living process uses it or it is another user's.

    Returns:
        Whether it was removed.
    """
    with suppress(FileNotFoundError, PermissionError), try_exclusive(path) as unused:
        if unused:
            path.unlink()
            return True
    return False
