"""Short transactions on PostgreSQL, with patience.

No connection is held between transactions, so a thousand workers fit a default server, and a
pgbouncer in transaction mode too: just a burst of them may share one.
"""

import copy
import dataclasses
import hashlib
import logging
import random
import re
import threading
import time
from contextlib import contextmanager, suppress
from functools import cache

import psycopg2
import psycopg2.extras
from psycopg2 import extensions

from job.coordination.connection import (
    KEEPALIVE,
    LIMITS,
    SCRAM,
    Limits,
    connect,
    first_words,
    lend,
    proof,
    translate,
)
from job.coordination.place import OWN, Place, look, ready
from job.coordination.statements import queries, text
from job.errors import Invalid, NotReady, Unreachable
from job.settings import redact

SCHEMA_VERSION = 3
OLDEST_POSTGRESQL = 120000  # our statements need 11; tried with 15 and 18
# An index that is not there, on a table that is ours to index: who may only write goes on without it, slower.
# One @, and nothing in user and password that libpq and urllib would cut in different places.
URL = re.compile(
    r"postgresql://(?:(?:[^@/?#%\s]|%[0-9a-fA-F]{2})*@)?(?P<where>(?:[^@?%\s]|%[0-9a-fA-F]{2})*)(?:\?(?:[^@%\s]|%[0-9a-fA-F]{2})*)?"
)

PLACE = queries("place")

log = logging.getLogger(__name__)


class Database:
    """One PostgreSQL database, reached anew for every transaction."""

    def __init__(
        self,
        url: str,
        outage_s: float = 900.0,
        sleep=time.sleep,
        limits: Limits = LIMITS,
        auth: str = SCRAM,
    ):
        """Args:
        url: postgresql://user:password@host:port/database; parameters such as sslmode after a `?`.
        outage_s: how long to try again when the server is away, before `Unreachable`.
        sleep: how to wait; one that raises on a signal lets a worker leave during an outage.
        auth: how a server on another machine must ask for the password, see `proof`.

        Raises: Invalid for a URL that libpq cannot read.
        """
        self.url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        if not self.url.startswith("postgresql://"):
            raise Invalid(
                f"JOB_DATABASE_URL = {redact(url)}: expected postgresql://user:password@host:port/database"
            )
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
            self._dsn = extensions.make_dsn(
                **{
                    "application_name": "job",
                    **KEEPALIVE,
                    **proof(given, auth, self.where),
                    **given,
                }
            )
        except psycopg2.ProgrammingError as exc:
            raise Invalid(
                f"JOB_DATABASE_URL for {self.where}: {str(exc).strip()}; expected postgresql://user:password@host:port/database"
            ) from exc
        # psycopg2 leaves this one to the wait callback.
        if (seconds := given.get("connect_timeout", "")).isdigit() and int(seconds):
            limits = dataclasses.replace(limits, connect_s=float(seconds))
        self._limits, self._burst = limits, _Burst()
        self._place: Place | None = None  # not known yet, or nothing is prepared yet
        # Local to the transaction: settings of the session do not pass a pgbouncer.
        self._begin = f"begin; set local idle_in_transaction_session_timeout = {limits.idle_s * 1000:.0f}; set local lock_timeout = {limits.lock_s * 1000:.0f}"

    def within(self, answer_s: float) -> "Database":
        """Return the same database, whose silence is borne for so many seconds at most: for who must be heard in time."""
        limits = self._limits
        hasty = copy.copy(self)
        hasty._limits = dataclasses.replace(
            limits,
            connect_s=min(limits.connect_s, answer_s),
            answer_s=min(limits.answer_s, answer_s),
        )
        return hasty

    def run(self, work, patience_s: float | None = None):
        """Return `work(cursor)`, run in one transaction, and again while the server is away.

        `work` may run more than once (a lost connection does not tell whether the commit was done),
        so it must be idempotent. Raises: Unreachable, Invalid (some tables are gone, too), NotReady (no tables), JobError.
        """

        def transaction(cursor):
            cursor.execute(f"{self._begin}; {self._here(cursor)}")
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

        def single(cursor):
            # One message, and so one transaction: a pgbouncer may give the next one another session.
            cursor.execute(f"{self._here(cursor).replace('%', '%%')}; {statement}", values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

        return self._patiently(single, patience_s)

    def _patiently(self, work, patience_s: float | None):
        started, delay, looked = time.monotonic(), 0.2, False
        patience_s = self.outage_s if patience_s is None else patience_s
        while True:
            try:
                return self._once(work)
            except psycopg2.errors.UndefinedTable as exc:
                self._place = None  # they may be elsewhere by now
                if not self.run(self._has_tables, patience_s):
                    raise NotReady(
                        f"the database {self.where} has no tables yet: run `job prepare EXPERIMENT.toml`{self._aside()}"
                    ) from exc
                if looked:
                    raise Invalid(
                        f"the database {self.where} is not whole: {first_words(exc)}, but other tables of ours are there; restore a backup, or use an empty database and `job prepare`"
                    ) from exc
                looked = True  # they may have come just now, all in one transaction
                continue
            except (psycopg2.Error, Unreachable) as exc:
                error = translate(exc, self.where) if isinstance(exc, psycopg2.Error) else exc
                if not isinstance(error, Unreachable):
                    raise error from exc
                if time.monotonic() - started + delay > patience_s:
                    raise error from exc
                log.warning(
                    "%s; trying again for %.0f s", error, patience_s - (time.monotonic() - started)
                )
            self._sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, 15.0)

    @contextmanager
    def kept(self):
        """Keep this thread's connection open for what is asked inside: a burst, with nothing between that takes long."""
        if self._burst.on:
            yield
            return
        self._burst.on = True
        try:
            yield
        finally:
            self._burst.on = False
            if self._burst.connection:
                self._burst.connection.close()
            self._burst.connection = None

    def lent(self) -> extensions.connection:
        """Return a new connection for a library with transactions of its own: each begins in the place of our tables."""
        known = self._place is not None and self._place.prepared
        return lend(
            self._dsn,
            self._limits,
            self._here(None) if known else self._patiently(self._here, None),
        )

    def _here(self, cursor) -> str:
        """Return the statement that leads a transaction to our tables; look for them until they are there."""
        place = self._place
        if place is None or not place.prepared:
            place = self._place = look(cursor, self.where)
        return f"set local search_path = {place.path}"

    def _aside(self) -> str:
        """Return, for an error, which tables were not taken for ours."""
        if not (self._place and self._place.strangers):
            return ""
        return f" ({self._place.strangers}, a stranger to our role: if it is ours, add `options=-csearch_path%3D...` to JOB_DATABASE_URL)"

    def _once(self, work):
        connection, self._burst.connection = (
            self._burst.connection or connect(self._dsn, self._limits),
            None,
        )
        keep = False
        try:
            with connection.cursor() as cursor:
                result = work(cursor)
            keep = self._burst.on and not self._burst.connection
            return result
        finally:  # what failed is not kept: the next one may be better
            if keep:
                self._burst.connection = connection
            else:
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
        """Create the tables unless they are there, and the indexes that older ones lack; safe for any number at once."""

        def work(cursor):
            if (version := cursor.connection.server_version) < OLDEST_POSTGRESQL:
                raise Invalid(
                    f"{self.where} is PostgreSQL {version // 10000}.{version % 10000}: expected {OLDEST_POSTGRESQL // 10000} or newer; name another server"
                )
            alone(cursor, "schema")
            ready(cursor, self._place, self.where)
            if not self._has_tables(cursor):
                self._make(cursor)
                return
            cursor.execute(PLACE["unfixed"], {"schema": self._place.schema})
            if cursor.fetchone():
                cursor.execute(text("functions"))
            for name, table, statement in _indexes():
                cursor.execute(PLACE["lacks_index"], {"name": name, "table": table})
                if cursor.fetchone():
                    log.info("the database %s gets an index: %s", self.where, name)
                    cursor.execute(statement)

        self.run(work)
        self.check_schema()

    def may_prepare(self) -> None:
        """Raise `Invalid` where `create_schema` would be refused."""
        self.run(lambda cursor: ready(cursor, self._place, self.where))

    def _make(self, cursor) -> None:
        """Make the tables, and the schema `job` unless they go elsewhere."""
        if self._place.strangers:
            log.warning(
                "the database %s: %s; our tables are made in the schema %s",
                self.where,
                self._place.strangers,
                self._place.schema,
            )
        if self._place.schema == OWN:
            cursor.execute(f"create schema if not exists {OWN}")
        cursor.execute(
            f"set local search_path = {self._place.schema}, pg_temp; {text('functions')}; {text('schema')}"
        )
        cursor.execute("insert into job_schema (version) values (%s)", (SCHEMA_VERSION,))

    def _has_tables(self, cursor) -> bool:
        """Tell whether any of our tables is there."""
        cursor.execute(
            "select bool_or(to_regclass(name) is not null) as found from pg_catalog.unnest(%s) as name",
            (_tables(),),
        )
        return cursor.fetchone()["found"]


class _Burst(threading.local):
    """What a thread keeps of its connection."""

    on = False
    connection = None


def alone(cursor, name: str) -> None:
    """Be the only transaction at this work from here on. Raises: Unreachable, to be tried again, when another is: who waits holds no connection."""
    number = int.from_bytes(
        hashlib.sha256(f"image-tuning-job {name}".encode()).digest()[:8], "big", signed=True
    )
    cursor.execute("select pg_try_advisory_xact_lock(%s::bigint) as mine", (number,))
    if not cursor.fetchone()["mine"]:
        raise Unreachable("another `job prepare` or `job drop` is at work")


def json_value(value):
    """Return `value` as a jsonb parameter."""
    return psycopg2.extras.Json(value)


@cache
def _indexes() -> list[tuple[str, str, str]]:
    """Return name, table and statement of each index."""
    return [
        (m[1], m[2], m[0])
        for m in re.finditer(r"^create index (\w+) on (\w+) .*;", text("schema"), re.M)
    ]


@cache
def _tables() -> list[str]:
    return re.findall(r"^create table (\w+)", text("schema"), re.M)


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
