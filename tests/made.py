"""Synthetic results for the report: random predictions with a given accuracy."""

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np

from job.experiment.experiment import NEWEST
from job.experiment.specification import parse
from job.learning import evaluate
from job.report.results import Attempt, Collected, Model, Predictions, Task

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
        {
            "name": "original work (small subset, size not stated)",
            "model": "mobilenetv2",
            "accuracy": 0.57,
            "precision": 0.587,
            "recall": 0.57,
            "f1": 0.568,
            "roc_auc": 0.897,
        },
        {
            "name": "original work (small subset, size not stated)",
            "model": "vgg16",
            "accuracy": 0.46,
            "precision": 0.482,
            "recall": 0.46,
            "f1": 0.457,
            "roc_auc": 0.872,
        },
    ],
}
ONE_MODEL = {k: v for k, v in SPEC.items() if k != "reference"} | {"models": {"cnn": {}}}
# fold and test accuracy: the best on the test part is not the best on the folds
SKILL = {"cnn": (0.60, 0.62), "mobilenetv2": (0.75, 0.72), "vgg16": (0.66, 0.85)}
START = datetime(2026, 1, 5, 12, tzinfo=UTC)


def predict(rows: np.ndarray, labels: np.ndarray, k: int, skill: float, seed: int) -> Predictions:
    """Make predictions that are right with probability `skill` or a little more."""
    rng = np.random.default_rng(seed)
    scores = rng.random((len(labels), k))
    right = rng.random(len(labels)) < skill
    scores[np.arange(len(labels))[right], labels[right]] += 1.5
    return Predictions((scores / scores.sum(1, keepdims=True)).astype(np.float32), labels, rows)


def task_of(stage: str, index: int, made: Predictions, classes: list[str]) -> Task:
    metrics = json.loads(
        json.dumps(evaluate.evaluate(made.labels, made.probabilities, classes, 0, method=NEWEST))
    )
    if stage == "final":
        metrics["without_copies"] = {"n": len(made.labels) - 3, "accuracy": metrics["accuracy"]}
    keys = {
        "model.keras": {
            "key": f"experiments/quick-1/m/{stage}/{index}/1/model.keras",
            "sha256": "",
            "size": 1,
            "etag": "",
        }
    }
    return Task(
        stage,
        index,
        "complete",
        1,
        {"learning_rate": 1e-3, "batch_size": 32},
        metrics["accuracy"],
        metrics,
        keys,
    )


def a_model(
    name: str, seed: int, classes: list[str], train: int, test: int, folds: int, trials: int
) -> Model:
    rng = np.random.default_rng(seed)
    k, (fold_skill, test_skill) = len(classes), SKILL[name]
    model = Model(name)
    model.tasks["trial"] = [
        Task(
            "trial",
            i,
            "pruned" if i == 4 else "complete",
            1,
            {
                "learning_rate": 0.000875080 if i == 0 else float(10 ** rng.uniform(-4, -2)),
                "batch_size": 32 if i == 0 else int(rng.choice([32, 64, 128])),
            },
            float(fold_skill - 0.1 * rng.random()),
            {},
            {},
            "pruned at epoch 3 by median" if i == 4 else None,
        )
        for i in range(trials)
    ]
    best = max(model.stage("trial", "complete"), key=lambda t: t.value)
    model.selection = {
        "trial": best.index,
        "value": best.value,
        "parameters": best.parameters | {"epochs": 5, "dropout": 0.3, "units": 128},
    }
    labels = np.arange(train) % k
    for f in range(folds):
        rows = np.flatnonzero(np.arange(train) // k % folds == f)
        model.predictions[("fold", f)] = predict(rows, labels[rows], k, fold_skill, seed + f)
        model.tasks.setdefault("fold", []).append(
            task_of("fold", f, model.predictions[("fold", f)], classes)
        )
        model.epochs[("fold", f)] = [
            {
                "loss": 2 / (e + 1),
                "accuracy": 0.5 + 0.05 * e,
                "val_loss": 2.1 / (e + 1) + 0.1 * f,
                "val_accuracy": 0.45 + 0.05 * e - 0.02 * f,
                "learning_rate": 1e-3,
            }
            for e in range(5)
        ]
    model.predictions[("final", 0)] = predict(
        np.arange(test), np.arange(test) % k, k, test_skill, seed + 99
    )
    model.tasks["final"] = [task_of("final", 0, model.predictions[("final", 0)], classes)]
    made_of = model.predictions[("final", 0)]
    wrong = evaluate.mistakes(made_of.labels, made_of.probabilities, 16)
    model.mistakes = {
        "images": rng.integers(0, 255, (len(wrong), 32, 32, 3), np.uint8),
        "rows": wrong,
        "labels": made_of.labels[wrong],
        "predictions": made_of.probabilities[wrong].argmax(1),
        "confidence": made_of.probabilities[wrong].max(1),
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
        "device": "CPU",
        "machines": [{"cpu": "AMD EPYC", "tensorflow": "2.21.0"}],
        "threads": 2,
        "layers": [
            {
                "name": "image",
                "type": "InputLayer",
                "output_shape": [None, 32, 32, 3],
                "parameters": 0,
            },
            {
                "name": "conv2d",
                "type": "Conv2D",
                "output_shape": [None, 32, 32, 32],
                "parameters": 864,
            },
        ],
    }
    if name == "cnn":
        model.augmentation = (
            rng.integers(0, 255, (8, 32, 32, 3), np.uint8),
            rng.integers(0, 255, (8, 8, 32, 32, 3), np.uint8),
        )
    return model


def attempts_of(model: Model) -> list[Attempt]:
    tasks = [
        t for stage in ("trial", "fold", "final") for t in model.stage(stage, "complete", "pruned")
    ]
    return [
        Attempt(
            model.name,
            t.stage,
            t.index,
            1,
            START + timedelta(minutes=n),
            START + timedelta(minutes=n + 1),
            START + timedelta(minutes=n + 1),
            t.state,
            None,
            0,
            5,
            {
                "import": 3.0,
                "stage": 0.5,
                "build": 1.0,
                "train": 50.0,
                "evaluate": 2.0,
                "upload": 0.5,
            },
        )
        for n, t in enumerate(tasks)
    ]


def make(*args, **options) -> Collected:
    """Make a finished experiment of three models; tests remove parts of it."""
    plain = not args and not options
    return deepcopy(default()) if plain else made(*args, **options)


@cache
def default() -> Collected:
    return made()


def made(
    classes: list[str] = CLASSES,
    train: int = 400,
    test: int = 200,
    trials: int = 6,
    spec: dict = SPEC,
) -> Collected:
    k = len(classes)
    experiment = parse(spec)
    data = {
        "id": "abc123",
        "source": "cifar10",
        "classes": classes,
        "image_shape": [32, 32, 3],
        "train": train,
        "validation": train // 5,
        "test": test,
        "train_counts": [train // k] * k,
        "test_counts": [test // k] * k,
        "duplicates": {"train": 2, "train_test": 3},
        "notice": None,
    }
    models = {
        name: a_model(name, 10 * i, classes, train, test, experiment.folds["count"], trials)
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
