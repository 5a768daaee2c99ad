# pyright: strict
"""Many statements read at one moment, so that no worker's later write contradicts a number."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from job.coordination.connection import Cursor, Row
from job.coordination.database import Database
from job.coordination.statements import queries

SQL = queries("snapshot")

# Returns the rows of a statement, given its name and its values.
Rows = Callable[..., list[Row]]
T = TypeVar("T")


def read(
    database: Database, statements: Mapping[str, str], names: Sequence[str], **values: Any
) -> dict[str, list[Row]]:
    """Return the rows of several statements by name, all of one moment.

    Args:
        database: where to read.
        statements: SQL by name, as `queries` returns it.
        names: which of them.
        values: for all of them.
    """
    return within(database, statements, lambda rows: {name: rows(name, **values) for name in names})


def within(database: Database, statements: Mapping[str, str], look: Callable[[Rows], T]) -> T:
    """Return `look(rows)`, where `rows(name, **values)` reads a statement, all at one moment.

    It is one read-only transaction, and `look` may run more than once, as in `Database.run`.
    """

    def work(cursor: Cursor) -> T:
        def rows(statement: str, /, **values: Any) -> list[Row]:
            cursor.execute(statements[statement], values)
            return [dict(row) for row in cursor.fetchall()]

        cursor.execute(SQL["one_moment"])
        return look(rows)

    return database.transaction(work)
