# pyright: strict
"""A connection to PostgreSQL that limits every wait.

No wait is endless: we do not wait forever for a silent server, and other transactions do not wait
forever for a lock of ours while we are paused.
"""

import ctypes
import dataclasses
import re
import select
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg2
import psycopg2.extras
from psycopg2 import _psycopg, extensions  # pyright: ignore[reportPrivateUsage]: for its file

from job.coordination.trouble import NoConnection

# libpq's own functions, among those that psycopg2's extension is linked with.
LIBPQ = ctypes.CDLL(_psycopg.__file__)
LIBPQ.PQsetErrorVerbosity.argtypes = (ctypes.c_void_p, ctypes.c_int)
LIBPQ.PQerrorMessage.argtypes = (ctypes.c_void_p,)
LIBPQ.PQerrorMessage.restype = ctypes.c_char_p
# The values of PQsetErrorVerbosity.
DEFAULT = 1
VERBOSE = 2

# Of our own connections: rows are dictionaries.
Cursor = psycopg2.extras.RealDictCursor
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """The seconds that one side may wait for the other.

    Attributes:
        connect_s: we, for each step of a connection; `connect_timeout` in the URL takes precedence.
        answer_s: we, for a word of the server, and so a single statement for another's lock.
        idle_s: the server, for our next statement; a paused worker must not keep a row locked.
        lock_s: a transaction, for another's lock.
    """

    connect_s: float = 10.0
    answer_s: float = 30.0
    idle_s: float = 30.0
    lock_s: float = 15.0


LIMITS = Limits()


def connect(dsn: str, limits: Limits) -> extensions.connection:
    """Return a connection on which each statement is a transaction; its rows are dictionaries."""
    factory = partial(_Connection, limits=limits)
    connection = psycopg2.connect(dsn, connection_factory=factory, cursor_factory=Cursor)
    # Begin and commit are ours: psycopg2 would send another message for the settings.
    connection.autocommit = True
    return connection


def lend(dsn: str, limits: Limits, first: str) -> extensions.connection:
    """Return a connection for a library that manages transactions itself and reads rows as tuples.

    Args:
        dsn: as libpq reads it.
        limits: how long to wait.
        first: the statement that begins each transaction; a setting of the session would not pass
            a pgbouncer.
    """
    factory = partial(_Connection, limits=limits, first=first)
    return psycopg2.connect(dsn, connection_factory=factory, cursor_factory=_LentCursor)


class _Connection(extensions.connection):
    """A connection that limits its waits from the first moment on."""

    def __init__(self, dsn: str, limits: Limits, first: str = ""):
        self.limits = limits
        self.first = first
        try:
            super().__init__(dsn)
        except BaseException:
            # The error keeps this object alive, and a server's DROP DATABASE waits for a client
            # that is only half logged in.
            self.close()
            raise


class Burst(threading.local):
    """The connection that a thread keeps from one transaction to the next, within `keep` only."""

    on = False
    connection: extensions.connection | None = None

    @contextmanager
    def keep(self) -> Generator[None]:
        """Keep this thread's connection open within the block."""
        if self.on:
            yield
            return
        self.on = True
        try:
            yield
        finally:
            self.on = False
            if self.connection:
                self.connection.close()
            self.connection = None

    @contextmanager
    def connected(self, dsn: str, limits: Limits) -> Generator[extensions.connection]:
        """Yield the connection that is kept, or a new one.

        A connection that failed is not kept: the next one may be better.
        """
        connection = self.connection or connect(dsn, limits)
        self.connection = None
        keep = False
        try:
            yield connection
            keep = self.on and not self.connection
        finally:
            if keep:
                self.connection = connection
            else:
                connection.close()


class _LentCursor(extensions.cursor):
    """A cursor of a connection that is lent."""

    def execute(self, query: Any, vars: Any = None) -> None:
        """Execute a statement, in a transaction that begins with `first`."""
        self._begin()
        super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Execute a statement for each of many values, in such a transaction."""
        self._begin()
        super().executemany(query, vars_list)

    def _begin(self) -> None:
        connection = self.connection
        if not isinstance(connection, _Connection):
            raise TypeError(f"{type(connection).__name__}: expected a connection made by `lend`")
        if connection.status == extensions.STATUS_READY:
            super().execute(connection.first)


def _wait(connection: extensions.connection) -> None:
    """Wait for libpq when psycopg2 asks to, on Optuna's connections too.

    psycopg2 closes the connection when this raises.
    """
    limits = connection.limits if isinstance(connection, _Connection) else LIMITS
    if connection.status != extensions.STATUS_SETUP:
        _poll(connection, limits.answer_s)
        return
    # A refusal may come in any language and encoding; a verbose one has the SQLSTATE before it.
    LIBPQ.PQsetErrorVerbosity(connection.pgconn_ptr, VERBOSE)
    try:
        _poll(connection, limits.connect_s)
    except NoConnection:
        raise
    except (psycopg2.Error, UnicodeDecodeError) as exc:
        words = LIBPQ.PQerrorMessage(connection.pgconn_ptr).decode(errors="replace") or str(exc)
        raise _refusal(words) from None
    LIBPQ.PQsetErrorVerbosity(connection.pgconn_ptr, DEFAULT)


def _refusal(words: str) -> NoConnection:
    """Return the error for libpq's verbose words; of several hosts the last refusal counts."""
    refusals: list[tuple[str, str]] = re.findall(r"^.*?:  ([0-9A-Z]{5}): (.*)", words, re.MULTILINE)
    if not refusals:
        return NoConnection(words)
    state, message = refusals[-1]
    error = NoConnection(message)
    error.state = state
    return error


def _poll(connection: extensions.connection, seconds: float) -> None:
    """Wait until libpq has what it needs.

    Raises: NoConnection when nothing was received or sent for `seconds`.
    """
    while (wanted := connection.poll()) != extensions.POLL_OK:
        event = select.POLLIN if wanted == extensions.POLL_READ else select.POLLOUT
        waiter = select.poll()  # select.select cannot watch a descriptor above 1023
        waiter.register(connection.fileno(), event)
        if not waiter.poll(seconds * 1000):
            raise NoConnection(f"no answer for {seconds:g} s")


extensions.set_wait_callback(_wait)
