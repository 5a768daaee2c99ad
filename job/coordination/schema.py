# pyright: strict
"""The tables, functions and indexes that `job prepare` makes, and their version."""

import logging
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from job.coordination.connection import Cursor, Row
from job.coordination.place import OWN, Place
from job.coordination.statements import queries, text
from job.errors import Invalid

SCHEMA_VERSION = 3
# Our statements need 11; tried with 15 and 18.
OLDEST_POSTGRESQL = 120000

SQL = queries("place")

log = logging.getLogger(__name__)


class Index(NamedTuple):
    """An index of schema.sql."""

    name: str
    table: str
    statement: str


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
    version = rows[0]["version"] if rows else "none"
    if version != SCHEMA_VERSION:
        raise Invalid(
            f"the tables in {where} have schema version {version}, but this program expects"
            f" {SCHEMA_VERSION}: use the version that made them, or an empty database and"
            " `job prepare`"
        )


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


def complete(cursor: Cursor, place: Place, where: str) -> None:
    """Bring the tables of an earlier version up to date: their functions and indexes."""
    cursor.execute(SQL["unfixed"], {"schema": place.schema})
    if cursor.fetchone():
        cursor.execute(text("functions"))
    for index in _indexes():
        cursor.execute(SQL["lacks_index"], {"name": index.name, "table": index.table})
        if cursor.fetchone():
            log.info("the database %s gets an index: %s", where, index.name)
            cursor.execute(index.statement)


@cache
def _indexes() -> list[Index]:
    """Return the indexes of schema.sql."""
    matches = re.finditer(r"^create index (\w+) on (\w+) .*;", text("schema"), re.MULTILINE)
    return [Index(m[1], m[2], m[0]) for m in matches]


@cache
def _tables() -> list[str]:
    """Return the names of the tables of schema.sql."""
    return re.findall(r"^create table (\w+)", text("schema"), re.MULTILINE)
