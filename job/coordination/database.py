# pyright: strict
"""Short transactions on PostgreSQL, with patience.

No connection is held between transactions, so a thousand workers fit a default server. They fit a
pgbouncer in transaction mode, too. Only a burst of transactions may share a connection.
"""

import copy
import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors
import psycopg2.extras
from psycopg2 import extensions

from job.coordination import migrations, schema
from job.coordination.address import SCRAM, read_url
from job.coordination.connection import LIMITS, Burst, Cursor, Limits, Row, lend
from job.coordination.migrations import Migration
from job.coordination.place import Place, look, ready
from job.coordination.trouble import first_words, translate
from job.errors import Invalid, NotReady, Unreachable
from job.patience import Delays, Patience, Retry, Sleep, patience_of, warn_with

DELAYS = Delays(first_s=0.2)
# The longest silence of the server while it changes tables: an index of a hundred million rows.
MIGRATION_S = 3600.0

T = TypeVar("T")
Work = Callable[[Cursor], T]

log = logging.getLogger(__name__)


class Database:
    """One PostgreSQL database, reached by a new connection for every transaction."""

    def __init__(
        self,
        url: str,
        outage_s: float | Patience = 900.0,
        sleep: Sleep = time.sleep,
        limits: Limits = LIMITS,
        auth: str = SCRAM,
    ):
        """Args:
        url: postgresql://user:password@host:port/database; parameters such as sslmode after a `?`.
        outage_s: how long to retry while the server is away, before `Unreachable`: seconds, or a
            patience that may grow.
        sleep: how to wait; one that raises on a signal lets a worker leave during an outage.
        limits: how long to wait for each answer.
        auth: how a server on another machine must ask for the password, see `proof`.

        Raises: Invalid for a URL that libpq cannot read.
        """
        address = read_url(url, auth)
        self.url = address.url
        self.where = address.where
        self._patience = patience_of(outage_s)
        self._sleep = sleep
        self._dsn = address.dsn
        if address.connect_s is not None:
            limits = dataclasses.replace(limits, connect_s=address.connect_s)
        self._limits = limits
        self._burst = Burst()
        # None: not known yet, or nothing is prepared yet.
        self._place: Place | None = None
        # Local to the transaction: settings of the session do not pass a pgbouncer.
        self._begin = (
            f"begin; set local idle_in_transaction_session_timeout = {limits.idle_s * 1000:.0f};"
            f" set local lock_timeout = {limits.lock_s * 1000:.0f}"
        )

    def within(self, answer_s: float) -> "Database":
        """Return the same database, for a caller that needs an answer in time.

        Args: answer_s: the longest silence of the server before a try ends, in seconds.
        """
        limits = self._limits
        hasty = copy.copy(self)
        hasty._limits = dataclasses.replace(
            limits,
            connect_s=min(limits.connect_s, answer_s),
            answer_s=min(limits.answer_s, answer_s),
        )
        return hasty

    def with_patience(self, outage_s: float | Patience) -> "Database":
        """Return the same database, for a caller that waits longer or less long."""
        other = copy.copy(self)
        other._patience = patience_of(outage_s)
        return other

    def transaction(self, work: Work[T], patience_s: float | None = None) -> T:
        """Return `work(cursor)`, run in one transaction, and again while the server is away.

        Args:
            work: must be idempotent. It may run more than once, because a lost connection does
                not tell whether the commit was done. What it raises rolls the transaction back.
            patience_s: how long to retry; by default as long as any transaction.

        Raises: Unreachable; Invalid, also when some tables are missing; NotReady without tables;
            JobError.
        """

        def framed(cursor: Cursor) -> T:
            cursor.execute(f"{self._begin}; {self._here(cursor)}")
            try:
                result = work(cursor)
            except BaseException:
                with suppress(psycopg2.Error):
                    cursor.execute("rollback")
                raise
            cursor.execute("commit")
            return result

        return self._patiently(framed, patience_s)

    def rows(
        self, statement: str, patience_s: float | None = None, **values: Any
    ) -> list[dict[str, Any]]:
        """Return all rows of one statement, a transaction by itself.

        As in `transaction`, it may be executed more than once.
        """

        def single(cursor: Cursor) -> list[dict[str, Any]]:
            # One message, and so one transaction: a pgbouncer may give the next one another
            # session.
            cursor.execute(f"{self._here(cursor).replace('%', '%%')}; {statement}", values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

        return self._patiently(single, patience_s)

    def _patiently(self, work: Work[T], patience_s: float | None) -> T:
        """Return `work(cursor)`, retried while the server is away."""
        patience_s = self._patience.seconds if patience_s is None else patience_s
        retry = Retry(DELAYS, patience_s, self._sleep, warn_with(log))
        looked = False
        while True:
            try:
                return retry.call(lambda: self._once(work), Unreachable)
            except psycopg2.errors.UndefinedTable as exc:
                self._check_tables(exc, patience_s, looked)
                # They may have come just now, all in one transaction.
                looked = True

    def _check_tables(self, exc: psycopg2.Error, patience_s: float, looked: bool) -> None:
        """Raise for a table that is missing, unless it may be there by now.

        Args: looked: a look just before this one found tables.
        """
        self._place = None  # the tables may be elsewhere by now
        if not self.transaction(schema.has_tables, patience_s):
            raise NotReady(
                f"the database {self.where} has no tables yet:"
                f" run `job prepare EXPERIMENT.toml`{self._aside()}"
            ) from exc
        if looked:
            raise Invalid(
                f"the database {self.where} is incomplete: {first_words(exc)}, but other tables of"
                " ours are there; restore a backup, or use an empty database and `job prepare`"
            ) from exc

    def burst(self) -> AbstractContextManager[None]:
        """Return a block that keeps this thread's connection open.

        It is for a burst of transactions, with nothing between them that takes long.
        """
        return self._burst.keep()

    def lend(self) -> extensions.connection:
        """Return a new connection for a library that manages transactions itself.

        Each of its transactions begins in the place of our tables.
        """
        known = self._place is not None and self._place.prepared
        first = self._here(None) if known else self._patiently(self._here, None)
        return lend(self._dsn, self._limits, first)

    def _here(self, cursor: Cursor | None) -> str:
        """Return the statement that leads a transaction to our tables.

        Args: cursor: to look for them with, until they are there; needed unless they are known.
        """
        place = self._place
        if place is None or not place.prepared:
            if cursor is None:
                raise ValueError("our tables are not known yet: expected a cursor")
            place = self._place = look(cursor, self.where)
        return f"set local search_path = {place.path}"

    def _known_place(self) -> Place:
        """Return where our tables are, within a transaction, which has looked."""
        if self._place is None:
            raise ValueError("our tables are not known yet: expected a transaction")
        return self._place

    def _aside(self) -> str:
        """Return, for an error, which tables were not taken for ours."""
        if not (self._place and self._place.strangers):
            return ""
        return (
            f" ({self._place.strangers}, a stranger to our role: if it is ours,"
            " add `options=-csearch_path%3D...` to JOB_DATABASE_URL)"
        )

    def _once(self, work: Work[T]) -> T:
        """Return `work(cursor)` on the connection of a burst, or on a new one.

        Raises: our error for one of psycopg2, except for a missing table.
        """
        try:
            with (
                self._burst.connected(self._dsn, self._limits) as connection,
                connection.cursor(cursor_factory=Cursor) as cursor,
            ):
                return work(cursor)
        except psycopg2.errors.UndefinedTable:
            raise
        except psycopg2.Error as exc:
            raise translate(exc, self.where) from exc

    def check_schema(self) -> None:
        """Raise `NotReady` without tables, and `Invalid` for another version of them."""
        self.check_version(self.rows("select version from job_schema"))

    def check_version(self, rows: Sequence[Row]) -> None:
        """Raise `Invalid` unless the tables are of our version."""
        schema.check_version(rows, self.where)

    def create_schema(self) -> None:
        """Create the tables unless they are there; migrate those of an older version.

        Any number of processes may do so at once.
        Raises: Invalid for a server that is too old, a place that is not ours alone, or tables of
            a version that cannot be migrated.
        """

        def work(cursor: Cursor) -> None:
            schema.check_server(cursor, self.where)
            lock_work(cursor, "schema")
            place = self._known_place()
            ready(cursor, place, self.where)
            if not schema.has_tables(cursor):
                schema.make(cursor, place, self.where)

        self.transaction(work)
        self.migrate()
        self.check_schema()

    def migrate(self, dry_run: bool = False) -> list[Migration]:
        """Bring the tables to the newest version, in one transaction; return what was applied.

        Any number of processes may do so at once.

        Args: dry_run: change nothing, and return what would be applied.
        Raises: NotReady without tables; Invalid for tables of a version that cannot be migrated, or
            of another role.
        """
        lacking = self.transaction(lambda cursor: migrations.pending(cursor, self.where))
        if dry_run or not lacking:
            return lacking

        def work(cursor: Cursor) -> list[Migration]:
            lock_work(cursor, "schema")
            ready(cursor, self._known_place(), self.where)
            return migrations.migrate(cursor, self.where)

        return self._slow().transaction(work)

    def _slow(self) -> "Database":
        """Return the same database, for a statement that may take long, such as a new index."""
        slow = copy.copy(self)
        slow._limits = dataclasses.replace(self._limits, answer_s=MIGRATION_S)
        return slow

    def may_prepare(self) -> None:
        """Raise `Invalid` where `create_schema` would be refused."""
        self.transaction(lambda cursor: ready(cursor, self._known_place(), self.where))


def lock_work(cursor: Cursor, name: str) -> None:
    """Make this the only transaction at a kind of work, from here on.

    Raises: Unreachable, to be retried, when another is at it; one that waits holds no connection.
    """
    digest = hashlib.sha256(f"image-tuning-job {name}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    cursor.execute("select pg_try_advisory_xact_lock(%s::bigint) as mine", (number,))
    (row,) = cursor.fetchall()
    if not row["mine"]:
        raise Unreachable("another `job prepare` or `job drop` is running")


def json_value(value: Any) -> psycopg2.extras.Json:
    """Return `value` as a jsonb parameter."""
    return psycopg2.extras.Json(value)
