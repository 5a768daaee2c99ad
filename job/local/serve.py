"""A PostgreSQL of one's own, where a site has none: its data in a folder any node can go on with."""

import logging
from pathlib import Path

from job.coordination.connection import SCRAM
from job.errors import Invalid
from job.interrupt import INTERRUPT
from job.local.embedded import Postgres
from job.local.server import write_private
from job.settings import describe

STOP_S = 30.0  # for the connections, then the server; Slurm's KillWait
LOOK_S = 1.0

log = logging.getLogger(__name__)


def serve(folder: Path, url_file: Path, host: str, progress_file: str | None) -> None:
    """Run the server until a signal, and again if it dies; tell its URL in a file once it answers.

    The file stays when the server leaves: who reads it then waits for it, as for any database that is restarted.
    Raises: Interrupted at a signal; NotReady while another process runs one in this folder; Invalid; JobError.
    """
    INTERRUPT.grace_s = STOP_S
    told = None
    with Postgres(folder, host) as server:
        while True:
            server.start()
            if server.url != told:
                told = server.url
                _tell(f"{told}?require_auth={SCRAM}", url_file)
                log.info("%s is up; its URL is in %s", describe(told), url_file)
            if progress_file:
                Path(progress_file).touch()
            INTERRUPT.sleep(LOOK_S)


def _tell(url: str, file: Path) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, f"{url}\n")
    except OSError as exc:
        raise Invalid(
            f"--url-file {file}: cannot be written ({exc.strerror}); give a file in a folder this user may write"
        ) from exc
