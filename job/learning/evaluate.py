"""Scores and their intervals, from stored predictions: labels and probabilities, nothing else."""

from collections.abc import Iterator
from typing import TypedDict, cast

import numpy as np

from job.experiment.experiment import NEWEST
from job.learning.result_format import ByClass, ClassScores, Evaluation, Intervals, Weighted
from job.learning.roc import aucs
from job.learning.scores import class_scores, counted_classes, row_losses, weighted_scores

# metric of the search -> name of its score, here and in the report
SCORE_OF_METRIC = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1_macro": "f1",
    "log_loss": "log_loss",
}
REPEATS = 2000
CHUNK = 200  # resamples at once: 200 x 10,000 rows of float32 are 8 MB
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
    areas = [None if np.isnan(a) else float(a) for a in aucs(ones, labels, probabilities)[0]]
    one_sided = [classes[c] for c in range(k) if areas[c] is None]
    auc = not one_sided
    macro = weighted_scores(ones, labels, probabilities, auc=auc, method=method)
    point = {name: float(values[0]) for name, values in macro.items()}
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
        "roc_auc": point.get("roc_auc"),
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
    samples = bootstrap(labels, [probabilities], seed, auc, method=method)[0]
    result = {name: quantiles(values) for name, values in samples.items()}
    hits = int((probabilities.argmax(1) == labels).sum())
    # `weighted_scores` names the scores as the format does.
    return cast("Intervals", result | {"accuracy": wilson(hits, len(labels))})


def bootstrap(
    labels: np.ndarray, models: list[np.ndarray], seed: int, auc: bool = True, *, method: int
) -> list[dict[str, np.ndarray]]:
    """Return the scores of each model over the same 2,000 resamples, so that differences pair.

    Args:
        labels: int64 [n].
        models: the probabilities of each model, float32 [n, k].
        seed: of the resamples.
        auc: whether to add roc_auc.
        method: of the experiment, see METHODS in job.experiment.experiment.

    Returns:
        For each model, name of a score -> float64 [2000].
    """
    chunks = [
        [weighted_scores(weights, labels, p, auc, method=method) for p in models]
        for weights in resamples(labels, seed)
    ]
    return [
        {name: np.concatenate([chunk[m][name] for chunk in chunks]) for name in chunks[0][m]}
        for m in range(len(models))
    ]


def bootstrap_interval(
    score_name: str, labels: np.ndarray, probabilities: np.ndarray, seed: int, *, method: int
) -> list[float]:
    """Return the 95 % interval, [low, high], of one score over 2,000 stratified resamples."""
    auc = score_name == "roc_auc"
    samples = bootstrap(labels, [probabilities], seed, auc=auc, method=method)[0]
    return quantiles(samples[score_name])


def paired_difference(labels: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int) -> Paired:
    """Return the difference of two accuracies, a - b, with its 95 % interval.

    Args:
        labels: int64 [n].
        a, b: probabilities of two models, float32 [n, k]; both are resampled alike.
        seed: of the resamples.
    """
    # An accuracy is the same by every method.
    of_a, of_b = bootstrap(labels, [a, b], seed, auc=False, method=NEWEST)
    accuracy_a = score("accuracy", labels, a, method=NEWEST)
    accuracy_b = score("accuracy", labels, b, method=NEWEST)
    interval = quantiles(of_a["accuracy"] - of_b["accuracy"])
    return {"difference": accuracy_a - accuracy_b, "interval": interval}


def resamples(labels: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each row is drawn, float32 [200, n], until there are 2,000 resamples.

    Each class keeps its size.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    for _ in range(REPEATS // CHUNK):
        weights = np.zeros((CHUNK, len(labels)), np.float32)
        for r in rows:
            weights[:, r] = rng.multinomial(len(r), np.full(len(r), 1 / len(r)), size=CHUNK)
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
