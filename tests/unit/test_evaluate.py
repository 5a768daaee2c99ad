"""Scores equal scikit-learn's, and their intervals mean what they say."""

import time
from decimal import Decimal, localcontext

import numpy as np
import pytest
from sklearn import metrics

from job.experiment.experiment import METRICS, NEWEST
from job.learning import evaluate, roc, scores

CLASSES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def data():
    """Return labels and probabilities of 300 images in 4 classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    logits = rng.normal(size=(300, 4)) + 1.5 * np.eye(4)[labels]
    p = np.exp(logits)
    return labels, (p / p.sum(1, keepdims=True)).astype(np.float32)


def test_every_metric_is_a_score(data):
    """Each metric of the search is the score of this name in a fold's result.

    A log loss is summed in another order there, so its last digit may differ.
    """
    labels, p = data
    result = evaluate.evaluate(labels, p, CLASSES, 1, method=NEWEST)
    assert evaluate.SCORE_OF_METRIC.keys() == METRICS.keys()
    for metric, name in evaluate.SCORE_OF_METRIC.items():
        score = evaluate.score(metric, labels, p, method=NEWEST)
        assert score == pytest.approx(result[name], rel=1e-12)


def test_equal_to_scikit_learn(data):
    """Accuracies, macro and weighted averages, ROC-AUC and log loss equal scikit-learn's."""
    labels, p = data
    ours = evaluate.evaluate(labels, p, CLASSES, 1, method=NEWEST)
    guess = p.argmax(1)
    theirs = metrics.precision_recall_fscore_support(labels, guess, average="macro")
    weighted = metrics.precision_recall_fscore_support(labels, guess, average="weighted")
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(labels, guess))
    balanced = metrics.balanced_accuracy_score(labels, guess)
    assert ours["balanced_accuracy"] == pytest.approx(balanced)
    assert (ours["precision"], ours["recall"], ours["f1"]) == pytest.approx(theirs[:3])
    assert tuple(ours["weighted"].values()) == pytest.approx(weighted[:3])
    exact = p / p.sum(1, keepdims=True)
    auc = metrics.roc_auc_score(labels, exact, multi_class="ovr")
    assert ours["roc_auc"] == pytest.approx(auc, abs=1e-6)
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(labels, p), abs=1e-6)
    assert ours["confusion_matrix"] == metrics.confusion_matrix(labels, guess).tolist()
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "log_loss"):
        score = evaluate.score(name, labels, p, method=NEWEST)
        assert score == pytest.approx(ours[name.removesuffix("_macro")])


def test_auc_with_ties():
    """Equal scores count half, as in scikit-learn."""
    labels = np.array([0, 1, 0, 1, 1])
    scores = np.array([0.5, 0.5, 0.2, 0.2, 0.9], np.float32)
    p = np.stack([1 - scores, scores], 1)
    ours = evaluate.evaluate(labels, p, ["a", "b"], 1, method=NEWEST)
    assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, scores))


def test_undefined_scores_are_named(data):
    """A class never predicted has precision 0 and is listed.

    A class without images has no ROC-AUC, and the reason is given.
    """
    labels, p = data
    p = p.copy()
    p[:, 3] = 0
    result = evaluate.evaluate(np.where(labels == 2, 1, labels), p, CLASSES, 1, method=NEWEST)
    assert result["undefined_precision"] == ["d"]
    assert result["per_class"][3]["precision"] == 0
    assert result["roc_auc"] is None
    assert "c" in result["roc_auc_reason"]


@pytest.mark.parametrize("seed", range(20))
def test_an_absent_class_does_not_count(seed):
    """Classes neither tested nor predicted leave the macro averages, as in scikit-learn.

    That holds in resamples too; the other classes stay, with 0 where undefined.
    """
    rng = np.random.default_rng(seed)
    there = rng.permutation(7)[:4]
    predicted = rng.permutation(7)[:4]
    labels = rng.choice(there, 60)
    p = np.full((60, 7), 0.01, np.float32)
    p[np.arange(60), rng.choice(predicted, 60)] = 0.94
    ours = evaluate.evaluate(labels, p, list("abcdefg"), 1, method=2)
    check_against_scikit_learn(ours, labels, p.argmax(1))
    weights = np.concatenate(list(evaluate.resamples(labels, 3)))[:40]
    drawn = scores.weighted_scores(weights, labels, p, auc=False, method=2)
    for row, times in enumerate(weights.astype(int)):
        drawn_scores = {name: v[row] for name, v in drawn.items()}
        drawn_guess = np.repeat(p.argmax(1), times)
        check_against_scikit_learn(drawn_scores, np.repeat(labels, times), drawn_guess)
    for metric, name in (("f1_macro", "f1"), ("balanced_accuracy", "balanced_accuracy")):
        assert evaluate.score(metric, labels, p, method=2) == ours[name]
    nowhere = set(range(7)) - set(labels) - set(p.argmax(1))
    for c, row in enumerate(ours["per_class"]):
        assert [row[name] is None for name in ("precision", "recall", "f1")] == [c in nowhere] * 3
    never_predicted = {"abcdefg"[c] for c in set(labels) - set(p.argmax(1))}
    assert set(ours["undefined_precision"]) == never_predicted


def check_against_scikit_learn(ours, labels, guess):
    """Compare macro averages and balanced accuracy with scikit-learn's."""
    averages = metrics.precision_recall_fscore_support(
        labels, guess, average="macro", zero_division=0
    )
    macro = [ours[name] for name in ("precision", "recall", "f1")]
    assert macro == pytest.approx(averages[:3])
    present = np.unique(labels)  # balanced_accuracy_score does the same, and warns
    recalls = [(guess[labels == c] == c).mean() for c in present]
    assert ours["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_by_method_1_every_class_counts():
    """By method 1 an absent class counts as 0, so an old experiment keeps its numbers.

    Where no class is absent, both methods give the same bits.
    """
    labels = np.array([0, 0, 1, 1])
    p = np.array(
        [[0.9, 0.1, 0, 0], [0.8, 0.2, 0, 0], [0.3, 0.7, 0, 0], [0.6, 0.4, 0, 0]], np.float32
    )
    old, new = (evaluate.evaluate(labels, p, CLASSES, 1, method=m) for m in (1, 2))
    f1 = (2 * 2 / 5 + 2 * 1 / 3) / 4
    assert old["f1"] == pytest.approx(f1)
    assert new["f1"] == pytest.approx(2 * f1)
    assert old["per_class"][2]["f1"] == 0
    assert old["undefined_precision"] == ["c", "d"]
    assert new["undefined_precision"] == []
    k = 200
    labels = np.arange(5 * k) % k
    p = np.random.default_rng(0).random((5 * k, k), np.float32)
    names = [str(c) for c in range(k)]
    old = evaluate.evaluate(labels, p, names, 1, method=1)
    assert old == evaluate.evaluate(labels, p, names, 1, method=2)
    precision = metrics.precision_score(
        labels, p.argmax(1), average=None, zero_division=0, labels=range(k)
    )
    assert old["precision"] == precision.mean()


def test_wilson():
    """The Wilson intervals of 57 and 46 of 100 are the known ones."""
    assert evaluate.wilson(57, 100) == pytest.approx([0.472, 0.663], abs=5e-4)
    assert evaluate.wilson(46, 100) == pytest.approx([0.366, 0.557], abs=5e-4)


def test_wilson_stays_within_0_and_1():
    """Wilson intervals match the closed form in sixty digits and never leave 0 to 1."""
    assert evaluate.wilson(50, 50)[1] == 1.0
    z = Decimal(evaluate.Z95)
    with localcontext(prec=60):
        for n in (*range(1, 130), 1_000, 9_999, 123_457):
            for hits in {0, 1, n // 3, n - 1, n}:
                p = Decimal(hits) / n
                low, high = evaluate.wilson(hits, n)
                half = z * (p * (1 - p) / n + z * z / (4 * n * n)).sqrt()
                exact = [(p + z * z / (2 * n) + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
                assert 0 <= low <= high <= 1
                assert [low, high] == pytest.approx([float(end) for end in exact], abs=1e-15)


def test_smoothed_losses_are_those_of_keras():
    """The smoothed loss is Keras' categorical cross-entropy; unsmoothed it is the log loss."""
    from keras.losses import categorical_crossentropy

    rng = np.random.default_rng(4)
    labels = rng.integers(0, 5, 50)
    p = rng.dirichlet(np.ones(5), 50).astype(np.float32)
    for smoothing in (0.0, 0.1, 0.3):
        smooth = {"label_smoothing": smoothing}
        theirs = categorical_crossentropy(np.eye(5, dtype=np.float32)[labels], p, **smooth)
        ours = scores.row_losses(labels, p, smoothing)
        assert ours == pytest.approx(np.asarray(theirs), rel=1e-4)


def test_scores_lie_in_their_intervals(data):
    """Each score lies in its interval, and equal seeds give equal intervals."""
    labels, p = data
    result = evaluate.evaluate(labels, p, CLASSES, 1, method=NEWEST)
    assert all(low < result[name] < high for name, (low, high) in result["intervals"].items())
    again = evaluate.evaluate(labels, p, CLASSES, 1, method=NEWEST)
    assert result["intervals"] == again["intervals"]


def test_a_model_does_not_differ_from_itself(data):
    """A model's difference to itself is exactly 0 in every resample."""
    labels, p = data
    right = p.argmax(1) == labels
    same = evaluate.paired_difference(labels, right, right, 1)
    assert same == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_mistakes_are_the_most_confident_wrong_rows():
    """Mistakes are wrong rows only, by confidence, then by row, and no more than asked for."""
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.8, 0.2]], np.float32)
    assert evaluate.mistakes(np.array([1, 0, 0, 0]), p, 16).tolist() == [0, 1, 2]
    assert evaluate.mistakes(np.array([0, 0, 1, 1]), p, 1).tolist() == [1]
    assert evaluate.mistakes(np.array([0, 1, 1, 0]), p, 16).tolist() == []


def test_a_thousand_classes():
    """With 1,000 classes, scores and intervals take seconds.

    The ROC-AUC equals scikit-learn's, for small and large classes, ties included.
    """
    rng = np.random.default_rng(2)
    # One image of each class, and two classes of 201 and 101 images.
    labels = np.concatenate([np.arange(1000), np.zeros(200, int), np.ones(100, int)])
    p = rng.random((1300, 1000), dtype=np.float32).round(2) + 0.01
    p[np.arange(1300), labels] += 0.2
    p /= p.sum(1, keepdims=True)
    p[:, 5] = p[:, 5].round(5)
    started = time.process_time()
    ours = evaluate.evaluate(labels, p, [f"class {c}" for c in range(1000)], 1, method=NEWEST)
    # It took 51 s when each class sorted its scores for each resample.
    assert time.process_time() - started < 20
    for c in (0, 1, 2, 5, 999):
        theirs = metrics.roc_auc_score(labels == c, p[:, c])
        assert ours["per_class"][c]["roc_auc"] == pytest.approx(theirs, abs=1e-12)
    low, high = ours["intervals"]["roc_auc"]
    assert low < ours["roc_auc"] < high


def test_rows_that_are_alike_are_drawn_together(monkeypatch):
    """Of many rows, only numbers are drawn: intervals stay what they are, up to chance."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 20, 4000)
    right_a = rng.random(4000) < 0.7
    right_b = rng.random(4000) < 0.6

    def found() -> list[float]:
        paired = evaluate.paired_difference(labels, right_a, right_b, 1)
        return [*evaluate.accuracy_interval(labels, right_a, 1), *paired["interval"]]

    one_by_one = found()
    monkeypatch.setattr(evaluate, "MANY_ROWS", 1000)
    together = found()
    assert together != one_by_one
    # The standard error of an end is about 0.0004 with 2,000 resamples.
    assert together == pytest.approx(one_by_one, abs=0.002)


def test_many_rows_are_resampled_a_few_resamples_at_a_time(monkeypatch):
    """However many rows there are, there are 2,000 resamples, and each class keeps its size."""
    monkeypatch.setattr(evaluate, "MANY_ROWS", 8)
    labels = np.arange(50) % 3
    drawn = list(evaluate.resamples(labels, 1))
    assert {len(weights) for weights in drawn} == {32, 2000 % 32}
    together = np.concatenate(drawn)
    assert together.shape == (2000, 50)
    for c in range(3):
        assert (together[:, labels == c].sum(1) == (labels == c).sum()).all()


def test_areas_of_many_rows_are_resampled_to_first_order(monkeypatch):
    """Of many rows, the area of a resample is nearly the whole's, and its interval alike.

    Ties count half, as everywhere.
    """
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 6, 3000)
    p = rng.random((3000, 6), dtype=np.float32) + 0.4 * np.eye(6, dtype=np.float32)[labels]
    p = p.round(2)
    mean, influence = roc.influences(labels, p)
    ones = np.ones((1, 3000), np.float32)
    assert mean == pytest.approx(roc.aucs(ones, labels, p).mean(), abs=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    weights = next(evaluate.resamples(labels, 1))
    whole = roc.aucs(weights, labels, p).mean(1)
    first_order = mean + weights.astype(float) @ influence
    assert (first_order - whole).std() < whole.std() / 30
    exact = evaluate.intervals(labels, p, 1, method=NEWEST)["roc_auc"]
    monkeypatch.setattr(evaluate, "MANY_ROWS", 2999)
    near = evaluate.intervals(labels, p, 1, method=NEWEST)["roc_auc"]
    assert near != exact
    assert near == pytest.approx(exact, abs=5e-4)
    assert exact[1] - exact[0] > 0.01
