# pyright: strict
"""Where the database is, and what a server must prove before it gets the password."""

import ipaddress
import logging
import os
import re
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import extensions

from job.errors import Invalid, UsageError
from job.settings import redact

# The values of JOB_DATABASE_AUTH.
SCRAM = "scram-sha-256"
ANY = "any"
# The first libpq that has `require_auth`.
REQUIRES_AUTH = 160000
# For connections that wait for an answer. Without the time-out, the first of several hosts would
# hide the others when it is switched off.
KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
}
# One @, and nothing in user and password that libpq and urllib would split in different places.
URL = re.compile(
    r"postgresql://(?:(?:[^@/?#%\s]|%[0-9a-fA-F]{2})*@)?"
    r"(?P<where>(?:[^@?%\s]|%[0-9a-fA-F]{2})*)(?:\?(?:[^@%\s]|%[0-9a-fA-F]{2})*)?"
)
EXPECTED = "expected postgresql://user:password@host:port/database"

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Address:
    """A database's URL, checked. It has no repr, since `url` and `dsn` hold the password.

    Attributes:
        url: postgresql://user:password@host:port/database, with parameters after a `?`.
        where: the URL without user, password and parameters, for logs and errors.
        dsn: the URL with our defaults, as libpq reads it.
        connect_s: `connect_timeout` of the URL, None where it sets none; psycopg2 leaves it to the
            wait callback.
    """

    url: str
    where: str
    dsn: str
    connect_s: float | None


def read_url(url: str, auth: str) -> Address:
    """Return the address in a URL.

    Args:
        url: as in JOB_DATABASE_URL; SQLAlchemy's postgresql+psycopg2:// will do, too.
        auth: how a server on another machine must ask for the password, see `proof`.

    Raises: Invalid for a URL that libpq cannot read; what `proof` raises.
    """
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
    where = _where(url)
    try:
        given = extensions.parse_dsn(url)
        ours: dict[str, Any] = {"application_name": "job", **KEEPALIVE, **proof(given, auth, where)}
        dsn = extensions.make_dsn(**ours | given)
    except psycopg2.ProgrammingError as exc:
        raise Invalid(f"JOB_DATABASE_URL for {where}: {str(exc).strip()}; {EXPECTED}") from exc
    seconds = given.get("connect_timeout", "")
    limited = seconds.isdigit() and int(seconds) > 0
    return Address(url, where, dsn, float(seconds) if limited else None)


def _where(url: str) -> str:
    """Return a URL without user, password and parameters. Raises: Invalid, showing no secret."""
    if not url.startswith("postgresql://"):
        raise Invalid(f"JOB_DATABASE_URL = {redact(url)}: {EXPECTED}")
    parts = URL.fullmatch(url)
    if not parts:  # the value is not shown: it is unclear where its password ends
        raise Invalid(
            f"JOB_DATABASE_URL: {EXPECTED} with one @; write @ / ? # % in user, password and"
            " parameters as %40 %2F %3F %23 %25"
        )
    return f"postgresql://{parts['where']}"


def proof(given: dict[str, str], auth: str, where: str) -> dict[str, str]:
    """Return what libpq requires of a server before it sends the password: SCRAM.

    SCRAM reveals nothing to a stranger in the server's place. Nothing is required of a server on
    this machine, of one whose certificate is verified, and where the URL or the environment names
    a method.

    Args:
        given: the parameters in the URL.
        auth: `scram-sha-256`, or `any` for a site that cannot; from JOB_DATABASE_AUTH.
        where: the database's URL without user, password and parameters.

    Raises: UsageError for another `auth`; Invalid for a libpq that cannot require SCRAM.
    Source: postgresql.org/docs/current/libpq-connect.html, `require_auth`.
    """
    if auth not in (SCRAM, ANY):
        raise UsageError(f"JOB_DATABASE_AUTH = {auth!r}: expected `{SCRAM}` or `{ANY}`")
    if _is_trusted(given):
        return {}
    if auth == ANY:
        log.warning(
            "JOB_DATABASE_AUTH = any: whoever listens in place of the database %s receives its"
            " password",
            where,
        )
        return {}
    if extensions.libpq_version() < REQUIRES_AUTH:
        raise Invalid(
            f"the database {where} is on another machine, and this psycopg2's libpq"
            f" {extensions.libpq_version() // 10000} would send its password in the clear to"
            " whoever asks: install psycopg2-binary 2.9.10 or newer, add `sslmode=verify-full` to"
            " JOB_DATABASE_URL, or set JOB_DATABASE_AUTH=any"
        )
    return {"require_auth": SCRAM}


def _is_trusted(given: dict[str, str]) -> bool:
    """Tell whether the server is local or verified, or a method of authentication is named."""

    def value(name: str) -> str:
        return given.get(name) or os.environ.get(f"PG{name.replace('_', '').upper()}") or ""

    if value("sslmode") == "verify-full" or value("sslrootcert") == "system":
        return True
    if value("require_auth"):
        return True
    hosts = value("hostaddr") or value("host") or ("service" if value("service") else "")
    return all(_is_local(host) for host in hosts.split(","))


def _is_local(host: str) -> bool:
    """Tell whether a host is surely this machine: a socket's folder or a loopback address."""
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
