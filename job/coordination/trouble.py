# pyright: strict
"""What PostgreSQL's errors mean: those that waiting may fix, and the permanent ones."""

import os
import re

import psycopg2
from psycopg2 import Error

from job.errors import Invalid, JobError, Unreachable
from job.settings import redact

# What libpq itself says, always in English here, and what is permanent. Quoted names are removed
# before the search.
PERMANENT = re.compile(
    r"^invalid |no password supplied|certificate|private key file|SSL was required"
    r"|channel binding required|could not match|definition of service|local user with ID"
    r"|is too long",
    re.MULTILINE,
)
# libpq's words for a server that does not ask by SCRAM.
NOT_ASKED = "authentication method requirement"
# SQLSTATEs. Source: postgresql.org/docs/current/errcodes-appendix.html.
# A transaction that lasted too long, an old snapshot, and what an administrator fixes.
PASSING = ("25P03", "25P04", "72000", "F0000", "XX000")
PASSING_CLASSES = ("40", "53", "55", "58")
LOST_CLASSES = ("08", "57")
REFUSED = ("42501", "3D000")
REFUSED_CLASS = "28"
READ_ONLY = "25006"
NO_SCHEMA = "3F000"
DAMAGED = ("XX001", "XX002")
# A column, type, function or table of ours is missing.
CHANGED = ("42703", "42704", "42883", "42P01")
LIBPQ_VARIABLE = re.compile(r"PG(?!DATA$)[A-Z0-9]+")


class NoConnection(psycopg2.OperationalError):
    """A connection that was not made, or that we gave up.

    `state` is the SQLSTATE, which psycopg2 leaves out; it is empty if the server sent none.
    """

    state = ""


def translate(exc: Error, where: str) -> JobError:
    """Return our error for psycopg2's: `Unreachable` for what waiting may fix, else another.

    Args:
        exc: the error of a connection or a statement.
        where: the database's URL without user, password and parameters.
    """
    state = exc.state if isinstance(exc, NoConnection) else exc.pgcode or ""
    connecting = isinstance(exc, NoConnection)
    first = first_words(exc)
    permanent = (
        _permanent_state(state, first, where)
        if state
        else _permanent_words(str(exc).strip(), first, where)
    )
    if permanent:
        return permanent
    # psycopg2 reports some lost connections as a plain DatabaseError.
    lost = not state and (
        isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError))
        or type(exc) is psycopg2.DatabaseError
    )
    if lost or state[:2] in LOST_CLASSES:
        hint = environment("; ") if connecting else ""
        return Unreachable(f"the database {where} cannot be reached: {first}{hint}")
    passing = state in PASSING or state[:2] in PASSING_CLASSES
    if connecting or passing or isinstance(exc, psycopg2.OperationalError):
        return Unreachable(f"the database {where} cannot serve us now: {first}")
    return JobError(f"the database {where} answered: {first}")


def _permanent_state(state: str, first: str, where: str) -> Invalid | None:
    """Return the error for a SQLSTATE that is permanent, None for any other."""
    if state in REFUSED or state.startswith(REFUSED_CLASS):
        return Invalid(
            f"the database {where} refused us: {first};"
            f" check user, password and grants in JOB_DATABASE_URL{environment()}"
        )
    if state == READ_ONLY:
        return Invalid(
            f"the database {where} is read-only: {first};"
            f" point JOB_DATABASE_URL at the primary{environment()}"
        )
    if state == NO_SCHEMA:
        return no_schema(where)
    if state in DAMAGED:
        return Invalid(
            f"the database {where} says that its own files are damaged: {first};"
            " repair it, or restore a backup"
        )
    if state in CHANGED:
        return Invalid(
            f"the database {where} is not as this version of `job` made it: {first};"
            " if a newer one has migrated it, use that; otherwise restore a backup, or use an"
            " empty database"
        )
    return None


def _permanent_words(text: str, first: str, where: str) -> Invalid | None:
    """Return the error for words of libpq's own that are permanent, None for any other."""
    if NOT_ASKED in text:
        return Invalid(
            f"the database {where} was not sent the password: {first}; let it ask by scram-sha-256"
            " (`password_encryption`, pg_hba.conf), add to JOB_DATABASE_URL `sslmode=verify-full`"
            " or the method that it asks by, as in `require_auth=md5`, or set"
            f" JOB_DATABASE_AUTH=any to send it to any server{environment()}"
        )
    if PERMANENT.search(re.sub(r'"[^"]*"', '""', text)):
        return Invalid(
            f"the database {where} cannot be used: {first}; check JOB_DATABASE_URL{environment()}"
        )
    return None


def no_schema(where: str, path: str = "") -> Invalid:
    """Return the error for a search path without an existing schema.

    Args:
        where: the database's URL without user, password and parameters.
        path: the connection's search_path, empty where it is unknown.
    """
    value = f" = {path}" if path else ""
    return Invalid(
        f"the database {where}: its search_path{value} names no schema that exists:"
        " create the schema, or correct `options=-csearch_path=...` in"
        f" JOB_DATABASE_URL{environment()}"
    )


def environment(before: str = ", and ") -> str:
    """Return, for an error, the variables by which libpq changes a connection beside its URL.

    Returns: an empty text where none is set.
    Source: postgresql.org/docs/current/libpq-envars.html.
    """
    values = {n: v for n, v in sorted(os.environ.items()) if v and LIBPQ_VARIABLE.fullmatch(n)}
    named = [name if name == "PGPASSWORD" else f"{name} = {v}" for name, v in values.items()]
    if not named:
        return ""
    return f"{before}{', '.join(named)} in the environment, which libpq also reads"


def first_words(exc: Error) -> str:
    """Return the first line that the server said.

    A connection that ends in the middle has no parts, only its text.
    """
    if exc.diag.message_primary:
        return redact(exc.diag.message_primary)
    lines = str(exc).strip().splitlines()
    return redact(re.sub(r"^\S+:  ", "", lines[0] if lines else type(exc).__name__))
