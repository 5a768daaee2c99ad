"""Ways to tamper with a finished experiment: its rows, and its objects in the store."""

import io
import json
from contextlib import contextmanager

import numpy as np

from job.learning.provenance import seal, sha256, unseal
from job.verify import verify


def update_task(database, stage, index, assignment: str, **values) -> None:
    """Update the row of one task."""
    this_task = "(stage, index) = (%(stage)s, %(index)s)"
    statement = f"update task set {assignment} where {this_task}"
    database.rows(statement, stage=stage, index=index, **values)


def artifact_of(database, stage, index) -> dict:
    """Return the files that the row of a task names."""
    this_task = "(stage, index) = (%(stage)s, %(index)s)"
    statement = f"select artifact from task where {this_task}"
    return database.rows(statement, stage=stage, index=index)[0]["artifact"]


def broken(database, store, deep=False) -> dict[str, list[str]]:
    """Return the violations by promise."""
    experiments, promises = verify.read(database, None, deep)
    for recorded in experiments:
        promises += verify.check(recorded, store, database, deep)
    return {p.name: p.violations for p in promises if p.violations}


def key_of(database, stage, index, name) -> str:
    """Return the key of a task's file."""
    return artifact_of(database, stage, index)[name]["key"]


def put_or_delete(store, key, content: bytes | None) -> None:
    """Put an object, or delete it where there is no content."""
    if content is None:
        store.delete([key])
    else:
        store.put(key, content)


@contextmanager
def replaced(store, key, content):
    """Put another object under a key, or none; the old one comes back after the block."""
    old = store.get(key)
    put_or_delete(store, key, content)
    try:
        yield
    finally:
        store.put(key, old)


@contextmanager
def rewritten(database, store, stage, index, name, content, reseal=True):
    """Rewrite a file, and correct its size, etag and hash in the row.

    With `reseal`, correct them in the sealed result, too.
    """
    artifact = artifact_of(database, stage, index)
    keys = (artifact[name]["key"], artifact["result.json"]["key"])
    before = {key: store.get(key) for key in keys}

    def put(name, content):
        stored = store.put(artifact[name]["key"], content)
        artifact[name] |= {"sha256": sha256(content), "size": stored.size, "etag": stored.etag}

    put(name, content)
    if reseal and name != "result.json":
        result = unseal(store.get(artifact["result.json"]["key"]))
        result["files"][name] = {"sha256": sha256(content), "size": len(content)}
        result |= {f"{name.partition('.')[0]}_sha256": sha256(content)}
        put("result.json", seal(result))
    text = json.dumps(artifact)
    update_task(database, stage, index, "artifact = %(text)s::jsonb", text=text)
    try:
        yield
    finally:
        for key, old in before.items():
            store.put(key, old)


def result_with(copy, store, **changes) -> bytes:
    """Return the result of fold 0 with other entries, sealed anew."""
    return seal(unseal(store.get(key_of(copy, "fold", 0, "result.json"))) | changes)


def predictions_with(copy, store, stage, index, change, name="predictions.npz") -> bytes:
    """Return a task's arrays after a change."""
    with np.load(io.BytesIO(store.get(key_of(copy, stage, index, name)))) as file:
        arrays = {name: file[name].copy() for name in file.files}
    change(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def set_item(name, index, value):
    """Return a change of arrays: one entry gets another value."""
    return lambda arrays: arrays[name].__setitem__(index, value)


def swap(arrays):
    """Swap the first two images of different classes, except for the numbers of their rows."""
    other = int(np.flatnonzero(arrays["labels"] != arrays["labels"][0])[0])
    for name in ("labels", "probabilities"):
        arrays[name][[0, other]] = arrays[name][[other, 0]]


def set_back(database, stage, index):
    """Set the database back to when a task had begun without results, as an older dump has it."""
    of_task = "where (stage, index) = (%(s)s, %(i)s)"
    of_trial = f"where %(s)s = 'trial' and trial_id in (select optuna_trial_id from task {of_task})"
    unknown = "value = null, metrics = null, artifact = null, reason = null, finished = null"
    vanished = "outcome = 'vanished', reason = 'vanished', first_step = 0, last_step = 0"
    for statement in (
        f"delete from epoch {of_task}",
        f"delete from opening {of_task}",
        f"update task set state = 'waiting', progress = 0, {unknown} {of_task}",
        f"update attempt set {vanished} {of_task}",
        f"delete from trial_values {of_trial}",
        f"delete from trial_intermediate_values {of_trial}",
    ):
        database.rows(statement, s=stage, i=index)
