"""What the bytes must say: every file hashed, every result recomputed from its predictions (`--deep`)."""

import csv
import io
import json
import math
from collections.abc import Iterator

import numpy as np

from job.data import staged
from job.errors import Missing
from job.learning import evaluate, provenance
from job.learning.checkpoint import Damaged
from job.randomness import derive
from job.sentences import show
from job.storage.store import Store
from job.verify.collect import Recorded, Task, sentences
from job.verify.objects import folder_number

SAME = 1e-9  # a sum over the same numbers, added in another order


class Contents:
    """The bytes of one experiment, each staged file read once."""

    def __init__(self, store: Store, recorded: Recorded):
        self.store, self.recorded = store, recorded
        self.left_out: dict[str, dict[int, np.ndarray]] = {
            m: {} for m in recorded.experiment.models
        }  # model -> fold -> rows
        self._staged: dict | None = None

    def bytes_first(self) -> Iterator[str]:
        """Every file has the hash its row names, and says what its row says."""
        for task in self.recorded.tasks.values():
            if task.decided and not task.diverged:
                yield from sentences(task.key, self._task(task))
        for model in self.recorded.experiment.models:
            yield from sentences(model, self._partition(model))

    def data(self) -> Iterator[str]:
        """Everything staged has the hash it was staged with. The test part is hashed, not read."""
        for key, entry in staged.objects(self.recorded.registered).items():
            yield from sentences(key, self._hash(key, entry))
        yield from sentences("the splits", self._groups())

    def _groups(self) -> Iterator[str]:
        """Images that belong together, by their pixels or by data.groups, are on one side of every split."""
        registered = self.recorded.registered
        validation, folds, _ = self._splits()
        groups = self._array("train-groups.npy")
        for name, side in (("the validation part", validation), ("the folds", folds)):
            sides = np.unique(np.stack([groups, side]), axis=1)[0]
            if several := len(sides) - len(np.unique(groups)):
                yield f"tear {several} groups of images apart: {name}"
        if "test-groups.npy" in registered.data["files"]:
            if both := len(np.intersect1d(groups, self._array("test-groups.npy"))):
                yield f"have {both} groups both in the training and in the test part"

    def _array(self, name: str) -> np.ndarray:
        """Return a staged array, checked."""
        registered = self.recorded.registered
        content = self._checked(
            f"data/{registered.data['id']}/{name}", registered.data["files"][name]["sha256"]
        )
        return np.load(io.BytesIO(content), allow_pickle=False)

    def _hash(self, key: str, entry: dict) -> Iterator[str]:
        content = self.store.get(key)
        if "sha256" in entry and provenance.sha256(content) != entry["sha256"]:
            yield "has another hash than it was staged with"
        if key.endswith("/manifest.json"):
            manifest, registered = json.loads(content), self.recorded.registered.data
            if any(
                manifest[name] != registered[name]
                for name in ("id", "classes", "train", "test", "files")
            ):
                yield "is not the one the experiment was prepared with"

    def _task(self, task: Task) -> Iterator[str]:
        files = {}
        for name, entry in task.files.items():
            try:
                content = self.store.get(entry["key"])
            except Missing:
                yield f"names {name}, which cannot be read: {entry['key']}"
                continue
            if provenance.sha256(content) != entry["sha256"]:
                yield f"names {name} of another hash than it has in the store: {entry['key']}"
            elif name in ("result.json", "history.csv", "predictions.npz", "mistakes.npz"):
                files[name] = content
        if "result.json" in files:
            yield from sentences("result.json", self._result(task, files["result.json"]))
        if "history.csv" in files:
            yield from sentences("history.csv", _history(task, files["history.csv"]))
        if "predictions.npz" in files:
            yield from sentences(
                "predictions.npz", self._predictions(task, files["predictions.npz"])
            )
        if files.keys() >= {
            "predictions.npz",
            "mistakes.npz",
        }:  # a final of an older version has none
            yield from sentences(
                "mistakes.npz", _mistakes(files["predictions.npz"], files["mistakes.npz"])
            )

    def _result(self, task: Task, content: bytes) -> Iterator[str]:
        """The sealed result agrees with the row, the files and the experiment."""
        result, registered, row = provenance.unseal(content), self.recorded.registered, task.row
        others = {
            name: {"sha256": e["sha256"], "size": e["size"]}
            for name, e in task.files.items()
            if name != "result.json"
        }
        expected = {
            "experiment_id": registered.id,
            "fingerprint": registered.fingerprint,
            "model": task.key.model,
            "stage": task.key.stage,
            "index": task.key.index,
            "attempt": folder_number(self.recorded, task),
            "state": row["state"],
            "parameters": self.recorded.parameters(task),
            "value": row["value"],
            "metrics": row["metrics"],
            "seed": derive(
                registered.experiment.seed, task.key.model, task.key.stage, task.key.index
            ),
            "threads": registered.experiment.threads,
            "step": row["progress"],
            "files": others,
            "predictions_sha256": task.files["predictions.npz"]["sha256"],
            "history_sha256": task.files["history.csv"]["sha256"],
        }
        for name, value in expected.items():
            if result.get(name) != value:
                yield f"says {name} {show(result.get(name))}, expected {show(value)}"

    def _predictions(self, task: Task, content: bytes) -> Iterator[str]:
        """The predictions are of the right rows with the right labels, and the scores are theirs."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            probabilities, labels, rows = (
                file[name] for name in ("probabilities", "labels", "rows")
            )
        registered, row = self.recorded.registered, task.row
        if task.key.stage == "final":  # the test part stays closed: only its counts are known here
            expected, counts = (
                np.arange(registered.data["test"]),
                np.bincount(labels, minlength=len(registered.data["classes"])),
            )
            if counts.tolist() != registered.data["test_counts"]:
                yield "has other numbers of labels than the test part"
        else:
            validation, folds, staged_labels = self._splits()
            expected = np.flatnonzero(
                validation if task.key.stage == "trial" else folds == task.key.index
            )
            if not np.array_equal(labels, staged_labels[rows]):
                yield "has other labels than the staged ones of its rows"
        if not np.array_equal(rows, expected):
            yield "is of other rows than those left out of the training"
        if task.key.stage == "fold" and row["state"] == "complete":
            self.left_out[task.key.model][task.key.index] = rows
        method, auc = self.recorded.experiment.method, row["metrics"].get("roc_auc") is not None
        scores = evaluate.weighted_scores(
            np.ones((1, len(labels)), np.float32), labels, probabilities, auc, method=method
        )
        for name, again in {
            name: float(v[0]) for name, v in scores.items() if name in row["metrics"]
        }.items():
            if not math.isclose(again, row["metrics"][name], rel_tol=SAME, abs_tol=SAME):
                yield f"gives {name} {again:.6g}, stored is {row['metrics'][name]:.6g}"
        again = evaluate.score(
            self.recorded.experiment.search["metric"], labels, probabilities, method=method
        )
        if not math.isclose(again, row["value"], rel_tol=SAME, abs_tol=SAME):
            yield f"gives the value {again:.6g}, stored is {row['value']:.6g}"
        parameters, epochs = self.recorded.parameters(task), len(task.epochs["epoch"])
        trained = registered.data["train"] - (0 if task.key.stage == "final" else len(rows))
        steps = math.ceil(trained / parameters["batch_size"]) * epochs
        if row["progress"] != steps:
            yield f"is of {trained} training images in {epochs} epochs, {steps} steps; the task is at step {row['progress']}"

    def _partition(self, model: str) -> Iterator[str]:
        """No image is left out twice; once all folds are complete, each exactly once."""
        rows = list(self.left_out[model].values())
        if not rows:
            return
        times = np.bincount(np.concatenate(rows), minlength=self.recorded.registered.data["train"])
        if times.max() > 1:
            yield f"has folds that leave {int((times > 1).sum())} images out more than once"
        if len(rows) == self.recorded.experiment.folds["count"] and times.min() < 1:
            yield f"has complete folds that never leave {int((times < 1).sum())} images out"

    def _splits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return validation, folds and labels of the training part as they were staged. Raises: Damaged, Missing."""
        if self._staged is None:
            registered = self.recorded.registered
            with np.load(
                io.BytesIO(self._checked(registered.splits["key"], registered.splits["sha256"])),
                allow_pickle=False,
            ) as file:
                validation, folds = file["validation"], file["folds"]
            self._staged = validation, folds, self._array("train-labels.npy")
        return self._staged

    def _checked(self, key: str, sha256: str) -> bytes:
        content = self.store.get(key)
        if provenance.sha256(content) != sha256:
            raise Damaged(f"{key} has another hash than it was staged with")
        return content


def _mistakes(predictions: bytes, mistakes: bytes) -> Iterator[str]:
    """The mistakes shown are the most confident ones of the predictions. Their images are not compared: the test part stays closed."""
    with np.load(io.BytesIO(predictions), allow_pickle=False) as file:
        probabilities, labels = file["probabilities"], file["labels"]
    with np.load(io.BytesIO(mistakes), allow_pickle=False) as file:
        stored, shown = (
            {name: file[name] for name in ("rows", "labels", "predictions", "confidence")},
            len(file["images"]),
        )
    rows = evaluate.mistakes(labels, probabilities, len(stored["rows"]))
    again = {
        "rows": rows,
        "labels": labels[rows],
        "predictions": probabilities[rows].argmax(1),
        "confidence": probabilities[rows].max(1),
    }
    for name, values in again.items():
        if not np.array_equal(values, stored[name]):
            yield f"has other {name} than the most confident mistakes of predictions.npz"
    if shown != len(stored["rows"]):
        yield f"has {shown} images of {len(stored['rows'])} mistakes"


def _history(task: Task, content: bytes) -> Iterator[str]:
    """The history is the epoch rows, number for number where numbers come out the same again."""
    epochs = task.epochs
    expected = [
        {"epoch": e, **m} | ({} if v is None else {"value": v})
        for e, m, v in zip(epochs["epoch"], epochs["metrics"], epochs["value"], strict=True)
    ]
    found = [
        {k: float(v) for k, v in row.items()}
        for row in csv.DictReader(io.StringIO(content.decode()))
    ]
    if len(found) != len(expected):
        yield f"has {len(found)} epochs, the database {len(expected)}"
    for ours, theirs in zip(expected, found, strict=False):
        for name in dict.fromkeys([*ours, *theirs]):
            if ours.get(name) != theirs.get(name) and (
                task.exact or name == "epoch" or None in (ours.get(name), theirs.get(name))
            ):
                yield f"says {name} {theirs.get(name)} in epoch {ours['epoch']}, the database {ours.get(name)}"
