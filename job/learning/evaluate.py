"""Scores and their intervals, from stored predictions: labels and probabilities, nothing else."""

import numpy as np

from job.experiment.experiment import NEWEST

REPEATS = 2000
CHUNK = 200  # resamples at once: 200 x 10,000 rows of float32 are 8 MB
FEW = 64  # images of a class: up to here comparing pairs is faster than sorting
BLOCK = 512  # rows compared at once: with 10,000 others 20 MB
Z95 = 1.959963984540054
EPSILON = 1e-7


def score(metric: str, labels: np.ndarray, probabilities: np.ndarray, *, method: int) -> float:
    """Return one objective: accuracy, balanced_accuracy, f1_macro or log_loss.

    Args:
        labels: int64 [n], 0..k-1.
        probabilities: float32 [n, k], rows sum to 1.
        method: the experiment's, see job.experiment.experiment.METHODS.
    """
    ones = np.ones((1, len(labels)), np.float32)
    name = {"f1_macro": "f1"}.get(metric, metric)
    if name == "log_loss":
        return float(row_losses(labels, probabilities).mean())
    return float(weighted_scores(ones, labels, probabilities, auc=False, method=method)[name][0])


def evaluate(
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str], seed: int, *, method: int
) -> dict:
    """Return all scores with 95 % intervals: Wilson for accuracy, stratified bootstrap for the others.

    precision, recall and f1 are macro averages, `weighted` the class-weighted ones. The precision of a
    class that is never predicted counts as 0 and is listed; a class that is not there either has no scores
    and counts nowhere (by method 1 as 0 everywhere). ROC-AUC is one-vs-rest and null, with the reason,
    unless every class has both sides.
    """
    ones = np.ones((1, len(labels)), np.float32)
    k = len(classes)
    support = np.bincount(labels, minlength=k)
    matrix = np.zeros((k, k), int)
    np.add.at(matrix, (labels, probabilities.argmax(1)), 1)
    precision, recall, f1 = _class_scores(
        np.diag(matrix).astype(float), matrix.sum(0), matrix.sum(1)
    )
    aucs = [None if np.isnan(a) else float(a) for a in _aucs(ones, labels, probabilities)[0]]
    scored = weighted_scores(ones, labels, probabilities, auc=None not in aucs, method=method)
    point, known = (
        {name: float(v[0]) for name, v in scored.items()},
        _known(matrix.sum(0), matrix.sum(1), method),
    )
    absent = [classes[c] for c in range(k) if aucs[c] is None]
    return {
        "n": len(labels),
        **point,
        "roc_auc": point.get("roc_auc"),
        "roc_auc_reason": f"no image, or nothing but images, of {', '.join(absent)}"
        if absent
        else None,
        "weighted": {
            name: float(np.average(v, weights=support))
            for name, v in (("precision", precision), ("recall", recall), ("f1", f1))
        },
        "per_class": [
            {
                "class": classes[c],
                "precision": float(precision[c]) if known[c] else None,
                "recall": float(recall[c]) if known[c] else None,
                "f1": float(f1[c]) if known[c] else None,
                "support": int(support[c]),
                "roc_auc": aucs[c],
            }
            for c in range(k)
        ],
        "undefined_precision": [
            classes[c] for c in range(k) if known[c] and matrix[:, c].sum() == 0
        ],
        "confusion_matrix": matrix.tolist(),
        "intervals": intervals(labels, probabilities, seed, auc=None not in aucs, method=method),
    }


def intervals(
    labels: np.ndarray, probabilities: np.ndarray, seed: int, auc: bool = True, *, method: int
) -> dict[str, list[float]]:
    """Return [low, high] of each score: Wilson for accuracy, 2,000 stratified resamples for the rest."""
    samples = bootstrap(labels, [probabilities], seed, auc, method=method)[0]
    result = {name: quantiles(values) for name, values in samples.items()}
    return result | {
        "accuracy": wilson(int((probabilities.argmax(1) == labels).sum()), len(labels))
    }


def bootstrap(
    labels: np.ndarray, models: list[np.ndarray], seed: int, auc: bool = True, *, method: int
) -> list[dict[str, np.ndarray]]:
    """Return for each model's probabilities [n, k] its scores over the SAME 2,000 resamples, so that differences pair."""
    parts = [
        [weighted_scores(w, labels, p, auc, method=method) for p in models]
        for w in resamples(labels, seed)
    ]
    return [
        {name: np.concatenate([part[m][name] for part in parts]) for name in parts[0][m]}
        for m in range(len(models))
    ]


def bootstrap_interval(
    score_name: str, labels: np.ndarray, probabilities: np.ndarray, seed: int, *, method: int
) -> list[float]:
    """Return the 95 % interval of one score over 2,000 stratified resamples."""
    return quantiles(
        bootstrap(labels, [probabilities], seed, auc=score_name == "roc_auc", method=method)[0][
            score_name
        ]
    )


def paired_difference(labels: np.ndarray, a: np.ndarray, b: np.ndarray, seed: int) -> dict:
    """Return the difference a - b of the accuracies with its 95 % interval over the same resamples."""
    x, y = bootstrap(
        labels, [a, b], seed, auc=False, method=NEWEST
    )  # of which an accuracy is independent
    here = [score("accuracy", labels, p, method=NEWEST) for p in (a, b)]
    return {"difference": here[0] - here[1], "interval": quantiles(x["accuracy"] - y["accuracy"])}


def resamples(labels: np.ndarray, seed: int):
    """Yield float32 [<=200, n]: how often each row is drawn, each class keeping its size; 2,000 in all."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    for _ in range(REPEATS // CHUNK):
        weights = np.zeros((CHUNK, len(labels)), np.float32)
        for r in rows:
            weights[:, r] = rng.multinomial(len(r), np.full(len(r), 1 / len(r)), size=CHUNK)
        yield weights


def weighted_scores(
    weights: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    auc: bool = True,
    *,
    method: int,
) -> dict[str, np.ndarray]:
    """Return each score for each row of weights, float [r, n] -> float64 [r].

    Args: method: the experiment's, see job.experiment.experiment.METHODS: which classes the macro averages count.
    """
    k, guess = probabilities.shape[1], probabilities.argmax(1)
    right = np.flatnonzero(guess == labels)
    hits = _by_class(weights[:, right], labels[right], k)
    predicted, true = _by_class(weights, guess, k), _by_class(weights, labels, k)
    precision, recall, f1 = _class_scores(
        hits, predicted, true
    )  # 0 for a class that does not count: the sums are without it
    counted = _known(predicted, true, method).sum(1)
    total = weights.sum(1, dtype=float)
    result = {
        "accuracy": hits.sum(1) / total,
        "balanced_accuracy": recall.sum(1) / (true > 0).sum(1),
        "precision": precision.sum(1) / counted,
        "recall": recall.sum(1) / counted,
        "f1": f1.sum(1) / counted,
        "log_loss": weights.astype(float) @ row_losses(labels, probabilities) / total,
    }
    if auc:
        result["roc_auc"] = np.mean(
            np.ascontiguousarray(_aucs(weights, labels, probabilities).T), axis=0
        )
    return result


def row_losses(labels: np.ndarray, probabilities: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Return -log of the true class' probability, float64 [n], bounded at 1e-7 as Keras does.

    Args: smoothing: the share of the truth that is spread over all classes, 0..1, as Keras' `label_smoothing`; 0 for a score.
    """
    own = -np.log(
        np.clip(probabilities[np.arange(len(labels)), labels].astype(float), EPSILON, 1.0)
    )
    if not smoothing:
        return own
    return (1 - smoothing) * own + smoothing * -np.log(
        np.clip(probabilities.astype(float), EPSILON, 1.0)
    ).mean(1)


def mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Return the rows that are wrong, at most `most` of them: the most confident first, ties by row."""
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")[:most]]


def wilson(hits: int, n: int) -> list[float]:
    """Return the 95 % Wilson score interval of a proportion (Wilson 1927); rounding takes no end of it out of 0..1."""
    p, z = hits / n, Z95
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [
        min(max(float(end / (1 + z * z / n)), 0.0), 1.0) for end in (centre - half, centre + half)
    ]


def quantiles(values: np.ndarray) -> list[float]:
    """Return the 2.5 and 97.5 % quantiles."""
    return [float(v) for v in np.quantile(values, [0.025, 0.975])]


def _class_scores(
    hits: np.ndarray, predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and f1 per class, float [r, k], of how many were right, predicted and there; 0/0 is 0."""

    def ratio(a, b):
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    return ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, predicted + true)


def _known(predicted: np.ndarray, true: np.ndarray, method: int) -> np.ndarray:
    """Tell which classes a macro average counts, bool [..., k]: those that are there or predicted, as scikit-learn does; by method 1 all.

    Source: scikit-learn, `precision_recall_fscore_support`: labels are by default those of y_true and y_pred together.
    """
    return predicted + true > 0 if method >= 2 else np.ones_like(true, bool)


def _by_class(weights: np.ndarray, of: np.ndarray, k: int) -> np.ndarray:
    """Return the sum of the weights of each class, float64 [r, k]. Args: of: int64 [n], the class of each column of the weights."""
    order = np.argsort(of, kind="stable")
    present, starts = np.unique(of[order], return_index=True)
    sums = np.zeros((len(weights), k))
    if len(present):
        sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1, dtype=float)
    return sums


def _aucs(weights: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the area under each class' ROC curve, one-vs-rest, float64 [r, k]; ties count half; NaN for a class without both sides."""
    k, support = probabilities.shape[1], np.bincount(labels, minlength=probabilities.shape[1])
    below = np.zeros(
        weights.shape
    )  # of each row: the weight of all that scores below it in its class, ties half
    for c in np.flatnonzero(support > FEW):
        below[:, labels == c] = _below(weights, labels == c, probabilities[:, c])
    few, columns, of_class = (
        np.flatnonzero(support[labels] <= FEW),
        np.ascontiguousarray(weights.T),
        np.ascontiguousarray(probabilities.T),
    )
    for rows in np.array_split(few, -(-len(few) // BLOCK) or 1):
        below[:, rows] = _below_few(columns, rows, labels, of_class)
    positive, total = _by_class(weights, labels, k), weights.sum(1, dtype=float)[:, None]
    pairs = (
        _by_class(weights * below, labels, k) - positive**2 / 2
    )  # those among the positives count half, whatever their order
    with np.errstate(invalid="ignore"):
        return pairs / (positive * (total - positive))


def _below(weights: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return how much weight scores below each positive row, and half of what scores the same: float64 [r, positives]."""
    order = np.argsort(scores, kind="stable")
    ties, tie_of = (
        np.unique(scores[order], return_index=True)[1],
        np.unique(scores, return_inverse=True)[1],
    )
    sums = np.add.reduceat(weights[:, order], ties, axis=1, dtype=float)
    return (np.cumsum(sums, axis=1) - sums / 2)[:, tie_of[positive]]


def _below_few(
    columns: np.ndarray, rows: np.ndarray, labels: np.ndarray, of_class: np.ndarray
) -> np.ndarray:
    """Return the same for rows of small classes, by comparing each with all others: one product instead of a sort a class.

    A sum of whole and half numbers below 2**23 is exact in float32: both ways give the same bits.
    Args: columns: the weights, float32 [n, r]. of_class: the probabilities, float32 [k, n]. Returns: float32 [r, rows].
    """
    scores, ours = of_class[labels[rows]], of_class[labels[rows], rows][:, None]
    compared = (scores < ours).astype(np.float32)
    np.copyto(compared, 0.5, where=scores == ours)
    return (compared @ columns).T
