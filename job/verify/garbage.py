"""Bytes that nothing refers to: what ended attempts left in the store, a lease after they ended.

Only under tasks and attempts the database knows: a bucket may hold other experiments, and a database
restored from a backup does not know the latest attempts. And what is left of an experiment that `job drop`
removed, by the note that it left.
"""

from collections import defaultdict

from job.coordination.database import Database, queries
from job.coordination.tasks import DECIDED
from job.errors import UsageError
from job.experiment.task import Key
from job.learning.checkpoint import KEPT
from job.storage.folder import HALF
from job.storage.paths import TaskFile, dropped, experiment_folder, task_file
from job.storage.store import Object, Store

SQL = queries("verify")
CHECKPOINTS_KEPT = 2


def garbage(database: Database, store: Store, name: str | None, lease_s: float) -> list[Object]:
    """Return what may go, of the experiment of this name or of all in the database.

    Of a decided task all that its row does not name; of any other what no later attempt goes on with: all but the
    newest two checkpoints and what may become a result. Never anything stored, or of an attempt that ended, less
    than a lease ago. Raises: UsageError for a name that is not there.
    """
    database.check_schema()
    experiments, found = (
        database.rows(SQL["ids"], name=name),
        _of_dropped(database, store, name, lease_s),
    )
    if name is not None and not experiments and not found:
        raise UsageError(
            f"there is no experiment '{name}' (from JOB_EXPERIMENT or --experiment) in the database; unset it for all"
        )
    for row in experiments:
        listed = store.listing(
            f"{experiment_folder(row['id'])}/", halves=True
        )  # before the rows: what is committed in between is referred to
        left = _by_task(listed)
        for task in database.rows(SQL["ended"], experiment=row["id"], lease_s=lease_s):
            found += _of_task(task, left[Key(task["model"], task["stage"], task["index"])])
    return found


def _of_dropped(database: Database, store: Store, name: str | None, lease_s: float) -> list[Object]:
    """Return what is left of experiments that were dropped, and last their notes, all of it a lease old: a worker may not know yet.

    A note of one that is there, in a database that was restored, or whose drop came to nothing, is left alone.
    """
    notes = {dropped(o.key): o for o in store.listing("dropped/") if dropped(o.key)}
    notes = {i: o for i, o in notes.items() if name is None or i.rpartition("-")[0] == name}
    row = database.rows(SQL["known"], ids=list(notes), lease_s=lease_s)[0]
    found = []
    for experiment in notes.keys() - set(row["known"]):
        left = store.listing(f"{experiment_folder(experiment)}/", halves=True)
        old = [o for o in [*left, notes[experiment]] if o.modified < row["a_lease_ago"]]
        found += old if len(old) > len(left) else [o for o in old if o is not notes[experiment]]
    return found


def _by_task(listed: list[Object]) -> dict[tuple, list[tuple[TaskFile, Object]]]:
    left = defaultdict(list)
    for o in listed:
        if found := task_file(o.key):
            left[found.task].append((found, o))
    return left


def _of_task(task: dict, left: list[tuple[TaskFile, Object]]) -> list[Object]:
    kept = {entry["key"] for entry in (task["artifact"] or {}).values()}
    if task["state"] not in DECIDED:
        kept |= _checkpoints_kept([found for found, _ in left if found.step is not None])
        # A paused owner may yet complete its result, and the next attempt adopt it.
        kept |= {
            found.key for found, _ in left if found.step is None and not found.name.startswith(HALF)
        }
    old = (
        o
        for found, o in left
        if found.attempt in task["ended"] and o.modified < task["a_lease_ago"]
    )
    return [o for o in old if o.key not in kept]


def _checkpoints_kept(found: list[TaskFile]) -> set[str]:
    """Return the keys of the newest two, of each kind that the task ever was: which it is now, its parameters say, not its row."""
    by_mark = defaultdict(list)
    for checkpoint in sorted(found, key=lambda p: (p.step, p.attempt)):
        by_mark[checkpoint.mark].append(checkpoint.key)
    return {key for keys in by_mark.values() for key in keys[-KEPT:]}
