"""Work done once: a transfer study on stored features, beside the same study with the frozen base in every epoch."""

import re
import sys
from pathlib import Path

import numpy as np

from bench.pairs import Row, compare, in_turn
from bench.world import Life, Subject, World, live
from bench.yardsticks.nets import images

IMAGES, EPOCHS, TRIALS, BATCH, THREADS = 5000, 10, 20, 64, 2
SIZES = {"vgg16": 32, "mobilenetv2": 96}  # what each base sees
EPOCH = {"vgg16": 50.0, "mobilenetv2": 40.0}  # goals
STUDY, FEATURES = 15.0, 0.9

TRANSFER = """
name = "transfer-{round}"
seed = 1
threads = {threads}
[data]
source = "{data}"
validation = 0.2
[search]
trials = {trials}
[folds]
count = 2
[parameters]
batch_size = {batch}
learning_rate = {{ low = 1e-4, high = 1e-2, log = true }}
epochs = {epochs}
[models.vgg16]
input_size = {vgg16}
[models.mobilenetv2]
input_size = {mobilenetv2}
"""


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows of a whole study, of an epoch, and of the stage that makes the features.

    A study is its preparation, its features and 20 trials; one trial of each base is run, the others cost as much.
    """
    rounds, weights = min(rounds, 3), world.folder / "weights"  # minutes each
    weights.mkdir()
    live(sys.executable, "-m", "bench.yardsticks.transfer", "weights", weights)
    left = iter(range(rounds))
    ours, plain = in_turn(rounds, lambda: _ours(world, next(left), weights), _plain)
    made = [
        compare(
            "transfer: 20 trials of both bases, CPU time",
            "s",
            [o["study"] for o in ours],
            [p["study"] for p in plain],
            True,
            STUDY,
        )
    ]
    for model in SIZES:
        made.append(
            compare(
                f"transfer: an epoch of {model}",
                "s",
                [o[model] for o in ours],
                [p[model] for p in plain],
                True,
                EPOCH[model],
            )
        )
    for model in SIZES:
        found = [o[f"features {model}"] for o in ours], [p[f"features {model}"] for p in plain]
        made.append(
            compare(
                f"transfer: features of {model}, bare predict", "images/s", *found, goal=FEATURES
            )
        )
    return made


def _ours(world: World, number: int, weights: Path) -> dict[str, float]:
    """Return the CPU seconds of the study, the seconds of an epoch and the images a second of the features."""
    data = (
        world.folder / f"transfer-{number}.npz"
    )  # its own: features of data seen before would be taken from the store
    x, y = images(IMAGES, 32, seed=number)
    np.savez(data, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    text = TRANSFER.format(
        round=number, data=data, trials=TRIALS, threads=THREADS, batch=BATCH, epochs=EPOCHS, **SIZES
    )
    subject = world.prepare(text, weights=weights)
    found = {"study": subject.prepared.cpu_s}
    for model in SIZES:
        features, trial = (
            subject.job(stage, "--model", model, "--index", 0) for stage in ("features", "trial")
        )
        found["study"] += features.cpu_s + TRIALS * trial.cpu_s
        found[model] = _trained(subject, model) / EPOCHS
        found[f"features {model}"] = IMAGES / subject.seconds("features", model, 0)["train"]
    return found


def _trained(subject: Subject, model: str) -> float:
    seconds = subject.seconds("trial", model, 0)
    return seconds["train"] + seconds["evaluate"]


def _plain() -> dict[str, float]:
    """Return the same of the plain way, its features those of a bare `predict`."""
    lives = {model: _yardstick("fit", model) for model in SIZES}
    found = {"study": TRIALS * sum(life.cpu_s for life in lives.values())}
    for model in SIZES:
        found[model] = _figure(lives[model].said, "seconds an epoch")
        found[f"features {model}"] = _figure(_yardstick("predict", model).said, "images a second")
    return found


def _yardstick(kind: str, model: str) -> Life:
    return live(
        sys.executable,
        "-m",
        "bench.yardsticks.transfer",
        kind,
        model,
        SIZES[model],
        IMAGES,
        BATCH,
        EPOCHS,
        THREADS,
    )


def _figure(said: str, name: str) -> float:
    return float(re.search(rf"{name}: ([\d.]+)", said)[1])
