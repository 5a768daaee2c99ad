"""Bytes that nothing refers to: what ended attempts left in the store, a lease after they ended.

Only under tasks and attempts the database knows: a bucket may hold other experiments, and a database
restored from a backup does not know the latest attempts.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from job.database import Database, queries
from job.errors import UsageError
from job.folder import HALF
from job.store import Object, Store
from job.tasks import DECIDED

SQL = queries("verify")
CHECKPOINTS_KEPT = 2
KEY = re.compile(r"experiments/[^/]+/(?P<model>[^/]+)/(?P<stage>[^/]+)/(?P<index>\d+)/(?P<attempt>\d+)/(?P<name>.+)")


@dataclass(frozen=True)
class Left:
    """An object under an attempt."""

    attempt: int
    name: str
    object: Object

    @property
    def step(self) -> int | None:
        """The step of a checkpoint, None for any other file."""
        found = re.fullmatch(r"checkpoint-(\d+)", self.name)
        return int(found[1]) if found else None


def garbage(database: Database, store: Store, name: str | None, lease_s: float) -> list[Object]:
    """Return what may go, of the experiment of this name or of all in the database.

    Of a decided task all that its row does not name; of any other what no later attempt goes on with: all but the
    newest two checkpoints and what may become a result. Never anything stored, or of an attempt that ended, less
    than a lease ago. Raises: UsageError for a name that is not there.
    """
    database.check_schema()
    experiments = database.rows(SQL["ids"], name=name)
    if name is not None and not experiments:
        raise UsageError(f"there is no experiment '{name}' (from JOB_EXPERIMENT or --experiment) in the database; unset it for all")
    found = []
    for row in experiments:
        listed = store.listing(f"experiments/{row['id']}/", halves=True)  # before the rows: what is committed in between is referred to
        left = _by_task(listed)
        for task in database.rows(SQL["ended"], experiment=row["id"], lease_s=lease_s):
            found += _of_task(task, left[task["model"], task["stage"], task["index"]])
    return found


def _by_task(listed: list[Object]) -> dict[tuple, list[Left]]:
    left = defaultdict(list)
    for o in listed:
        if found := KEY.fullmatch(o.key):
            left[found["model"], found["stage"], int(found["index"])].append(Left(int(found["attempt"]), found["name"], o))
    return left


def _of_task(task: dict, left: list[Left]) -> list[Object]:
    kept = {entry["key"] for entry in (task["artifact"] or {}).values()}
    if task["state"] not in DECIDED:
        checkpoints = sorted((f for f in left if f.step is not None), key=lambda f: (f.step, f.attempt))
        kept |= {f.object.key for f in checkpoints[-CHECKPOINTS_KEPT:]}
        # A paused owner may yet complete its result, and the next attempt adopt it.
        kept |= {f.object.key for f in left if f.step is None and not f.name.startswith(HALF)}
    old = (f.object for f in left if f.attempt in task["ended"] and f.object.modified < task["a_lease_ago"])
    return [o for o in old if o.key not in kept]
