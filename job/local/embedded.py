"""A PostgreSQL and an S3 server on this machine, without an installation.

They are for `job local` and for tests.
Both come as wheels, keep secrets and data under the folder they are given, and resume from there
at the next start.

- Each runs in a session of its own: Ctrl-C at the terminal reaches the workers, not the servers to
  which they save.
- If SIGKILL ends this process, the servers stay. `clean_up`, or the next start on that folder,
  ends them.
- Other users of this machine cannot read the folders, and no port lets them in.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from job.errors import Invalid, NotReady
from job.local.postgres import Postgres
from job.local.seaweed import S3
from job.local.server import Server

__all__ = ["S3", "Postgres", "attach", "clean_up"]

AServer = TypeVar("AServer", bound=Server)


@contextmanager
def attach(server: AServer) -> Iterator[AServer]:
    """Yield a server that ran before: where it runs now, else started until the block ends.

    Raises: Invalid when it never ran in this folder.
    """
    if not (server.folder / "data").exists():
        raise Invalid(
            f"{server.folder}: there is no {server.what};"
            f" `job local` makes one, or set {server.variable}"
        )
    try:
        server.start()
    except NotReady:
        # Another process runs it.
        server.ports = json.loads((server.folder / "ports").read_text())
    try:
        yield server
    finally:
        server.stop()


def clean_up(folder: Path) -> list[str]:
    """End the servers that an earlier, killed run left in a folder.

    Returns:
        Name and process of each, such as "postgres (process 123)"; empty if nothing was running.

    Raises:
        NotReady: They are not left over: the process that started them is alive.
    """
    ended = [server.clean_up() for server in (Postgres(folder), S3(folder))]
    return [name for name in ended if name]
