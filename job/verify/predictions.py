"""The predictions of a task: their rows, labels and scores, recomputed (`--deep`)."""

import io
import math
from collections.abc import Iterator

import numpy as np

from job.learning import evaluate
from job.verify.collect import Recorded, Task
from job.verify.staged import StagedArrays

# Relative and absolute: a sum over the same numbers, added in another order.
TOLERANCE = 1e-9


class Predictions:
    """All predictions of one experiment, and which rows each fold left out."""

    def __init__(self, recorded: Recorded, arrays: StagedArrays):
        self.recorded = recorded
        self.arrays = arrays
        # Model -> fold -> rows.
        self.left_out: dict[str, dict[int, np.ndarray]] = {
            m: {} for m in recorded.experiment.models
        }

    def check(self, task: Task, content: bytes) -> Iterator[str]:
        """Check that a task predicted the right rows and labels, and has their scores."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            probabilities = file["probabilities"]
            labels = file["labels"]
            rows = file["rows"]
        if task.key.stage == "final":
            yield from self._test_part(labels, rows)
        else:
            yield from self._training_part(task, labels, rows)
        if task.key.stage == "fold" and task.row.state == "complete":
            self.left_out[task.key.model][task.key.index] = rows
        yield from self._scores(task, labels, probabilities)
        yield from self._steps(task)

    def _test_part(self, labels: np.ndarray, rows: np.ndarray) -> Iterator[str]:
        """Check the counts only: the test part stays closed."""
        data = self.recorded.registered.data
        expected = np.arange(data.test)
        counts = np.bincount(labels, minlength=len(data.classes))
        if counts.tolist() != data.test_counts:
            yield "has label counts that differ from the test part"
        yield from _rows(rows, expected)

    def _training_part(self, task: Task, labels: np.ndarray, rows: np.ndarray) -> Iterator[str]:
        expected = np.concatenate(self._left_out(task))
        if not np.array_equal(labels, self.arrays.labels[rows]):
            yield "has labels that differ from the staged ones of its rows"
        yield from _rows(rows, expected)

    def _left_out(self, task: Task) -> list[np.ndarray]:
        """Return the rows that each training of a task left out; a trial has one per repeat.

        A pruned trial has begun only the first ones.
        """
        if task.key.stage == "final":
            return [np.array([], np.int64)]
        splits = self.arrays.splits
        if task.key.stage == "fold":
            return [np.flatnonzero(splits.folds == task.key.index)]
        begun = math.ceil(len(task.epochs["epoch"]) / self.recorded.parameters(task)["epochs"])
        return [np.flatnonzero(part) for part in splits.validation[: max(begun, 1)]]

    def _scores(self, task: Task, labels: np.ndarray, probabilities: np.ndarray) -> Iterator[str]:
        """Check the metrics and the value of a task against its predictions."""
        metrics = task.row.metrics
        method = self.recorded.experiment.method
        weights = np.ones((1, len(labels)), np.float32)
        auc = metrics.get("roc_auc") is not None
        scores = evaluate.weighted_scores(weights, labels, probabilities, auc, method=method)
        for name in scores:
            if name not in metrics:
                continue
            score = float(scores[name][0])
            if not _is_close(score, metrics[name]):
                yield f"gives {name} {score:.6g}, but {metrics[name]:.6g} is stored"
        value = task.row.score
        metric = self.recorded.experiment.search.metric
        score = evaluate.score(metric, labels, probabilities, method=method)
        if not _is_close(score, value):
            yield f"gives the value {score:.6g}, but {value:.6g} is stored"

    def _steps(self, task: Task) -> Iterator[str]:
        """Check the progress of a task against its number of training images."""
        parameters = self.recorded.parameters(task)
        epochs = len(task.epochs["epoch"])
        left = epochs
        steps = 0
        for rows in self._left_out(task):
            trained = self.recorded.registered.data.train - len(rows)
            own = min(left, parameters["epochs"])
            steps += math.ceil(trained / parameters["batch_size"]) * own
            left -= own
        if task.row.progress != steps:
            yield (
                f"has {epochs} epochs, or {steps} steps on its training images,"
                f" but the task is at step {task.row.progress}"
            )

    def partition(self, model: str) -> Iterator[str]:
        """Check that folds leave out no image twice, and together each image once."""
        rows = list(self.left_out[model].values())
        if not rows:
            return
        times = np.bincount(np.concatenate(rows), minlength=self.recorded.registered.data.train)
        if times.max() > 1:
            yield f"has folds that leave {int((times > 1).sum())} images out more than once"
        if len(rows) == self.recorded.experiment.folds.count and times.min() < 1:
            yield f"has complete folds that never leave {int((times < 1).sum())} images out"


def check_mistakes(predictions: bytes, mistakes: bytes) -> Iterator[str]:
    """Check that the mistakes are the most confident ones of the predictions.

    Their images are not compared: the test part stays closed.
    """
    with np.load(io.BytesIO(predictions), allow_pickle=False) as file:
        probabilities = file["probabilities"]
        labels = file["labels"]
    with np.load(io.BytesIO(mistakes), allow_pickle=False) as file:
        names = ("rows", "labels", "predictions", "confidence")
        stored = {name: file[name] for name in names}
        images = len(file["images"])
    rows = evaluate.mistakes(labels, probabilities, len(stored["rows"]))
    expected = {
        "rows": rows,
        "labels": labels[rows],
        "predictions": probabilities[rows].argmax(1),
        "confidence": probabilities[rows].max(1),
    }
    for name, values in expected.items():
        if not np.array_equal(values, stored[name]):
            yield f"has other {name} than the most confident mistakes of predictions.npz"
    if images != len(stored["rows"]):
        yield f"has {images} images for {len(stored['rows'])} mistakes"


def _rows(rows: np.ndarray, expected: np.ndarray) -> Iterator[str]:
    if not np.array_equal(rows, expected):
        yield "has rows other than those left out of the training"


def _is_close(score: float, stored: float) -> bool:
    return math.isclose(score, stored, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
