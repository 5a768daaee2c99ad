"""Scores and their intervals, from stored predictions: labels and probabilities, nothing else."""

from collections.abc import Callable, Iterator
from typing import TypedDict, cast

import numpy as np

from job.learning.result_format import ByClass, ClassScores, Evaluation, Intervals, Weighted
from job.learning.roc import aucs, influences
from job.learning.scores import (
    class_scores,
    counted_classes,
    macro_auc,
    row_losses,
    scores_of_guesses,
    weighted_scores,
)

# metric of the search -> name of its score, here and in the report
SCORE_OF_METRIC = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1_macro": "f1",
    "log_loss": "log_loss",
}
REPEATS = 2000
CHUNK = 200  # resamples at once: 200 x 10,000 rows of float32 are 8 MB
# From here on, time and memory would not suffice for what fewer rows get: fewer resamples are drawn
# at once, rows that are alike are drawn together, and areas are resampled to first order.
MANY_ROWS = 100_000
Z95 = 1.959963984540054


class Paired(TypedDict):
    """The difference of two accuracies, -1 to 1, and its 95 % interval, [low, high]."""

    difference: float
    interval: list[float]


def score(metric: str, labels: np.ndarray, probabilities: np.ndarray, *, method: int) -> float:
    """Return one objective.

    Args:
        metric: one of `SCORE_OF_METRIC`.
        labels: int64 [n], 0..k-1.
        probabilities: float32 [n, k], rows sum to 1.
        method: of the experiment, see METHODS in job.experiment.experiment.
    """
    if metric == "log_loss":
        return float(row_losses(labels, probabilities).mean())
    ones = np.ones((1, len(labels)), np.float32)
    scores = weighted_scores(ones, labels, probabilities, auc=False, method=method)
    return float(scores[SCORE_OF_METRIC[metric]][0])


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str], seed: int, *, method: int
) -> Evaluation:
    """Return all scores with 95 % intervals, JSON-serializable.

    Precision, recall and f1 are macro averages, and `weighted` holds the class-weighted ones. The
    precision of a class that is never predicted counts as 0, and the class is listed. A class that
    is neither predicted nor there has no scores and counts nowhere (by method 1 it counts as 0).
    ROC-AUC is one-vs-rest. It is null, with the reason, if a class has no image or all of them.

    Args:
        labels: int64 [n], 0..k-1.
        probabilities: float32 [n, k], rows sum to 1.
        classes: k names.
        seed: of the bootstrap.
        method: of the experiment, see METHODS in job.experiment.experiment.
    """
    ones = np.ones((1, len(labels)), np.float32)
    k = len(classes)
    matrix = np.zeros((k, k), int)
    np.add.at(matrix, (labels, probabilities.argmax(1)), 1)
    by_class = aucs(ones, labels, probabilities)
    areas = [None if np.isnan(a) else float(a) for a in by_class[0]]
    one_sided = [classes[c] for c in range(k) if areas[c] is None]
    auc = not one_sided
    scores = weighted_scores(ones, labels, probabilities, auc=False, method=method)
    point = {name: float(values[0]) for name, values in scores.items()}
    known = counted_classes(matrix.sum(0), matrix.sum(1), method)
    reason = f"no image, or nothing but images, of {', '.join(one_sided)}" if one_sided else None
    return {
        "n": len(labels),
        "accuracy": point["accuracy"],
        "balanced_accuracy": point["balanced_accuracy"],
        "precision": point["precision"],
        "recall": point["recall"],
        "f1": point["f1"],
        "log_loss": point["log_loss"],
        "roc_auc": float(macro_auc(by_class)[0]) if auc else None,
        "roc_auc_reason": reason,
        **_by_class(matrix, classes, known, areas),
        "confusion_matrix": matrix.tolist(),
        "intervals": intervals(labels, probabilities, seed, auc=auc, method=method),
    }


def _by_class(
    matrix: np.ndarray, classes: list[str], known: np.ndarray, areas: list[float | None]
) -> ByClass:
    """Return the scores of each class, their weighted averages, and the classes never predicted.

    Args:
        matrix: the confusion matrix, int [k, k], true classes in rows.
        classes: k names.
        known: bool [k], the classes that have scores.
        areas: the ROC-AUC of each class, or None.
    """
    hits = np.diag(matrix).astype(float)
    support = matrix.sum(1)
    precision, recall, f1 = class_scores(hits, matrix.sum(0), support)
    rows: list[ClassScores] = [
        {
            "class": name,
            "precision": float(precision[c]) if known[c] else None,
            "recall": float(recall[c]) if known[c] else None,
            "f1": float(f1[c]) if known[c] else None,
            "support": int(support[c]),
            "roc_auc": areas[c],
        }
        for c, name in enumerate(classes)
    ]
    weighted: Weighted = {
        "precision": float(np.average(precision, weights=support)),
        "recall": float(np.average(recall, weights=support)),
        "f1": float(np.average(f1, weights=support)),
    }
    never_predicted = matrix.sum(0) == 0
    return {
        "weighted": weighted,
        "per_class": rows,
        "undefined_precision": [
            name for c, name in enumerate(classes) if known[c] and never_predicted[c]
        ],
    }


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, seed: int, auc: bool = True, *, method: int
) -> Intervals:
    """Return the 95 % interval, [low, high], of each score.

    Accuracy has a Wilson interval, the others one from 2,000 stratified resamples.
    """
    guesses = probabilities.argmax(1)
    losses = row_losses(labels, probabilities)
    classes = probabilities.shape[1]
    area = _area(labels, probabilities) if auc else None

    def scores(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = scores_of_guesses(weights, labels, guesses, losses, classes, method=method)
        return found if area is None else found | {"roc_auc": area(weights)}

    chunks = [scores(weights) for weights in resamples(labels, seed)]
    result = {
        name: quantiles(np.concatenate([chunk[name] for chunk in chunks])) for name in chunks[0]
    }
    hits = int((guesses == labels).sum())
    # `scores_of_guesses` names the scores as the format does.
    return cast("Intervals", result | {"accuracy": wilson(hits, len(labels))})


def _area(labels: np.ndarray, probabilities: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the mean area under the ROC curves as a function of the weights of stratified rows.

    Of many rows it is the first-order term. What that leaves out has a variance of the order of
    1 / (images of a class x other images), beside 1 / images of a class. The whole would take 37
    hours for 1,000,000 rows of 1,000 classes.
    """
    if len(labels) <= MANY_ROWS:
        return lambda weights: macro_auc(aucs(weights, labels, probabilities))
    mean, influence = influences(labels, probabilities)
    return lambda weights: mean + weights.astype(float) @ influence


def bootstrap_interval(
    score_name: str,
    labels: np.ndarray,
    guesses: np.ndarray,
    losses: np.ndarray,
    classes: int,
    seed: int,
    *,
    method: int,
) -> list[float]:
    """Return the 95 % interval, [low, high], of one score over 2,000 stratified resamples.

    Args:
        score_name: any but roc_auc.
        labels: int64 [n], 0..k-1.
        guesses: the predicted classes, int64 [n].
        losses: of each row, float64 [n].
        classes: k.
        seed: of the resamples.
        method: of the experiment, see METHODS in job.experiment.experiment.
    """
    samples = [
        scores_of_guesses(weights, labels, guesses, losses, classes, method=method)[score_name]
        for weights in resamples(labels, seed)
    ]
    return quantiles(np.concatenate(samples))


def accuracy_interval(labels: np.ndarray, right: np.ndarray, seed: int) -> list[float]:
    """Return the 95 % interval, [low, high], of the accuracy over 2,000 stratified resamples.

    Args:
        labels: int64 [n].
        right: which rows are classified correctly, bool [n].
        seed: of the resamples.
    """
    return quantiles(_accuracies(labels, right[None], seed)[0])


def paired_difference(
    labels: np.ndarray, right_a: np.ndarray, right_b: np.ndarray, seed: int
) -> Paired:
    """Return the difference of two accuracies, a - b, with its 95 % interval.

    Args:
        labels: int64 [n].
        right_a, right_b: which rows each model classifies correctly, bool [n]; both are resampled
            alike.
        seed: of the resamples.
    """
    of_a, of_b = _accuracies(labels, np.stack([right_a, right_b]), seed)
    difference = float(right_a.mean()) - float(right_b.mean())
    return {"difference": difference, "interval": quantiles(of_a - of_b)}


def _accuracies(labels: np.ndarray, right: np.ndarray, seed: int) -> np.ndarray:
    """Return the accuracy of each model over the same 2,000 resamples, so that differences pair.

    Args:
        labels: int64 [n].
        right: which rows each of m models classifies correctly, bool [m, n].
        seed: of the resamples.

    Returns:
        float64 [m, 2000].
    """
    sizes = np.ones(len(labels), np.int64)
    if len(labels) > MANY_ROWS:
        # Rows of a class on which the same models are right are interchangeable.
        alike, sizes = np.unique(np.vstack([labels, right]), axis=1, return_counts=True)
        labels, right = alike[0], alike[1:].astype(bool)
    chunks = [
        [weights[:, of].sum(1, dtype=float) / sizes.sum() for of in right]
        for weights in resamples(labels, seed, sizes)
    ]
    return np.concatenate(chunks, axis=1)


def resamples(
    labels: np.ndarray, seed: int, sizes: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield how often each row is drawn, until there are 2,000 resamples.

    Each class keeps its size.

    Args:
        labels: int64 [n].
        seed: of the draws.
        sizes: how many images each row stands for, int64 [n]; None: one.

    Yields:
        float32 [r, n]; r is 200, or less where n is above 100,000.
    """
    rng = np.random.default_rng(seed)
    sizes = np.ones(len(labels), np.int64) if sizes is None else sizes
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    step = max(CHUNK * MANY_ROWS // max(len(labels), MANY_ROWS), 1)
    for start in range(0, REPEATS, step):
        weights = np.zeros((min(step, REPEATS - start), len(labels)), np.float32)
        for r in rows:
            of_class = sizes[r].sum()
            weights[:, r] = rng.multinomial(of_class, sizes[r] / of_class, size=len(weights))
        yield weights


def mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` rows that are wrong, int64: the most confident first, ties by row."""
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")[:most]]


def wilson(hits: int, n: int) -> list[float]:
    """Return the 95 % Wilson score interval of a proportion, [low, high] (Wilson 1927).

    Both ends are clipped to 0..1, which rounding could leave.
    """
    p = hits / n
    z = Z95
    center = p + z * z / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    ends = (center - half, center + half)
    return [min(max(float(end / (1 + z * z / n)), 0.0), 1.0) for end in ends]


def quantiles(values: np.ndarray) -> list[float]:
    """Return the 2.5 % and 97.5 % quantiles."""
    return [float(v) for v in np.quantile(values, [0.025, 0.975])]
