"""Scores of many weightings of the same rows at once, and the loss of each row."""

import numpy as np

from job.learning.roc import aucs, sum_by_class

EPSILON = 1e-7


def weighted_scores(
    weights: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    auc: bool = True,
    *,
    method: int,
) -> dict[str, np.ndarray]:
    """Return each score for each weighting of the rows.

    Args:
        weights: float32 [r, n].
        labels: int64 [n], 0..k-1.
        probabilities: float32 [n, k], rows sum to 1.
        auc: whether to add roc_auc.
        method: of the experiment (see METHODS in job.experiment.experiment); it decides which
            classes the macro averages count.

    Returns:
        Name of a score -> float64 [r].
    """
    guesses = probabilities.argmax(1)
    losses = row_losses(labels, probabilities)
    classes = probabilities.shape[1]
    result = scores_of_guesses(weights, labels, guesses, losses, classes, method=method)
    if auc:
        result["roc_auc"] = macro_auc(aucs(weights, labels, probabilities))
    return result


def scores_of_guesses(
    weights: np.ndarray,
    labels: np.ndarray,
    guesses: np.ndarray,
    losses: np.ndarray,
    classes: int,
    *,
    method: int,
) -> dict[str, np.ndarray]:
    """Return the scores that need no probabilities, for each weighting of the rows.

    Args:
        weights: float32 [r, n].
        labels: int64 [n], 0..k-1.
        guesses: the predicted classes, int64 [n], 0..k-1.
        losses: of each row, float64 [n], as `row_losses` returns them.
        classes: k.
        method: of the experiment, as for `weighted_scores`.

    Returns:
        Name of a score -> float64 [r]; all but roc_auc.
    """
    right = np.flatnonzero(guesses == labels)
    hits = sum_by_class(weights[:, right], labels[right], classes)
    predicted = sum_by_class(weights, guesses, classes)
    true = sum_by_class(weights, labels, classes)
    # A class that does not count scores 0, so it adds nothing to the sums.
    precision, recall, f1 = class_scores(hits, predicted, true)
    counted = counted_classes(predicted, true, method).sum(1)
    total = weights.sum(1, dtype=float)
    return {
        "accuracy": hits.sum(1) / total,
        "balanced_accuracy": recall.sum(1) / (true > 0).sum(1),
        "precision": precision.sum(1) / counted,
        "recall": recall.sum(1) / counted,
        "f1": f1.sum(1) / counted,
        "log_loss": weights.astype(float) @ losses / total,
    }


def macro_auc(areas: np.ndarray) -> np.ndarray:
    """Return the mean area of all classes, float64 [r]. Args: areas: float64 [r, k]."""
    return np.mean(np.ascontiguousarray(areas.T), axis=0)


def row_losses(labels: np.ndarray, probabilities: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return minus the log of the true class' probability, float64 [n].

    Probabilities are clipped at 1e-7, as Keras does.

    Args:
        labels: int64 [n].
        probabilities: float32 [n, k].
        smoothing: the share of the truth that is spread over all classes, 0-1, as `label_smoothing`
            of Keras; 0 for a score.
    """
    losses = losses_of(probabilities[np.arange(len(labels)), labels])
    if not smoothing:
        return losses
    return (1 - smoothing) * losses + smoothing * losses_of(probabilities).mean(1)


def losses_of(probabilities: np.ndarray) -> np.ndarray:
    """Return minus the log of each probability, float64 of the same shape, clipped as above."""
    return -np.log(np.clip(probabilities.astype(float), EPSILON, 1.0))


def class_scores(
    hits: np.ndarray, predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and f1 per class, float64 [..., k]; 0/0 is 0.

    Args:
        hits: float64 [..., k], the images of each class that are right.
        predicted: [..., k], how many are predicted.
        true: [..., k], how many there are.
    """

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    return ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, predicted + true)


def counted_classes(predicted: np.ndarray, true: np.ndarray, method: int) -> np.ndarray:
    """Return which classes a macro average counts, bool [..., k].

    Those are the classes that are there or predicted, as in scikit-learn; by method 1 all.
    Source: scikit-learn, `precision_recall_fscore_support`, whose labels are by default those of
    y_true and y_pred together.
    """
    return predicted + true > 0 if method >= 2 else np.ones_like(true, bool)
