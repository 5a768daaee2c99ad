"""A PostgreSQL server for a site that has none; any node can resume it from its folder."""

import logging
from pathlib import Path
from typing import NoReturn

from job.coordination.address import SCRAM
from job.errors import Invalid
from job.interrupt import INTERRUPT
from job.local.postgres import Postgres
from job.local.server import write_private
from job.settings import describe

# For the connections, then the server; Slurm's KillWait.
STOP_S = 30.0
POLL_S = 1.0

log = logging.getLogger(__name__)


def serve(folder: Path, url_file: Path, host: str, progress_file: str | None) -> NoReturn:
    """Run the server until a signal, and start it again if it dies.

    Args:
        folder: Where its data is.
        url_file: Gets its URL once it answers. It stays when the server ends: whoever reads it
            then waits, as for any database that restarts.
        host: The address of this machine to listen on.
        progress_file: Touched every second while the server runs.

    Raises:
        Interrupted: A signal came.
        NotReady: Another process runs a server in this folder.
        Invalid: The folder, a package or the file for the URL cannot be used.
        JobError: The server does not start.
    """
    INTERRUPT.grace_s = STOP_S
    announced = None
    with Postgres(folder, host) as server:
        while True:
            server.start()
            if server.url != announced:
                announced = server.url
                _write_url(f"{announced}?require_auth={SCRAM}", url_file)
                log.info("%s is up; its URL is in %s", describe(announced), url_file)
            if progress_file:
                Path(progress_file).touch()
            INTERRUPT.sleep(POLL_S)


def _write_url(url: str, file: Path) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, f"{url}\n")
    except OSError as exc:
        raise Invalid(
            f"--url-file {file}: cannot be written ({exc.strerror});"
            " give a file in a folder this user may write"
        ) from exc
