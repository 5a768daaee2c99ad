"""What the bytes must say: every file hashed, every result recomputed (`--deep`)."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from job.data import staged
from job.errors import Missing
from job.learning import provenance
from job.learning.interface import history_row
from job.randomness import derive
from job.sentences import show
from job.storage import paths
from job.storage.store import Store
from job.verify.collect import Recorded, Task, sentences
from job.verify.objects import folder_number
from job.verify.predictions import Predictions, check_mistakes
from job.verify.staged import StagedArrays

# Of a manifest, as the row of an experiment has them.
MANIFEST_KEYS = ("id", "classes", "train", "test", "files")
READ = (paths.RESULT, paths.HISTORY, paths.PREDICTIONS, paths.MISTAKES)


class Contents:
    """The bytes of one experiment, each staged file read once."""

    def __init__(self, store: Store, recorded: Recorded):
        self.store = store
        self.recorded = recorded
        self.arrays = StagedArrays(store, recorded)
        self.predictions = Predictions(recorded, self.arrays)

    def bytes_first(self) -> Iterator[str]:
        """Check that every file has the hash its row names, and matches its row."""
        for task in self.recorded.tasks.values():
            if task.decided and not task.infeasible:
                yield from sentences(task.key, self._task(task))
        for model in self.recorded.experiment.models:
            yield from sentences(model, self.predictions.partition(model))

    def data(self) -> Iterator[str]:
        """Check that everything staged has its hash. The test part is hashed, not read."""
        for key, entry in staged.objects(self.recorded.registered).items():
            yield from sentences(key, self._hash(key, entry))
        yield from sentences("the splits", self._groups())

    def _groups(self) -> Iterator[str]:
        """Check that images of one group are on one side of every split.

        Equal pixels, `data.groups` or a table of labels make a group.
        """
        splits = self.arrays.splits
        groups = self.arrays.array(paths.TRAIN_GROUPS)
        parts = [("the validation part", part) for part in splits.validation]
        for name, side in (*parts, ("the folds", splits.folds)):
            sides = np.unique(np.stack([groups, side]), axis=1)[0]
            torn = len(sides) - len(np.unique(groups))
            if torn:
                yield f"tear {torn} groups of images apart: {name}"
        if paths.TEST_GROUPS in self.recorded.registered.data.files:
            shared = np.intersect1d(groups, self.arrays.array(paths.TEST_GROUPS))
            if len(shared):
                yield f"have {len(shared)} groups both in the training and in the test part"

    def _hash(self, key: str, entry: dict[str, Any]) -> Iterator[str]:
        content = self.store.get(key)
        if "sha256" in entry and provenance.sha256(content) != entry["sha256"]:
            yield "has another hash than it was staged with"
        if paths.is_manifest(key):
            manifest = json.loads(content)
            data = self.recorded.data
            if any(manifest[name] != data[name] for name in MANIFEST_KEYS):
                yield "is not the one the experiment was prepared with"

    def _task(self, task: Task) -> Iterator[str]:
        contents: dict[str, bytes] = {}
        for name, entry in task.files.items():
            try:
                content = self.store.get(entry["key"])
            except Missing:
                yield f"names {name}, which cannot be read: {entry['key']}"
                continue
            if provenance.sha256(content) != entry["sha256"]:
                yield f"names {name} with another hash than in the store: {entry['key']}"
            elif name in READ:
                contents[name] = content
        for name, endings in self._checks(task, contents):
            yield from sentences(name, endings)

    def _checks(
        self, task: Task, contents: dict[str, bytes]
    ) -> Iterator[tuple[str, Iterator[str]]]:
        """Yield each readable file of a task with what is wrong in it."""
        if paths.RESULT in contents:
            yield paths.RESULT, self._result(task, contents[paths.RESULT])
        if paths.HISTORY in contents:
            yield paths.HISTORY, _history(task, contents[paths.HISTORY])
        if paths.PREDICTIONS in contents:
            predictions = contents[paths.PREDICTIONS]
            yield paths.PREDICTIONS, self.predictions.check(task, predictions)
            # A final of an older version has none.
            if paths.MISTAKES in contents:
                yield paths.MISTAKES, check_mistakes(predictions, contents[paths.MISTAKES])

    def _result(self, task: Task, content: bytes) -> Iterator[str]:
        """Check that the sealed result agrees with the row, the files and the experiment."""
        result = provenance.unseal(content)
        for name, value in self._expected_result(task).items():
            if result.get(name) != value:
                yield f"says {name} {show(result.get(name))}, expected {show(value)}"

    def _expected_result(self, task: Task) -> dict[str, Any]:
        key = task.key
        row = task.row
        registered = self.recorded.registered
        experiment = registered.experiment
        files = {
            name: {"sha256": entry["sha256"], "size": entry["size"]}
            for name, entry in task.files.items()
            if name != paths.RESULT
        }
        return {
            "experiment_id": registered.id,
            "fingerprint": registered.fingerprint,
            "model": key.model,
            "stage": key.stage,
            "index": key.index,
            "attempt": folder_number(self.recorded, task),
            "state": row.state,
            "parameters": self.recorded.parameters(task),
            "value": row.value,
            "metrics": row.metrics,
            "seed": derive(experiment.seed, key.model, key.stage, key.index),
            "threads": experiment.threads,
            "step": row.progress,
            "files": files,
            "predictions_sha256": task.files[paths.PREDICTIONS]["sha256"],
            "history_sha256": task.files[paths.HISTORY]["sha256"],
        }


def _history(task: Task, content: bytes) -> Iterator[str]:
    """Check that the history equals the epoch rows.

    Numbers are compared only where a repetition gives the same ones.
    """
    recorded = _history_of(task)
    written = [
        {name: float(value) for name, value in row.items()}
        for row in csv.DictReader(io.StringIO(content.decode()))
    ]
    if len(written) != len(recorded):
        yield f"has {len(written)} epochs, but the database has {len(recorded)}"
    for row, line in zip(recorded, written, strict=False):
        for name in dict.fromkeys([*row, *line]):
            in_row = row.get(name)
            in_line = line.get(name)
            must_match = task.exact or name == "epoch" or None in (in_row, in_line)
            if in_row != in_line and must_match:
                yield (
                    f"says {name} {in_line} in epoch {row['epoch']}, but the database says {in_row}"
                )


def _history_of(task: Task) -> list[dict[str, Any]]:
    """Return the epoch rows of a task in the form of its history."""
    epochs = task.epochs
    rows = zip(epochs["epoch"], epochs["metrics"], epochs["value"], strict=True)
    return [history_row(epoch, metrics, value) for epoch, metrics, value in rows]
