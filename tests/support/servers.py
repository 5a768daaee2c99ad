"""Servers of tests: one without durability, one that is stopped, and an address of this machine."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path

from job.local.embedded import Postgres

MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes: a few databases of 8 MB at a time, and the log


class HastyPostgres(Postgres):
    """A PostgreSQL that loses what it wrote last if the machine stops."""

    def _command(self) -> list:
        settings = ("fsync=off", "full_page_writes=off", "max_wal_size=128MB")
        return [*super()._command(), *chain.from_iterable(("-c", name) for name in settings)]


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Return a folder in memory, or on disk where memory has no room, and remove it at the end.

    A database is 300 files. On some disks, creating files soon after others were deleted is slow:
    ext4 without a journal takes 0.2 s of a processor per database, memory 0.02 s.
    """
    place = MEMORY if _has_room(MEMORY) else None
    with tempfile.TemporaryDirectory(prefix="job-tests-", dir=place) as folder:
        yield Path(folder)


def _has_room(place: Path) -> bool:
    """Return whether we may write to a place, and it has room for the tests' servers."""
    return os.access(place, os.W_OK) and shutil.disk_usage(place).free > ROOM


@contextmanager
def stopped(server: Postgres):
    """Stop postmaster and backends, as on a machine out of memory, and resume them at the end."""
    postmaster = int((server.folder / "pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    backends = [int(pid) for pid in children]
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*reversed(backends), postmaster):
            os.kill(pid, signal.SIGCONT)


def address() -> str:
    """Return an address of this machine that others could reach; nothing is sent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as one:
        one.connect(("192.0.2.1", 9))
        return one.getsockname()[0]
