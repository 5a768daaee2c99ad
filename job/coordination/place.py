# pyright: strict
"""Where our tables are: in the schema `job`, or where a user or an earlier version put them.

Others may create functions, operators and tables in a shared schema such as `public`, and
PostgreSQL prefers theirs where they match better. So every transaction of ours begins by setting
its search path to the one schema that is ours.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from job.coordination.connection import Cursor, Row
from job.coordination.statements import queries
from job.coordination.trouble import no_schema
from job.errors import Invalid

SQL = queries("place")
OWN = "job"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A schema.

    Attributes:
        schema: its name, as SQL writes it.
        prepared: whether our tables are in it.
        strangers: the tables that were skipped, with their owners: neither our role nor the
            database's owner. Empty where there are none.
    """

    schema: str
    prepared: bool
    strangers: str = ""

    @property
    def path(self) -> str:
        """The search path.

        Temporary tables come last. They are left out where the schema may not exist, since
        `create table` would make temporary ones there.
        """
        return f"{self.schema}, pg_temp" if self.prepared else self.schema


def look(cursor: Cursor, where: str) -> Place:
    """Return where our tables are, or will be.

    A search path in the URL or in PGOPTIONS is the user's decision. Otherwise it is the schema to
    which the session's path leads and whose tables belong to no stranger, as those of earlier
    versions in `public`; otherwise it is `job`. The session's own path must still be in force.

    Args:
        cursor: outside of a transaction, or before the search path is set.
        where: the database's URL without user, password and parameters.

    Raises: Invalid when the user's path names no schema, or when our role may not use ours.
    """
    cursor.execute(SQL["look"])
    rows = cursor.fetchall()
    session = rows[0]
    candidates = [row for row in rows if row["visible"] or row["own"]]
    candidates.sort(key=_is_hidden)
    if session["told"]:
        return _named_place(session, candidates, where)
    ours = [row for row in candidates if row["trusted"]]
    if ours and not ours[0]["usable"]:
        raise Invalid(
            f"the database {where}: our role may not use the schema {OWN}, where our tables are:"
            f" `grant usage on schema {OWN}` to it"
        )
    if ours:
        return Place(ours[0]["schema"], True)
    others = (f"{row['schema']}.job_schema belongs to {row['owner']}" for row in candidates)
    return Place(OWN, False, "; ".join(others))


def _is_hidden(row: Row) -> bool:
    return not row["visible"]


def _named_place(session: Row, candidates: Sequence[Row], where: str) -> Place:
    """Return the place on a search path that the user set."""
    first = session["first"]
    if first is None:
        raise no_schema(where, session["path"])
    for row in candidates:
        if row["visible"] and (row["trusted"] or row["schema"] == first):
            return Place(row["schema"], True)
    return Place(first, False)


def ready(cursor: Cursor, place: Place, where: str) -> None:
    """Make sure that our tables can be made in this place, and will be ours alone.

    Raises: Invalid, with the grant to give or to revoke.
    """
    cursor.execute(SQL["rights"], {"schema": place.schema})
    (row,) = cursor.fetchall()
    others = ", ".join(row["others"])
    revoke = f"revoke create on schema {place.schema} from {others}"
    if place.schema == OWN:
        _check_own(row, revoke, where)
    if row["there"] and not place.prepared and not row["may_create"]:
        raise Invalid(
            f"the database {where}: {row['me']} may not create tables in the schema"
            f" {place.schema}, and there are none: grant CREATE on it"
        )
    if row["others"]:
        log.warning(
            "the database %s: others may create in the schema %s, where our tables are: `%s`",
            where,
            place.schema,
            revoke,
        )


def _check_own(row: Row, revoke: str, where: str) -> None:
    """Raise `Invalid` unless the schema `job` is ours alone, or may be created."""
    me = row["me"]
    if not row["there"] and not row["may_make"]:
        raise Invalid(
            f"the database {where}: {me} may not create the schema {OWN}, where our tables are:"
            f" let the owner of the database `grant create on database {row['database']} to {me}`,"
            " or name a schema by `options=-csearch_path%3D...` in JOB_DATABASE_URL"
        )
    if row["there"] and not row["trusted"]:
        raise Invalid(
            f"the database {where}: the schema {OWN}, where our tables are, belongs to"
            f" {row['owner']}, a stranger to {me}: `alter schema {OWN} owner to {me}`, or name a"
            " schema by `options=-csearch_path%3D...` in JOB_DATABASE_URL"
        )
    if row["others"]:
        raise Invalid(
            f"the database {where}: others may create in the schema {OWN}, and so could make us"
            f" run what is theirs: `{revoke}`"
        )
