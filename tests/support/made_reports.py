"""Synthetic results for the report: random predictions with a given accuracy."""

import io
import json
import re
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from job.experiment.experiment import NEWEST
from job.experiment.manifest import Prepared
from job.experiment.specification import parse
from job.learning import evaluate
from job.report.predictions import Predictions, reduce
from job.report.results import Attempt, Collected, Model, Task

SCORES = ("accuracy", "precision", "recall", "f1", "roc_auc")
ORIGINAL = "original work (small subset, size not stated)"


def reference(model: str, *scores: float) -> dict:
    """Return a reference with the figures of the original work for a model."""
    return {"name": ORIGINAL, "model": model} | dict(zip(SCORES, scores, strict=True))


CLASSES = ["airplane", "automobile", "bird", "cat"]
SPEC = {
    "name": "quick",
    "seed": 1,
    "data": {"source": "cifar10", "train": 400, "test": 200},
    "search": {"trials": 6, "enqueue": [{"learning_rate": 0.000875, "batch_size": 32}]},
    "folds": {"count": 2},
    "parameters": {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": [32, 64, 128],
        "epochs": 5,
    },
    "models": {
        "cnn": {"augment": {"shift": 0.1, "flip": True, "rotation": 15}},
        "mobilenetv2": {},
        "vgg16": {"input_size": 32},
    },
    "reference": [
        reference("mobilenetv2", 0.57, 0.587, 0.57, 0.568, 0.897),
        reference("vgg16", 0.46, 0.482, 0.46, 0.457, 0.872),
    ],
}
ONE_MODEL = {k: v for k, v in SPEC.items() if k != "reference"} | {"models": {"cnn": {}}}
# Fold and test accuracy. The model that is best on the test part is not best on the folds.
SKILL = {"cnn": (0.60, 0.62), "mobilenetv2": (0.75, 0.72), "vgg16": (0.66, 0.85)}
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """Predictions as a task stores them."""

    probabilities: np.ndarray  # float32 [n, k]
    labels: np.ndarray  # int64 [n]
    rows: np.ndarray  # int64 [n]

    def reduced(self, with_lines: bool) -> Predictions:
        """Return what a report reads of them."""
        k = self.probabilities.shape[1]
        return reduce(iter([self.probabilities]), self.labels, self.rows, k, with_lines)

    def stored(self) -> bytes:
        """Return them as predictions.npz."""
        buffer = io.BytesIO()
        np.savez(buffer, probabilities=self.probabilities, labels=self.labels, rows=self.rows)
        return buffer.getvalue()


def predict(rows: np.ndarray, labels: np.ndarray, k: int, skill: float, seed: int) -> Made:
    """Make predictions that are right with probability `skill` or a little more."""
    rng = np.random.default_rng(seed)
    scores = rng.random((len(labels), k))
    right = rng.random(len(labels)) < skill
    scores[np.arange(len(labels))[right], labels[right]] += 1.5
    return Made((scores / scores.sum(1, keepdims=True)).astype(np.float32), labels, rows)


def task_of(stage: str, index: int, made: Made, classes: list[str]) -> Task:
    """Return a complete fold or final with the metrics of these predictions."""
    scores = evaluate.evaluate(made.labels, made.probabilities, classes, 0, method=NEWEST)
    metrics = json.loads(json.dumps(scores))
    if stage == "final":
        metrics["without_copies"] = {"n": len(made.labels) - 3, "accuracy": metrics["accuracy"]}
    key = f"experiments/quick-1/m/{stage}/{index}/1/model.keras"
    artifact = {"model.keras": {"key": key, "sha256": "", "size": 1, "etag": ""}}
    parameters = {"learning_rate": 1e-3, "batch_size": 32}
    value = metrics["accuracy"]
    return Task(stage, index, "complete", 1, parameters, value, metrics, artifact)


def trial_of(index: int, skill: float, rng: np.random.Generator) -> Task:
    """Return a trial with random parameters and value; trial 0 is fixed, trial 4 is pruned."""
    parameters = {
        "learning_rate": 0.000875080 if index == 0 else float(10 ** rng.uniform(-4, -2)),
        "batch_size": 32 if index == 0 else int(rng.choice([32, 64, 128])),
    }
    value = float(skill - 0.1 * rng.random())
    if index == 4:
        reason = "pruned at epoch 3 by median"
        return Task("trial", index, "pruned", 1, parameters, value, {}, {}, reason)
    return Task("trial", index, "complete", 1, parameters, value, {}, {})


def layer(name: str, kind: str, shape: list, parameters: int) -> dict:
    """Return a layer as a result describes it."""
    return {"name": name, "type": kind, "output_shape": shape, "parameters": parameters}


def fold_epoch(epoch: int, fold: int) -> dict:
    """Return the metrics of an epoch of a fold."""
    return {
        "loss": 2 / (epoch + 1),
        "accuracy": 0.5 + 0.05 * epoch,
        "val_loss": 2.1 / (epoch + 1) + 0.1 * fold,
        "val_accuracy": 0.45 + 0.05 * epoch - 0.02 * fold,
        "learning_rate": 1e-3,
    }


def a_model(
    name: str, seed: int, classes: list[str], train: int, test: int, folds: int, trials: int
) -> Model:
    """Return a model whose tasks are all done."""
    rng = np.random.default_rng(seed)
    k = len(classes)
    fold_skill, test_skill = SKILL[name]
    model = Model(name)
    model.tasks["trial"] = [trial_of(i, fold_skill, rng) for i in range(trials)]
    best = max(model.stage("trial", "complete"), key=lambda t: t.value)
    model.selection = {
        "trial": best.index,
        "value": best.value,
        "parameters": best.parameters | {"epochs": 5, "dropout": 0.3, "units": 128},
    }
    labels = np.arange(train) % k
    for f in range(folds):
        rows = np.flatnonzero(np.arange(train) // k % folds == f)
        held_out = predict(rows, labels[rows], k, fold_skill, seed + f)
        model.predictions[("fold", f)] = held_out.reduced(with_lines=False)
        model.tasks.setdefault("fold", []).append(task_of("fold", f, held_out, classes))
        model.epochs[("fold", f)] = [fold_epoch(e, f) for e in range(5)]
    tested = predict(np.arange(test), np.arange(test) % k, k, test_skill, seed + 99)
    model.predictions[("final", 0)] = tested.reduced(with_lines=True)
    model.tasks["final"] = [task_of("final", 0, tested, classes)]
    wrong = evaluate.mistakes(tested.labels, tested.probabilities, 16)
    model.mistakes = {
        "images": rng.integers(0, 255, (len(wrong), 32, 32, 3), np.uint8),
        "rows": wrong,
        "labels": tested.labels[wrong],
        "predictions": tested.probabilities[wrong].argmax(1),
        "confidence": tested.probabilities[wrong].max(1),
    }
    model.epochs[("final", 0)] = [
        {"loss": 1.8 / (e + 1), "accuracy": 0.55 + 0.05 * e, "learning_rate": 1e-3}
        for e in range(5)
    ]
    model.results[("final", 0)] = {
        "seed": 12345 + seed,
        "parameters_count": 550_570,
        "versions": {"python": "3.11.2", "tensorflow": "2.21.0", "keras": "3.15.0"},
        "git_commit": "efc55e1",
        "image_digest": None,
        "device": "cpu",
        "dtype": "float32",
        "machines": [{"cpu": "AMD EPYC", "tensorflow": "2.21.0", "device": "cpu"}],
        "threads": 2,
        "feeding": {"steps_s": 50.0, "waited_s": 0.5},
        "layers": [
            layer("image", "InputLayer", [32, 32, 3], 0),
            layer("conv2d", "Conv2D", [32, 32, 32], 864),
        ],
    }
    if name == "cnn":
        model.augmentation = (
            rng.integers(0, 255, (8, 32, 32, 3), np.uint8),
            rng.integers(0, 255, (8, 8, 32, 32, 3), np.uint8),
        )
    return model


def attempts_of(model: Model) -> list[Attempt]:
    """Return one attempt per task of a model, one minute each, one after another."""
    stages = ("trial", "fold", "final")
    tasks = [task for stage in stages for task in model.stage(stage, "complete", "pruned")]
    return [attempt_of(model.name, task, minute) for minute, task in enumerate(tasks)]


def attempt_of(model: str, task: Task, minute: int) -> Attempt:
    """Return the only attempt at a task, which starts so many minutes after the first."""
    parts = {"import": 3.0, "stage": 0.5, "build": 1.0, "train": 50.0}
    parts |= {"evaluate": 2.0, "upload": 0.5}
    began = START + timedelta(minutes=minute)
    ended = began + timedelta(minutes=1)
    state = task.state
    return Attempt(model, task.stage, task.index, 1, began, ended, ended, state, None, 0, 5, parts)


def make(*args, **options) -> Collected:
    """Make a finished experiment of three models; tests remove parts of it."""
    plain = not args and not options
    return deepcopy(default()) if plain else made(*args, **options)


@cache
def default() -> Collected:
    """Return the experiment without options; copy it before you change it."""
    return made()


def made(
    classes: list[str] = CLASSES,
    train: int = 400,
    test: int = 200,
    trials: int = 6,
    spec: dict = SPEC,
) -> Collected:
    """Return a finished experiment."""
    k = len(classes)
    experiment = parse(spec)
    data = Prepared(
        id="abc123",
        source="cifar10",
        classes=classes,
        image_shape=(32, 32, 3),
        train=train,
        validation=train // 5,
        test=test,
        train_counts=[train // k] * k,
        test_counts=[test // k] * k,
        duplicates={"train": 2, "train_test": 3},
        files={},
    )
    models = {
        name: a_model(name, 10 * i, classes, train, test, experiment.folds.count, trials)
        for i, name in enumerate(experiment.models, 1)
    }
    return Collected(
        "quick-1",
        experiment,
        "f" * 64,
        data,
        models,
        attempts=[a for m in models.values() for a in attempts_of(m)],
        openings=[{"model": m, "stage": "final", "index": 0, "attempt": 1} for m in models],
        samples=np.random.default_rng(0).integers(0, 255, (min(k, 20), 8, 32, 32, 3), np.uint8),
    )


def text_of(page: str) -> str:
    """Return the text a reader sees, with single spaces."""
    page = re.sub(r"<(style|script)>.*?</\1>|<svg.*?</svg>", "", page, flags=re.S)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    return text.replace("&nbsp;", " ").replace("\xa0", " ")
