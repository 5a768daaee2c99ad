"""Short transactions on PostgreSQL, with patience; the only importer of psycopg2.

No connection is held between transactions, so a thousand workers fit a default server, and a
pgbouncer in transaction mode too.
"""

import hashlib
import logging
import random
import re
import threading
import time
from functools import cache
from importlib import resources

import psycopg2
import psycopg2.extras

from job.errors import Invalid, JobError, NotReady, Unreachable
from job.settings import describe, redact

SCHEMA_VERSION = 1
CONNECT_TIMEOUT_S = 10
# psycopg2 gives a failed connection no SQLSTATE: only the server's words tell, and they may be translated.
# 28xxx and 3D000 are named in English; any other failure to connect counts as an outage.
REFUSED = re.compile(
    r"password authentication failed|no password supplied|role .* does not exist|database .* does not exist|no pg_hba\.conf entry|not permitted to log in|permission denied for database",
    re.I,
)

log = logging.getLogger(__name__)


class Database:
    """One PostgreSQL database, reached anew for every transaction."""

    def __init__(self, url: str, outage_s: float = 900.0, sleep=time.sleep):
        """Args:
        url: postgresql://user:password@host:port/database; parameters such as sslmode after a `?`.
        outage_s: how long to try again when the server is away, before `Unreachable`.
        sleep: how to wait; one that raises on a signal lets a worker leave during an outage.
        """
        self.url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        if not self.url.startswith("postgresql://"):
            raise Invalid(f"JOB_DATABASE_URL = {redact(url)}: expected postgresql://user:password@host:port/database")
        self.outage_s = outage_s
        self._sleep = sleep

    def run(self, work, patience_s: float | None = None):
        """Return `work(cursor)`, run in one transaction, and again while the server is away.

        `work` may run more than once (a lost connection does not tell whether the commit was done),
        so it must be idempotent. Raises: Unreachable, Invalid, NotReady (no tables), JobError.
        """
        started, delay = time.monotonic(), 0.2
        patience_s = self.outage_s if patience_s is None else patience_s
        while True:
            try:
                return self._once(work)
            except psycopg2.Error as exc:
                error = _translate(exc, self.url)
                if not isinstance(error, Unreachable):
                    raise error from exc
                if time.monotonic() - started + delay > patience_s:
                    raise error from exc
                log.warning("%s; trying again for %.0f s", error, patience_s - (time.monotonic() - started))
            self._sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, 15.0)

    def _once(self, work):
        connection = psycopg2.connect(
            self.url, connect_timeout=CONNECT_TIMEOUT_S, application_name="job", cursor_factory=psycopg2.extras.RealDictCursor
        )
        try:
            with connection, connection.cursor() as cursor:
                return work(cursor)
        finally:
            connection.close()

    def rows(self, statement: str, **values) -> list[dict]:
        """Return all rows of one statement, run in a transaction of its own."""

        def work(cursor):
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

        return self.run(work)

    def check_schema(self) -> None:
        """Raise `NotReady` without tables and `Invalid` for another version of them."""
        rows = self.rows("select version from job_schema")
        if not rows or rows[0]["version"] != SCHEMA_VERSION:
            found = rows[0]["version"] if rows else "none"
            raise Invalid(
                f"the tables in {describe(self.url)} have schema version {found}, this program expects {SCHEMA_VERSION}: use the version that made them, or an empty database and `job prepare`"
            )

    def create_schema(self) -> None:
        """Create the tables unless they are there; safe for any number at once."""

        def work(cursor):
            cursor.execute("select pg_advisory_xact_lock(%s)", (lock_number("schema"),))
            cursor.execute("select to_regclass('job_schema') as found")
            if cursor.fetchone()["found"] is None:
                cursor.execute(_text("schema.sql"))
                cursor.execute("insert into job_schema (version) values (%s)", (SCHEMA_VERSION,))

        self.run(work)
        self.check_schema()


def lock_number(name: str) -> int:
    """Return the advisory lock number of a name (a signed 64-bit number)."""
    return int.from_bytes(hashlib.sha256(f"image-tuning-job {name}".encode()).digest()[:8], "big", signed=True)


def json_value(value):
    """Return `value` as a jsonb parameter."""
    return psycopg2.extras.Json(value)


@cache
def queries(file: str) -> dict[str, str]:
    """Return the statements of `sql/<file>.sql` by the name in their `-- name:` line."""
    parts = re.split(r"^-- name: (\w+).*\n", _text(f"{file}.sql"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _text(name: str) -> str:
    return resources.files("job").joinpath("sql", name).read_text()


def _translate(exc: psycopg2.Error, url: str) -> JobError:
    """Turn psycopg2's error into ours: what waiting can mend, and what it cannot."""
    message, state, where = redact(str(exc)).strip().splitlines(), exc.pgcode or "", describe(url)
    first = message[0] if message else type(exc).__name__
    if state == "42P01":
        return NotReady(f"the database {where} has no tables yet: run `job prepare EXPERIMENT.toml`")
    if state == "42501" or state.startswith("28") or state == "3D000" or (not state and REFUSED.search(str(exc))):
        return Invalid(f"the database {where} refused us: {first}; check user, password and grants in JOB_DATABASE_URL")
    if state == "25006":
        return Invalid(f"the database {where} is read-only: {first}; point JOB_DATABASE_URL at the primary")
    if state[:2] in ("08", "53", "57", "40", "55") or isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        return Unreachable(f"the database {where} cannot be reached: {first}")
    return JobError(f"the database {where} answered: {first}")


class Every:
    """Call something every so many seconds in a thread, until told to stop."""

    def __init__(self, seconds: float, call):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(seconds, call), daemon=True)

    def _run(self, seconds, call):
        while not self._stop.wait(seconds):
            call()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
