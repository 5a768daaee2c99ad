"""What pictures and tables show, computed from predictions: ROC, calibration, confusions."""

from typing import Any

import numpy as np

GRID = np.linspace(0, 1, 101)  # of false positive rates
BINS = 10


def roc(positive: np.ndarray, scores: np.ndarray) -> np.ndarray | None:
    """Return the true positive rate at each false positive rate of GRID.

    Args:
        positive: bool [n].
        scores: float [n]; equal scores are one threshold.

    Returns:
        float [101], or None unless there are positives and negatives.
    """
    if not 0 < positive.sum() < len(positive):
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[ends]
    alarms = np.cumsum(~positive[order])[ends]
    return np.interp(GRID, np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1]))


def rocs(labels: np.ndarray, probabilities: np.ndarray) -> list[np.ndarray | None]:
    """Return the one-vs-rest ROC line of each class.

    Args:
        labels: int64 [n].
        probabilities: float [n, k].
    """
    return [roc(labels == c, probabilities[:, c]) for c in range(probabilities.shape[1])]


def macro(lines: list[np.ndarray | None]) -> np.ndarray | None:
    """Return the mean of the classes' lines, or None when a class has none."""
    drawable = [line for line in lines if line is not None]
    return np.mean(drawable, axis=0) if len(drawable) == len(lines) else None


def calibration(right: np.ndarray, confidence: np.ndarray) -> tuple[list[dict], float]:
    """Return the bins of stated confidence that hold images, and the expected calibration error.

    Ten bins have equal width. The error is the mean gap between confidence and accuracy, weighted
    by images. Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".

    Args:
        right: which rows are classified correctly, bool [n].
        confidence: the probability of the predicted class, float [n].
    """
    confidence = confidence.astype(float)
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for b in range(BINS):
        members = bin_of == b
        if members.any():
            bins.append(
                {
                    "n": int(members.sum()),
                    "confidence": float(confidence[members].mean()),
                    "accuracy": float(right[members].mean()),
                }
            )
    error = sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(right)
    return bins, error


def as_matrix(rows: Any) -> np.ndarray | None:
    """Return a stored confusion matrix as int [k, k].

    Args:
        rows: list[list[int]] as JSON holds it, or None.

    Returns:
        None when the matrix or one of its counts is missing.
    """
    if not rows:
        return None
    whole = all(row is not None and len(row) == len(rows) and None not in row for row in rows)
    return np.array(rows) if whole else None


def confusions(matrix: np.ndarray | list[list[int]], classes: list[str], most: int) -> list[dict]:
    """Return the most frequent confusions, at most `most`.

    Args:
        matrix: int [k, k]; rows are the true classes.

    Returns:
        true class, predicted class, n, and the share of the true class.
    """
    counts = np.array(matrix)
    support = counts.sum(1)
    np.fill_diagonal(counts, 0)
    worst = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(worst, counts.shape), strict=True)]
    return [
        {
            "true": classes[i],
            "predicted": classes[j],
            "n": int(counts[i, j]),
            "share": counts[i, j] / support[i],
        }
        for i, j in pairs
        if counts[i, j]
    ]
