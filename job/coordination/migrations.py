# pyright: strict
"""The numbered migrations of `sql/migrations`: which ones a database needs, and their doing."""

import logging
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from job.coordination.connection import Cursor
from job.coordination.schema import check_reachable
from job.coordination.statements import queries
from job.errors import Invalid

FILE = re.compile(r"(\d{4})_(\w+)\.sql")

SQL = queries("place")

log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Migration:
    """One file: `0004_leaner_indexes.sql` makes version 4 of version 3.

    Its last statement sets the version.
    """

    version: int
    name: str
    sql: str


@cache
def read_migrations() -> list[Migration]:
    """Return all migrations, the oldest first."""
    folder = resources.files("job.coordination").joinpath("sql", "migrations")
    files = [(FILE.fullmatch(file.name), file) for file in folder.iterdir()]
    return sorted(
        Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text())
        for match, file in files
        if match
    )


def pending(cursor: Cursor, where: str) -> list[Migration]:
    """Return the migrations that the tables lack, in order.

    Args:
        cursor: of a transaction that finds our tables.
        where: the database's URL without user, password and parameters.

    Raises: Invalid for tables of a version from which no migration leads here.
    """
    cursor.execute("select version from job_schema")
    version = check_reachable(cursor.fetchall(), where)
    return [migration for migration in read_migrations() if migration.version > version]


def migrate(cursor: Cursor, where: str) -> list[Migration]:
    """Bring the tables to the newest version; return what was applied.

    Args:
        cursor: of the one transaction in which all of it happens; the caller holds the lock.
        where: the database's URL without user, password and parameters.

    Raises: Invalid when no migration leads here, or when the tables are another role's.
    """
    lacking = pending(cursor, where)
    if lacking:
        cursor.execute(SQL["owner"])
        (row,) = cursor.fetchall()
        if not row["ours"]:
            raise Invalid(
                f"the tables in {where} belong to {row['owner']}, who alone can bring them to"
                f" schema version {lacking[-1].version}: run `job migrate` as that role"
            )
    for migration in lacking:
        log.info("the database %s: migration %s", where, migration.name)
        cursor.execute(migration.sql)
    return lacking
