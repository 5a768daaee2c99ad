"""Areas under ROC curves, for many weightings of the same rows at once."""

import numpy as np

# Up to this many images of a class, comparing pairs of rows is faster than sorting.
FEW = 64
# Rows compared at once: 20 MB with 10,000 others.
BLOCK = 512
# Classes whose columns are copied at once: their floats of a row are one cache line.
COLUMNS = 16


def aucs(weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each class against all others; ties count half.

    Args:
        weights: float32 [r, n], how often each row counts.
        labels: int64 [n], 0..k-1.
        probabilities: float32 [n, k].

    Returns:
        float64 [r, k], 0-1; NaN for a class with no image or with nothing but images.
    """
    k = probabilities.shape[1]
    support = np.bincount(labels, minlength=k)
    # For each row, the weight of all rows that score below it in its class, ties half.
    below = np.zeros(weights.shape)
    for c in np.flatnonzero(support > FEW):
        below[:, labels == c] = _below(weights, labels == c, probabilities[:, c])
    few = np.flatnonzero(support[labels] <= FEW)
    if len(few):
        columns = np.ascontiguousarray(weights.T)
        by_class = np.ascontiguousarray(probabilities.T)
        blocks = -(-len(few) // BLOCK)  # rounded up
        for rows in np.array_split(few, blocks):
            below[:, rows] = _below_few(columns, rows, labels, by_class)
    positive = sum_by_class(weights, labels, k)
    total = weights.sum(1, dtype=float)[:, None]
    # Pairs of two positive rows counted half, whatever their order; they count nothing here.
    pairs = sum_by_class(weights * below, labels, k) - positive**2 / 2
    with np.errstate(invalid="ignore"):
        return pairs / (positive * (total - positive))


def influences(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean area under the ROC curves, and how much each row moves it when drawn again.

    For weights that keep the size of each class, the mean area is to first order this area plus the
    sum of weights times influences.
    Source: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the Areas under Two or More
    Correlated ROC Curves", whose structural components these are.

    Args:
        labels: int64 [n], 0..k-1; each class has an image, and none has all.
        probabilities: float32 [n, k].

    Returns:
        The area, 0-1, and float64 [n], which sums up to 0.
    """
    k = probabilities.shape[1]
    areas = np.zeros(k)
    influence = np.zeros(len(labels))
    for first in range(0, k, COLUMNS):
        columns = np.ascontiguousarray(probabilities[:, first : first + COLUMNS].T)
        for c, scores in enumerate(columns, first):
            is_positive = labels == c
            positive = scores[is_positive]
            negative = scores[~is_positive]
            below = _share_below(np.sort(negative), positive)
            above = 1 - _share_below(np.sort(positive), negative)
            areas[c] = below.mean()
            influence[is_positive] += (below - areas[c]) / (len(positive) * k)
            influence[~is_positive] += (above - areas[c]) / (len(negative) * k)
    return float(areas.mean()), influence


def _share_below(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the share of sorted scores below each of other scores; ties count half, float64."""
    below = np.searchsorted(ordered, scores, "left")
    not_above = np.searchsorted(ordered, scores, "right")
    return (below + not_above) / (2 * len(ordered))


def sum_by_class(weights: np.ndarray, classes: np.ndarray, k: int) -> np.ndarray:
    """Return the sum of the weights of each class, float64 [r, k].

    Args:
        weights: [r, n].
        classes: int64 [n], the class of each column, 0..k-1.
        k: the number of classes.
    """
    order = np.argsort(classes, kind="stable")
    present, starts = np.unique(classes[order], return_index=True)
    sums = np.zeros((len(weights), k))
    if len(present):
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1, dtype=float)
    return sums


def _below(weights: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the weight that scores below each positive row, plus half of the weight that ties.

    Args:
        weights: float32 [r, n].
        positive: bool [n], the rows to return, p of them.
        scores: float32 [n].

    Returns:
        float64 [r, p].
    """
    order = np.argsort(scores, kind="stable")
    tie_starts = np.unique(scores[order], return_index=True)[1]
    tie_of_row = np.unique(scores, return_inverse=True)[1]
    sums = np.add.reduceat(weights[:, order], tie_starts, axis=1, dtype=float)
    return (np.cumsum(sums, axis=1) - sums / 2)[:, tie_of_row[positive]]


def _below_few(
    columns: np.ndarray, rows: np.ndarray, labels: np.ndarray, by_class: np.ndarray
) -> np.ndarray:
    """Return the same as `_below` for rows of small classes, by comparing each with all others.

    That takes one matrix product instead of one sort per class. Both give the same bits, as a sum
    of whole and half numbers below 2**23 is exact in float32.

    Args:
        columns: the weights, float32 [n, r].
        rows: int64 [p].
        labels: int64 [n].
        by_class: the probabilities, float32 [k, n].

    Returns:
        float32 [r, p].
    """
    scores = by_class[labels[rows]]
    own_scores = by_class[labels[rows], rows][:, None]
    compared = (scores < own_scores).astype(np.float32)
    np.copyto(compared, 0.5, where=scores == own_scores)
    return (compared @ columns).T
