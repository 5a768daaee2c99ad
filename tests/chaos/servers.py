"""The storm's own PostgreSQL and S3, and the outages they can have."""

import os
import signal
import time
from pathlib import Path

from job.coordination.database import Database
from job.errors import JobError
from job.local import embedded

SETTINGS = {
    "JOB_LEASE_S": "6",
    "JOB_CHECKPOINT_S": "1",
    "JOB_WAIT_S": "8",
    "JOB_GRACE_S": "10",
    "JOB_OUTAGE_S": "120",
}
LEASE_S = float(SETTINGS["JOB_LEASE_S"])
GRACE_S = float(SETTINGS["JOB_GRACE_S"])


class Servers:
    """Both servers in one folder, on fixed ports."""

    def __init__(self, folder: Path):
        self.postgres = embedded.Postgres(folder)
        self.s3 = embedded.S3(folder)

    def __enter__(self):
        try:
            self.postgres.start()
            self.s3.start()
        except BaseException:
            self.__exit__()
            raise
        for name in [n for n in os.environ if n.startswith(("JOB_", "SLURM_", "AWS_"))]:
            del os.environ[name]
        os.environ.update(self.s3.variables)
        self.environ = dict(os.environ) | SETTINGS
        return self

    def __exit__(self, *exc_info):
        self.s3.stop()
        self.postgres.stop()

    def database(self, name: str) -> str:
        """Create a database and return its URL."""
        import psycopg2

        connection = psycopg2.connect(self.postgres.url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create database {name}")
        connection.close()
        return self.postgres.url.rpartition("/")[0] + f"/{name}"

    def restart(self, server, how: signal.Signals | None, away_s: float) -> None:
        """Stop a server, wait, and start it again on the same ports.

        Args:
            server: PostgreSQL or S3.
            how: SIGKILL, or None for a regular stop.
            away_s: the seconds between its end and its start.
        """
        ports = list(server.ports)
        if how is None:
            server.stop()
        else:
            os.kill(int((server.folder / "pid").read_text().split()[0]), how)
        time.sleep(away_s)
        server.start()
        if server.ports != ports:
            raise JobError(
                f"{server.name} came back on other ports:"
                " another program took them; run the storm again"
            )

    def cut(self, databases: list[Database], seconds: float) -> int:
        """Cut every client connection that is open within some seconds; return how many."""
        # The backend type excludes autovacuum, which must go on.
        statement = (
            "select count(pg_terminate_backend(pid))::int as cut from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend'"
            " and pid <> pg_backend_pid()"
        )
        deadline = time.monotonic() + seconds
        cut = 0
        while time.monotonic() < deadline:
            cut += sum(database.rows(statement)[0]["cut"] for database in databases)
        return cut
