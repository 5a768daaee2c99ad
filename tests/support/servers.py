"""Servers of tests: one without durability, one that is stopped, and an address of this machine."""

import os
import signal
import socket
from contextlib import closing, contextmanager
from pathlib import Path

from job.local.embedded import Postgres


class HastyPostgres(Postgres):
    """A PostgreSQL that loses what it wrote last if the machine stops."""

    def _command(self) -> list:
        return [*super()._command(), "-c", "fsync=off", "-c", "full_page_writes=off"]


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
