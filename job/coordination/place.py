"""Where our tables are: in a schema of our own, `job`, or where a user or a version before put them.

Others may create functions, operators and tables in a schema that is shared, such as `public`, and PostgreSQL takes theirs where they match
better. So every transaction of ours begins by fixing its search path to the one schema that is ours.
"""

import logging
from dataclasses import dataclass

from job.coordination.connection import no_schema
from job.coordination.statements import queries
from job.errors import Invalid

SQL = queries("place")
OWN = "job"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A schema, as SQL writes its name."""

    schema: str
    prepared: bool  # our tables are in it
    strangers: str = (
        ""  # what was left aside, as it is neither our role's nor the database's owner's
    )

    @property
    def path(self) -> str:
        """The search path; temporary tables last, and not at all where the schema may not exist: `create table` would make some."""
        return f"{self.schema}, pg_temp" if self.prepared else self.schema


def look(cursor, where: str) -> Place:
    """Return where our tables are, or will be; asked outside of a transaction, by the session's own path.

    A search path in the URL or in PGOPTIONS is the user's word. Else it is where the session's path leads to tables that are no
    stranger's, as those of earlier versions are in `public`; else `job`.

    Raises: Invalid when that word names no schema, or when our role may not use ours.
    """
    cursor.execute(SQL["look"])
    rows = cursor.fetchall()
    first, path, told = (rows[0][name] for name in ("first", "path", "told"))
    found = sorted(
        (row for row in rows if row["visible"] or row["own"]), key=lambda row: not row["visible"]
    )
    if told:
        if first is None:
            raise no_schema(where, path)
        seen = [
            row["schema"]
            for row in found
            if row["visible"] and (row["trusted"] or row["schema"] == first)
        ]
        return Place(seen[0] if seen else first, bool(seen))
    ours = [row for row in found if row["trusted"]]
    if ours and not ours[0]["usable"]:
        raise Invalid(
            f"the database {where}: our role may not use the schema {OWN}, where our tables are: `grant usage on schema {OWN}` to it"
        )
    if ours:
        return Place(ours[0]["schema"], True)
    others = (f"{row['schema']}.job_schema belongs to {row['owner']}" for row in found)
    return Place(OWN, False, "; ".join(others))


def ready(cursor, place: Place, where: str) -> None:
    """Make sure that our tables can be made in this place, and will be ours alone.

    Raises: Invalid, with the grant to give or to revoke.
    """
    cursor.execute(SQL["rights"], {"schema": place.schema})
    row = cursor.fetchone()
    own, revoke = (
        place.schema == OWN,
        f"revoke create on schema {place.schema} from {', '.join(row['others'])}",
    )
    if own and not row["there"] and not row["may_make"]:
        raise Invalid(
            f"the database {where}: {row['me']} may not make the schema {OWN}, where our tables are: let the owner of the database"
            f" `grant create on database {row['database']} to {row['me']}`, or name a schema by `options=-csearch_path%3D...` in"
            " JOB_DATABASE_URL"
        )
    if own and row["there"] and not row["trusted"]:
        raise Invalid(
            f"the database {where}: the schema {OWN}, where our tables are, belongs to {row['owner']}, a stranger to {row['me']}:"
            f" `alter schema {OWN} owner to {row['me']}`, or name a schema by `options=-csearch_path%3D...` in JOB_DATABASE_URL"
        )
    if own and row["others"]:
        raise Invalid(
            f"the database {where}: others may create in the schema {OWN}, and so have what they make run by us: `{revoke}`"
        )
    if row["there"] and not place.prepared and not row["may_create"]:
        raise Invalid(
            f"the database {where}: {row['me']} may not create tables in the schema {place.schema}, and there are none: grant CREATE on it"
        )
    if row["others"]:
        log.warning(
            "the database %s: others may create in the schema %s, where our tables are: `%s`",
            where,
            place.schema,
            revoke,
        )
