# pyright: strict
"""The tables, functions and indexes that `job prepare` makes, and their version."""

import logging
import re
from collections.abc import Sequence
from functools import cache

from job.coordination.connection import Cursor, Row
from job.coordination.place import OWN, Place
from job.coordination.statements import text
from job.errors import Invalid

# Of schema.sql, and of the last migration.
SCHEMA_VERSION = 4
# The one that the first migration begins with.
OLDEST_VERSION = 3
# Our statements need 11; tried with 15 and 18.
OLDEST_POSTGRESQL = 120000

log = logging.getLogger(__name__)


def check_server(cursor: Cursor, where: str) -> None:
    """Raise `Invalid` for a PostgreSQL that is too old for the statements."""
    version = cursor.connection.server_version
    if version < OLDEST_POSTGRESQL:
        raise Invalid(
            f"{where} is PostgreSQL {version // 10000}.{version % 10000}:"
            f" expected {OLDEST_POSTGRESQL // 10000} or newer; name another server"
        )


def check_version(rows: Sequence[Row], where: str) -> None:
    """Raise `Invalid` unless the tables are of this program's version.

    Args:
        rows: what `job_schema` holds, with `version`.
        where: the database's URL without user, password and parameters.
    """
    version = check_reachable(rows, where)
    if version < SCHEMA_VERSION:
        raise Invalid(
            f"the tables in {where} have schema version {version}, but this program expects"
            f" {SCHEMA_VERSION}: run `job migrate`, or `job prepare` with an experiment's file"
        )


def check_reachable(rows: Sequence[Row], where: str) -> int:
    """Return the version of the tables. Raises: Invalid unless this program can migrate them.

    Args:
        rows: what `job_schema` holds, with `version`.
        where: the database's URL without user, password and parameters.
    """
    if not rows:
        raise Invalid(
            f"the tables in {where} have no schema version: restore a backup, or use an empty"
            " database and `job prepare`"
        )
    version = rows[0]["version"]
    if version > SCHEMA_VERSION:
        raise Invalid(
            f"the tables in {where} have schema version {version}, but this program expects"
            f" {SCHEMA_VERSION}: use the newer version of `job` that migrated them"
        )
    if version < OLDEST_VERSION:
        raise Invalid(
            f"the tables in {where} have schema version {version}, and this program can migrate"
            f" from {OLDEST_VERSION} on: use the version of `job` that made them, or an empty"
            " database and `job prepare`"
        )
    return version


def has_tables(cursor: Cursor) -> bool:
    """Tell whether any of our tables exists on the transaction's search path."""
    cursor.execute(
        "select bool_or(to_regclass(name) is not null) as found from pg_catalog.unnest(%s) as name",
        (_tables(),),
    )
    (row,) = cursor.fetchall()
    return row["found"]


def make(cursor: Cursor, place: Place, where: str) -> None:
    """Create the tables, and the schema `job` unless they belong elsewhere."""
    if place.strangers:
        log.warning(
            "the database %s: %s; our tables are made in the schema %s",
            where,
            place.strangers,
            place.schema,
        )
    if place.schema == OWN:
        cursor.execute(f"create schema if not exists {OWN}")
    path = f"{place.schema}, pg_temp"
    cursor.execute(f"set local search_path = {path}; {text('functions')}; {text('schema')}")
    cursor.execute("insert into job_schema (version) values (%s)", (SCHEMA_VERSION,))


@cache
def _tables() -> list[str]:
    """Return the names of the tables of schema.sql."""
    return re.findall(r"^create table (\w+)", text("schema"), re.MULTILINE)
