"""Short transactions on PostgreSQL, with patience; the only importer of psycopg2.

No connection is held between transactions, so a thousand workers fit a default server, and a
pgbouncer in transaction mode too. Nothing waits for ever: not we for a silent server, and not
others for a lock of ours when we are paused.
"""

import ctypes
import dataclasses
import hashlib
import logging
import random
import re
import select
import threading
import time
from contextlib import suppress
from functools import cache, partial
from importlib import resources

import psycopg2
import psycopg2.extras
from psycopg2 import extensions

from job.errors import Invalid, JobError, NotReady, Unreachable
from job.settings import redact

SCHEMA_VERSION = 3
OLDEST_POSTGRESQL = 120000  # our statements need 11; tried with 15 and 18
# What libpq says itself, always in English here, and what waiting cannot mend. Names in quotes are taken out before.
HOPELESS = re.compile(
    r"^invalid |no password supplied|certificate|private key file|SSL was required|authentication method requirement"
    r"|channel binding required|could not match|definition of service|local user with ID|is too long",
    re.M,
)
# One @, and nothing in user and password that libpq and urllib would cut in different places.
URL = re.compile(
    r"postgresql://(?:(?:[^@/?#%\s]|%[0-9a-fA-F]{2})*@)?(?P<where>(?:[^@?%\s]|%[0-9a-fA-F]{2})*)(?:\?(?:[^@%\s]|%[0-9a-fA-F]{2})*)?"
)
# For connections that wait for an answer. Without the time-out the first of several hosts, switched off, would hide the others.
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 8000}

# libpq's own functions, among what psycopg2's extension is linked with.
LIBPQ = ctypes.CDLL(psycopg2._psycopg.__file__)
LIBPQ.PQsetErrorVerbosity.argtypes = (ctypes.c_void_p, ctypes.c_int)
LIBPQ.PQerrorMessage.argtypes = (ctypes.c_void_p,)
LIBPQ.PQerrorMessage.restype = ctypes.c_char_p
DEFAULT, VERBOSE = 1, 2

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Limits:
    """For how many seconds who may wait for whom."""

    connect_s: float = 10.0  # we for each step of a connection; `connect_timeout` in the URL goes before
    answer_s: float = 30.0  # we for a word of the server, and so a statement by itself for a lock of another
    idle_s: float = 30.0  # the server for our next statement: a paused worker must not keep a task's row locked
    lock_s: float = 15.0  # a transaction for a lock of another


LIMITS = Limits()


class Database:
    """One PostgreSQL database, reached anew for every transaction."""

    def __init__(self, url: str, outage_s: float = 900.0, sleep=time.sleep, limits: Limits = LIMITS):
        """Args:
        url: postgresql://user:password@host:port/database; parameters such as sslmode after a `?`.
        outage_s: how long to try again when the server is away, before `Unreachable`.
        sleep: how to wait; one that raises on a signal lets a worker leave during an outage.

        Raises: Invalid for a URL that libpq cannot read.
        """
        self.url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        if not self.url.startswith("postgresql://"):
            raise Invalid(f"JOB_DATABASE_URL = {redact(url)}: expected postgresql://user:password@host:port/database")
        parts = URL.fullmatch(self.url)
        if not parts:  # the value is not shown: where its password ends is the question
            raise Invalid(
                "JOB_DATABASE_URL: expected postgresql://user:password@host:port/database with one @; write @ / ? # % in user, password and parameters as %40 %2F %3F %23 %25"
            )
        self.where = f"postgresql://{parts['where']}"
        self.outage_s = outage_s
        self._sleep = sleep
        try:
            given = extensions.parse_dsn(self.url)
            self._dsn = extensions.make_dsn(**{"application_name": "job", **KEEPALIVE, **given})
        except psycopg2.ProgrammingError as exc:
            raise Invalid(
                f"JOB_DATABASE_URL for {self.where}: {str(exc).strip()}; expected postgresql://user:password@host:port/database"
            ) from exc
        # psycopg2 leaves this one to the wait callback.
        if (seconds := given.get("connect_timeout", "")).isdigit() and int(seconds):
            limits = dataclasses.replace(limits, connect_s=float(seconds))
        self._connection = partial(_Connection, limits=limits)
        # Local to the transaction: settings of the session do not pass a pgbouncer.
        self._begin = f"begin; set local idle_in_transaction_session_timeout = {limits.idle_s * 1000:.0f}; set local lock_timeout = {limits.lock_s * 1000:.0f}"

    def run(self, work, patience_s: float | None = None):
        """Return `work(cursor)`, run in one transaction, and again while the server is away.

        `work` may run more than once (a lost connection does not tell whether the commit was done),
        so it must be idempotent. Raises: Unreachable, Invalid (some tables are gone, too), NotReady (no tables), JobError.
        """

        def transaction(cursor):
            cursor.execute(self._begin)
            try:
                result = work(cursor)
            except BaseException:
                with suppress(psycopg2.Error):
                    cursor.execute("rollback")
                raise
            cursor.execute("commit")
            return result

        return self._patiently(transaction, patience_s)

    def rows(self, statement: str, patience_s: float | None = None, **values) -> list[dict]:
        """Return all rows of one statement, a transaction by itself; as `run`, it may be done more than once."""

        def alone(cursor):
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

        return self._patiently(alone, patience_s)

    def _patiently(self, work, patience_s: float | None):
        started, delay, looked = time.monotonic(), 0.2, False
        patience_s = self.outage_s if patience_s is None else patience_s
        while True:
            try:
                return self._once(work)
            except psycopg2.errors.UndefinedTable as exc:
                if not self.run(_has_tables, patience_s):
                    raise NotReady(f"the database {self.where} has no tables yet: run `job prepare EXPERIMENT.toml`") from exc
                if looked:
                    raise Invalid(
                        f"the database {self.where} is not whole: {_first(exc)}, but other tables of ours are there; restore a backup, or use an empty database and `job prepare`"
                    ) from exc
                looked = True  # they may have come just now, all in one transaction
                continue
            except psycopg2.Error as exc:
                error = _translate(exc, self.where)
                if not isinstance(error, Unreachable):
                    raise error from exc
                if time.monotonic() - started + delay > patience_s:
                    raise error from exc
                log.warning("%s; trying again for %.0f s", error, patience_s - (time.monotonic() - started))
            self._sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, 15.0)

    def _once(self, work):
        connection = psycopg2.connect(self._dsn, connection_factory=self._connection, cursor_factory=psycopg2.extras.RealDictCursor)
        try:
            connection.autocommit = True  # begin and commit are ours: psycopg2 would send another message for the settings
            with connection.cursor() as cursor:
                return work(cursor)
        finally:
            connection.close()

    def check_schema(self) -> None:
        """Raise `NotReady` without tables and `Invalid` for another version of them."""
        self.check_version(self.rows("select version from job_schema"))

    def check_version(self, rows: list[dict]) -> None:
        """Raise `Invalid` unless the tables are of our version."""
        if not rows or rows[0]["version"] != SCHEMA_VERSION:
            found = rows[0]["version"] if rows else "none"
            raise Invalid(
                f"the tables in {self.where} have schema version {found}, this program expects {SCHEMA_VERSION}: use the version that made them, or an empty database and `job prepare`"
            )

    def create_schema(self) -> None:
        """Create the tables unless they are there; safe for any number at once."""

        def work(cursor):
            if (version := cursor.connection.server_version) < OLDEST_POSTGRESQL:
                raise Invalid(
                    f"{self.where} is PostgreSQL {version // 10000}.{version % 10000}: expected {OLDEST_POSTGRESQL // 10000} or newer; name another server"
                )
            cursor.execute("select pg_advisory_xact_lock(%s)", (lock_number("schema"),))
            if not _has_tables(cursor):
                cursor.execute(_text("schema.sql"))
                cursor.execute("insert into job_schema (version) values (%s)", (SCHEMA_VERSION,))

        self.run(work)
        self.check_schema()


def _has_tables(cursor) -> bool:
    """Tell whether any of our tables is there."""
    cursor.execute("select bool_or(to_regclass(name) is not null) as found from unnest(%s) as name", (_tables(),))
    return cursor.fetchone()["found"]


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


@cache
def _tables() -> list[str]:
    return re.findall(r"^create table (\w+)", _text("schema.sql"), re.M)


def _text(name: str) -> str:
    return resources.files("job").joinpath("sql", name).read_text()


def _translate(exc: psycopg2.Error, where: str) -> JobError:
    """Turn psycopg2's error into ours: what waiting can mend, and what it cannot."""
    text, connecting, first = str(exc).strip(), isinstance(exc, _NoConnection), _first(exc)
    state = exc.state if connecting else exc.pgcode or ""
    if state in ("42501", "3D000") or state.startswith("28"):
        return Invalid(f"the database {where} refused us: {first}; check user, password and grants in JOB_DATABASE_URL")
    if not state and HOPELESS.search(re.sub(r'"[^"]*"', '""', text)):
        return Invalid(f"the database {where} cannot be used: {first}; check JOB_DATABASE_URL")
    if state == "25006":
        return Invalid(f"the database {where} is read-only: {first}; point JOB_DATABASE_URL at the primary")
    # psycopg2 calls some lost connections just DatabaseError.
    lost = not state and (isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError)) or type(exc) is psycopg2.DatabaseError)
    if lost or state[:2] in ("08", "57"):
        return Unreachable(f"the database {where} cannot be reached: {first}")
    if connecting or state == "25P03" or state[:2] in ("40", "53", "55", "58") or isinstance(exc, psycopg2.OperationalError):
        return Unreachable(f"the database {where} cannot serve us now: {first}")
    return JobError(f"the database {where} answered: {first}")


def _first(exc: psycopg2.Error) -> str:
    """Return what the server said first; a connection that ends in the middle has no parts, just its text."""
    return redact(exc.diag.message_primary or re.sub(r"^\S+:  ", "", next(iter(str(exc).strip().splitlines()), type(exc).__name__)))


class _Connection(extensions.connection):
    """A connection that knows how long to wait, from its first moment on."""

    def __init__(self, dsn: str, limits: Limits):
        self.limits = limits
        try:
            super().__init__(dsn)
        except BaseException:
            self.close()  # the error keeps us alive, and a server's DROP DATABASE waits for who is only half logged in
            raise


class _NoConnection(psycopg2.OperationalError):
    """A connection that was not made or given up, with the SQLSTATE that psycopg2 does not give; empty if the server said none."""

    state = ""


def _wait(connection) -> None:
    """Wait for libpq as psycopg2 asks for it, on Optuna's connections too; psycopg2 closes the connection when this raises."""
    limits = getattr(connection, "limits", LIMITS)
    if connection.status != extensions.STATUS_SETUP:
        _poll(connection, limits.answer_s)
        return
    # The words of a refusal may be in any language and any encoding; in a verbose one the SQLSTATE stands before them.
    LIBPQ.PQsetErrorVerbosity(connection.pgconn_ptr, VERBOSE)
    try:
        _poll(connection, limits.connect_s)
    except _NoConnection:
        raise
    except (psycopg2.Error, UnicodeDecodeError) as exc:
        words = LIBPQ.PQerrorMessage(connection.pgconn_ptr).decode(errors="replace") or str(exc)
        states = re.findall(r"^.*?:  ([0-9A-Z]{5}): (.*)", words, re.M)  # one for each host that refused
        error = _NoConnection(states[-1][1] if states else words)
        error.state = states[-1][0] if states else ""
        raise error from None
    LIBPQ.PQsetErrorVerbosity(connection.pgconn_ptr, DEFAULT)


def _poll(connection, seconds: float) -> None:
    """Go on until libpq has what it waits for; raise when nothing has come or gone for so many seconds."""
    while (wanted := connection.poll()) != extensions.POLL_OK:
        waiter = select.poll()  # select.select knows no descriptor above 1023
        waiter.register(connection.fileno(), select.POLLIN if wanted == extensions.POLL_READ else select.POLLOUT)
        if not waiter.poll(seconds * 1000):
            raise _NoConnection(f"no answer for {seconds:g} s")


extensions.set_wait_callback(_wait)


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
