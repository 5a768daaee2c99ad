"""What pictures and tables show, computed from predictions: ROC points, calibration, confusions."""

import numpy as np

GRID = np.linspace(0, 1, 101)
BINS = 10


def roc(positive: np.ndarray, scores: np.ndarray) -> np.ndarray | None:
    """Return the true positive rate at each false positive rate of GRID; None unless both sides are there.

    Args: positive: bool [n]. scores: float [n]; equal scores are one threshold.
    """
    if not 0 < positive.sum() < len(positive):
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits, alarms = np.cumsum(positive[order])[ends], np.cumsum(~positive[order])[ends]
    return np.interp(GRID, np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1]))


def rocs(labels: np.ndarray, probabilities: np.ndarray) -> list[np.ndarray | None]:
    """Return one-vs-rest ROC points per class."""
    return [roc(labels == c, probabilities[:, c]) for c in range(probabilities.shape[1])]


def macro(lines: list[np.ndarray | None]) -> np.ndarray | None:
    """Return the mean of the classes' lines, or None when a class has none."""
    return None if any(line is None for line in lines) else np.mean(lines, axis=0)


def calibration(labels: np.ndarray, probabilities: np.ndarray) -> tuple[list[dict], float]:
    """Return bins of the stated confidence, and the expected calibration error.

    Ten bins of equal width; the error is the mean gap between confidence and accuracy, weighted by
    images. Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
    """
    confidence, right = probabilities.max(1).astype(float), probabilities.argmax(1) == labels
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = [
        {
            "n": int(m.sum()),
            "confidence": float(confidence[m].mean()),
            "accuracy": float(right[m].mean()),
        }
        for m in (bin_of == b for b in range(BINS))
        if m.any()
    ]
    return bins, sum(b["n"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / len(labels)


def counted(matrix: list[list[int]] | None) -> np.ndarray | None:
    """Return a confusion matrix, int [k, k], or None when it or a count of it is not there."""
    rows = matrix or []
    whole = bool(rows) and all(
        row is not None and len(row) == len(rows) and None not in row for row in rows
    )
    return np.array(rows) if whole else None


def confusions(matrix: np.ndarray | list[list[int]], classes: list[str], most: int) -> list[dict]:
    """Return the most frequent confusions: true class, predicted class, how many, share of the true class.

    Args: matrix: int [k, k], rows are the true classes.
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
