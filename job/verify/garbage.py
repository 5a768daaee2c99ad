"""Bytes that nothing refers to: what ended attempts left in the store, one lease after their end.

Only tasks and attempts that the database knows count. A bucket may hold other experiments, and a
database restored from a backup does not know the latest attempts. An experiment that `job drop`
removed counts too: the drop leaves a note in the store.
"""

from collections import defaultdict
from typing import Any

from job.coordination.database import Database
from job.coordination.outcome import DECIDED
from job.coordination.statements import queries
from job.errors import UsageError
from job.experiment.task import Key
from job.learning.checkpoint import KEPT
from job.storage.folder import HALF
from job.storage.paths import NOTES, TaskFile, dropped_experiment, experiment_folder, task_file
from job.storage.store import Object, Store

SQL = queries("verify")
Files = list[tuple[TaskFile, Object]]


def garbage(database: Database, store: Store, name: str | None, lease_s: float) -> list[Object]:
    """Return the objects that may be deleted.

    Of a decided task these are all that its row does not name. Of any other task these are all
    that no later attempt resumes from: the newest checkpoints stay, and so does what may become a
    result. Objects younger than a lease stay, and so do those of an attempt that ended less than
    a lease ago.

    Args:
        database: where the rows are.
        store: where the objects are.
        name: of one experiment; None: of all in the database.
        lease_s: length of a lease, in seconds.

    Raises: UsageError for an unknown name.
    """
    database.check_schema()
    experiments = database.rows(SQL["ids"], name=name)
    objects = _of_dropped(database, store, name, lease_s)
    if name is not None and not experiments and not objects:
        raise UsageError(
            f"there is no experiment '{name}' (from JOB_EXPERIMENT or --experiment)"
            " in the database; unset it for all"
        )
    for row in experiments:
        # List the store first: the rows then refer to whatever is committed in between.
        listed = store.listing(f"{experiment_folder(row['id'])}/", halves=True)
        files = _by_task(listed)
        for task in database.rows(SQL["ended"], experiment=row["id"], lease_s=lease_s):
            key = Key(task["model"], task["stage"], task["index"])
            objects += _of_task(task, files[key])
    return objects


def _of_dropped(database: Database, store: Store, name: str | None, lease_s: float) -> list[Object]:
    """Return what is left of dropped experiments, each note last.

    All of it is at least a lease old, because a worker may not know of the drop yet. The note of
    an existing experiment stays: its database was restored, or its drop failed.
    """
    notes = _notes(store, name)
    row = database.rows(SQL["known"], ids=list(notes), lease_s=lease_s)[0]
    objects: list[Object] = []
    for experiment in notes.keys() - set(row["known"]):
        note = notes[experiment]
        left = store.listing(f"{experiment_folder(experiment)}/", halves=True)
        old = [o for o in [*left, note] if o.modified < row["a_lease_ago"]]
        # The note goes only together with everything else.
        all_old = len(old) == len(left) + 1
        objects += old if all_old else [o for o in old if o is not note]
    return objects


def _notes(store: Store, name: str | None) -> dict[str, Object]:
    """Return the notes of dropped experiments: id -> object."""
    notes: dict[str, Object] = {}
    for note in store.listing(NOTES):
        experiment = dropped_experiment(note.key)
        if experiment and (name is None or experiment.rpartition("-")[0] == name):
            notes[experiment] = note
    return notes


def _by_task(listed: list[Object]) -> defaultdict[Key, Files]:
    files: defaultdict[Key, Files] = defaultdict(list)
    for o in listed:
        if file := task_file(o.key):
            files[file.task].append((file, o))
    return files


def _of_task(task: dict[str, Any], files: Files) -> list[Object]:
    needed = {entry["key"] for entry in (task["artifact"] or {}).values()}
    if task["state"] not in DECIDED:
        needed |= _newest_checkpoints([file for file, _ in files if file.step is not None])
        # A paused owner may still complete its result, and the next attempt adopts it.
        needed |= {
            file.key for file, _ in files if file.step is None and not file.name.startswith(HALF)
        }
    return [
        o
        for file, o in files
        if file.attempt in task["ended"]
        and o.modified < task["a_lease_ago"]
        and o.key not in needed
    ]


def _newest_checkpoints(checkpoints: list[TaskFile]) -> set[str]:
    """Return the keys of the newest checkpoints of each kind that the task ever was.

    The parameters of the task decide which kind it is now; its row does not say.
    """
    by_mark: defaultdict[str | None, list[str]] = defaultdict(list)
    for checkpoint in sorted(checkpoints, key=lambda c: (c.step, c.attempt)):
        by_mark[checkpoint.mark].append(checkpoint.key)
    return {key for keys in by_mark.values() for key in keys[-KEPT:]}
