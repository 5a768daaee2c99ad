"""A connection to PostgreSQL that knows how long to wait, and what its errors mean: what waiting can mend, and what it cannot.

Nothing waits for ever: not we for a silent server, and not others for a lock of ours when we are paused.
"""

import ctypes
import dataclasses
import ipaddress
import logging
import os
import re
import select
from functools import partial

import psycopg2
import psycopg2.extras
from psycopg2 import extensions

from job.errors import Invalid, JobError, Unreachable, UsageError
from job.settings import redact

# What libpq says itself, always in English here, and what waiting cannot mend. Names in quotes are taken out before.
HOPELESS = re.compile(
    r"^invalid |no password supplied|certificate|private key file|SSL was required|channel binding required|could not match|definition of service|local user with ID|is too long",
    re.M,
)
NOT_ASKED = (
    "authentication method requirement"  # libpq's words for a server that does not ask by SCRAM
)
SCRAM, ANY = "scram-sha-256", "any"  # the values of JOB_DATABASE_AUTH
REQUIRES_AUTH = 160000  # the first libpq that has `require_auth`
# SQLSTATEs. Source: postgresql.org/docs/current/errcodes-appendix.html.
PASSING = (
    "25P03",
    "25P04",
    "72000",
    "F0000",
    "XX000",
)  # a transaction that lasted too long, an old snapshot, what an administrator mends
DAMAGED = ("XX001", "XX002")
CHANGED = (
    "42703",
    "42704",
    "42883",
    "42P01",
)  # a column, type, function or table of ours is not there
LIBPQ_VARIABLE = re.compile(r"PG(?!DATA$)[A-Z0-9]+")
# For connections that wait for an answer. Without the time-out the first of several hosts, switched off, would hide the others.
KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}

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

    connect_s: float = (
        10.0  # we for each step of a connection; `connect_timeout` in the URL goes before
    )
    answer_s: float = (
        30.0  # we for a word of the server, and so a statement by itself for a lock of another
    )
    idle_s: float = (
        30.0  # the server for our next statement: a paused worker must not keep a task's row locked
    )
    lock_s: float = 15.0  # a transaction for a lock of another


LIMITS = Limits()


def connect(dsn: str, limits: Limits) -> extensions.connection:
    """Return a connection whose statements are transactions by themselves; its rows are dictionaries."""
    factory = partial(_Connection, limits=limits)
    connection = psycopg2.connect(
        dsn, connection_factory=factory, cursor_factory=psycopg2.extras.RealDictCursor
    )
    connection.autocommit = (
        True  # begin and commit are ours: psycopg2 would send another message for the settings
    )
    return connection


def lend(dsn: str, limits: Limits, first: str) -> extensions.connection:
    """Return a connection for a library that begins and ends transactions itself, and takes rows as tuples.

    Args: first: a statement that each of its transactions begins with: a setting of the session would not pass a pgbouncer.
    """
    connection = psycopg2.connect(
        dsn, connection_factory=partial(_Connection, limits=limits), cursor_factory=_Cursor
    )
    connection.first = first
    return connection


def proof(given: dict[str, str], auth: str, where: str) -> dict[str, str]:
    """Return what libpq shall ask of a server before it tells the password: SCRAM, which tells a stranger in its place nothing.

    Nothing of a server on this machine, of one whose certificate is verified, and where the URL or the environment names a way.

    Args:
        given: the parameters in the URL.
        auth: `scram-sha-256`, or `any` for a site that cannot; from JOB_DATABASE_AUTH.

    Source: postgresql.org/docs/current/libpq-connect.html, `require_auth`.
    """
    if auth not in (SCRAM, ANY):
        raise UsageError(f"JOB_DATABASE_AUTH = {auth!r}: expected `{SCRAM}` or `{ANY}`")

    def said(name: str) -> str:
        return given.get(name) or os.environ.get(f"PG{name.replace('_', '').upper()}") or ""

    verified = said("sslmode") == "verify-full" or said("sslrootcert") == "system"
    hosts = said("hostaddr") or said("host") or ("service" if said("service") else "")
    if verified or said("require_auth") or all(_is_here(host) for host in hosts.split(",")):
        return {}
    if auth == ANY:
        log.warning(
            "JOB_DATABASE_AUTH = any: whoever listens in place of the database %s is told its password",
            where,
        )
        return {}
    if extensions.libpq_version() < REQUIRES_AUTH:
        raise Invalid(
            f"the database {where} is on another machine, and this psycopg2's libpq {extensions.libpq_version() // 10000} would tell its password"
            " in clear to whoever asks: install psycopg2-binary 2.9.10 or newer, add `sslmode=verify-full` to JOB_DATABASE_URL,"
            " or set JOB_DATABASE_AUTH=any"
        )
    return {"require_auth": SCRAM}


def _is_here(host: str) -> bool:
    """Tell whether a host is this machine by itself: a socket's folder, or an address that no network carries."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def translate(exc: psycopg2.Error, where: str) -> JobError:
    """Turn psycopg2's error into ours: what waiting can mend, and what it cannot."""
    text = str(exc).strip()
    connecting = isinstance(exc, _NoConnection)
    first = first_words(exc)
    state = exc.state if connecting else exc.pgcode or ""
    if state in ("42501", "3D000") or state.startswith("28"):
        return Invalid(
            f"the database {where} refused us: {first}; check user, password and grants in JOB_DATABASE_URL{also()}"
        )
    if not state and NOT_ASKED in text:
        return Invalid(
            f"the database {where} was not told the password: {first}; let it ask by scram-sha-256 (`password_encryption`, pg_hba.conf),"
            " add `sslmode=verify-full`, or the way it asks as `require_auth=md5`, to JOB_DATABASE_URL, or set JOB_DATABASE_AUTH=any to"
            f" tell it to any server{also()}"
        )
    if not state and HOPELESS.search(re.sub(r'"[^"]*"', '""', text)):
        return Invalid(
            f"the database {where} cannot be used: {first}; check JOB_DATABASE_URL{also()}"
        )
    if state == "25006":
        return Invalid(
            f"the database {where} is read-only: {first}; point JOB_DATABASE_URL at the primary{also()}"
        )
    if state == "3F000":
        return no_schema(where)
    if state in DAMAGED:
        return Invalid(
            f"the database {where} says that its own files are damaged: {first}; mend it, or restore a backup"
        )
    if state in CHANGED:
        return Invalid(
            f"the database {where} is not as `job prepare` made it: {first}; restore a backup, or use an empty database"
        )
    # psycopg2 calls some lost connections just DatabaseError.
    lost = not state and (
        isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError))
        or type(exc) is psycopg2.DatabaseError
    )
    if lost or state[:2] in ("08", "57"):
        return Unreachable(
            f"the database {where} cannot be reached: {first}{also('; ') if connecting else ''}"
        )
    if (
        connecting
        or state in PASSING
        or state[:2] in ("40", "53", "55", "58")
        or isinstance(exc, psycopg2.OperationalError)
    ):
        return Unreachable(f"the database {where} cannot serve us now: {first}")
    return JobError(f"the database {where} answered: {first}")


def no_schema(where: str, path: str = "") -> Invalid:
    """Return the error of a connection whose search path leads to no schema. Args: path: its search_path, where it is known."""
    return Invalid(
        f"the database {where}: its search_path{f' = {path}' if path else ''} names no schema that exists:"
        f" create the schema, or correct `options=-csearch_path=...` in JOB_DATABASE_URL{also()}"
    )


def also(before: str = ", and ") -> str:
    """Return which variables of libpq's own act on a connection beside its URL, for an error; nothing where none is set.

    Source: postgresql.org/docs/current/libpq-envars.html.
    """
    found = {n: v for n, v in sorted(os.environ.items()) if v and LIBPQ_VARIABLE.fullmatch(n)}
    told = [name if name == "PGPASSWORD" else f"{name} = {value}" for name, value in found.items()]
    return f"{before}{', '.join(told)} in the environment, which libpq reads, too" if told else ""


def first_words(exc: psycopg2.Error) -> str:
    """Return what the server said first; a connection that ends in the middle has no parts, just its text."""
    return redact(
        exc.diag.message_primary
        or re.sub(r"^\S+:  ", "", next(iter(str(exc).strip().splitlines()), type(exc).__name__))
    )


class _Connection(extensions.connection):
    """A connection that knows how long to wait, from its first moment on."""

    def __init__(self, dsn: str, limits: Limits):
        self.limits = limits
        try:
            super().__init__(dsn)
        except BaseException:
            self.close()  # the error keeps us alive, and a server's DROP DATABASE waits for who is only half logged in
            raise


class _Cursor(extensions.cursor):
    """A cursor of a connection that is lent."""

    def execute(self, *statement):
        self._begin()
        super().execute(*statement)

    def executemany(self, *statement):
        self._begin()
        super().executemany(*statement)

    def _begin(self):
        if self.connection.status == extensions.STATUS_READY:
            super().execute(self.connection.first)


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
        states = re.findall(
            r"^.*?:  ([0-9A-Z]{5}): (.*)", words, re.M
        )  # one for each host that refused
        error = _NoConnection(states[-1][1] if states else words)
        error.state = states[-1][0] if states else ""
        raise error from None
    LIBPQ.PQsetErrorVerbosity(connection.pgconn_ptr, DEFAULT)


def _poll(connection, seconds: float) -> None:
    """Go on until libpq has what it waits for; raise when nothing has come or gone for so many seconds."""
    while (wanted := connection.poll()) != extensions.POLL_OK:
        waiter = select.poll()  # select.select knows no descriptor above 1023
        waiter.register(
            connection.fileno(), select.POLLIN if wanted == extensions.POLL_READ else select.POLLOUT
        )
        if not waiter.poll(seconds * 1000):
            raise _NoConnection(f"no answer for {seconds:g} s")


extensions.set_wait_callback(_wait)
