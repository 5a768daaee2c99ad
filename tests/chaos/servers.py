"""The storm's own PostgreSQL and S3, and what can befall them."""

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
LEASE_S, GRACE_S = float(SETTINGS["JOB_LEASE_S"]), float(SETTINGS["JOB_GRACE_S"])


class Servers:
    """Both servers in one folder, on ports that stay the same."""

    def __init__(self, folder: Path):
        self.postgres, self.s3 = embedded.Postgres(folder), embedded.S3(folder)

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
        """End a server, leave it away for a while, start it again where it was.

        Args:
            how: SIGKILL, or None to stop it as its administrator would.
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
                f"{server.name} came back on other ports: another program took them; run the storm again"
            )

    def cut(self, databases: list[Database], seconds: float) -> int:
        """End every connection that is seen within some seconds; return how many."""
        statement = (  # an autovacuum is not ours to end
            "select count(pg_terminate_backend(pid))::int as cut from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        deadline, cut = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            cut += sum(database.rows(statement)[0]["cut"] for database in databases)
        return cut
