"""Scores: equal to scikit-learn's, with intervals that mean what they say."""

import time

import numpy as np
import pytest
from sklearn import metrics

from job import evaluate

CLASSES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    logits = rng.normal(size=(300, 4)) + 1.5 * np.eye(4)[labels]
    p = np.exp(logits)
    return labels, (p / p.sum(1, keepdims=True)).astype(np.float32)


def test_equal_to_scikit_learn(data):
    """Accuracy, balanced accuracy, macro and weighted averages, ROC-AUC and log loss are scikit-learn's."""
    labels, p = data
    ours, guess = evaluate.evaluate(labels, p, CLASSES, 1), p.argmax(1)
    theirs = metrics.precision_recall_fscore_support(labels, guess, average="macro")
    weighted = metrics.precision_recall_fscore_support(labels, guess, average="weighted")
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(labels, guess))
    assert ours["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, guess))
    assert (ours["precision"], ours["recall"], ours["f1"]) == pytest.approx(theirs[:3])
    assert tuple(ours["weighted"].values()) == pytest.approx(weighted[:3])
    assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, p / p.sum(1, keepdims=True), multi_class="ovr"), abs=1e-6)
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(labels, p), abs=1e-6)
    assert ours["confusion_matrix"] == metrics.confusion_matrix(labels, guess).tolist()
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "log_loss"):
        assert evaluate.score(name, labels, p) == pytest.approx(ours[name.removesuffix("_macro")])


def test_auc_with_ties():
    """Equal scores count half, as in scikit-learn."""
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([0.5, 0.5, 0.2, 0.2, 0.9], np.float32)
    p = np.stack([1 - scores, scores], 1)
    assert evaluate.evaluate(labels, p, ["a", "b"], 1)["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, scores))


def test_undefined_is_said(data):
    """A class never predicted has precision 0 and is listed; a class without images has no ROC-AUC, with the reason."""
    labels, p = data
    p = p.copy()
    p[:, 3] = 0
    result = evaluate.evaluate(np.where(labels == 2, 1, labels), p, CLASSES, 1)
    assert result["undefined_precision"] == ["d"]
    assert result["per_class"][3]["precision"] == 0
    assert result["roc_auc"] is None
    assert "c" in result["roc_auc_reason"]


def test_wilson():
    """The Wilson interval of 57 and 46 of 100."""
    assert evaluate.wilson(57, 100) == pytest.approx([0.472, 0.663], abs=5e-4)
    assert evaluate.wilson(46, 100) == pytest.approx([0.366, 0.557], abs=5e-4)


def test_intervals_cover(data):
    """Each score lies in its interval, and equal seeds give equal intervals."""
    labels, p = data
    result = evaluate.evaluate(labels, p, CLASSES, 1)
    assert all(low < result[name] < high for name, (low, high) in result["intervals"].items())
    assert result["intervals"] == evaluate.evaluate(labels, p, CLASSES, 1)["intervals"]


def test_differences_pair(data):
    """A model's difference to itself is exactly 0 in every resample."""
    labels, p = data
    assert evaluate.paired_difference(labels, p, p, 1) == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_mistakes_are_the_most_confident_wrong_rows():
    """Right rows are none, the most confident come first, equal ones by row, and no more than asked for."""
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.8, 0.2]], np.float32)
    assert evaluate.mistakes(np.array([1, 0, 0, 0]), p, 16).tolist() == [0, 1, 2]
    assert evaluate.mistakes(np.array([0, 0, 1, 1]), p, 1).tolist() == [1]
    assert evaluate.mistakes(np.array([0, 1, 1, 0]), p, 16).tolist() == []


def test_a_thousand_classes():
    """With 1,000 classes scores and intervals take seconds, and the ROC-AUC is scikit-learn's, of classes small and large, ties included."""
    rng = np.random.default_rng(2)
    labels = np.concatenate([np.arange(1000), np.zeros(200, int), np.ones(100, int)])  # beside two of 201 and 101 images
    p = rng.random((1300, 1000), dtype=np.float32).round(2) + 0.01
    p[np.arange(1300), labels] += 0.2
    p /= p.sum(1, keepdims=True)
    p[:, 5] = p[:, 5].round(5)
    started = time.process_time()
    ours = evaluate.evaluate(labels, p, [f"class {c}" for c in range(1000)], 1)
    assert time.process_time() - started < 20  # 51 s when each class sorted its scores for each resample
    for c in (0, 1, 2, 5, 999):
        assert ours["per_class"][c]["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels == c, p[:, c]), abs=1e-12)
    low, high = ours["intervals"]["roc_auc"]
    assert low < ours["roc_auc"] < high
