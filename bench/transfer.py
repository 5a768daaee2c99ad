"""Compare a transfer study on stored features with one that runs the frozen base in every epoch."""

import re
import sys
from pathlib import Path

import numpy as np

from bench.pairs import Row, compare, in_turn
from bench.world import Life, Subject, World, live
from bench.yardsticks.nets import images

IMAGES = 5000
EPOCHS = 10
TRIALS = 20
BATCH = 64
THREADS = 2
SIZES = {"vgg16": 32, "mobilenetv2": 96}  # the input size of each base
EPOCH = {"vgg16": 50.0, "mobilenetv2": 40.0}  # goals for an epoch
STUDY = 15.0  # goal for the study
FEATURES = 0.9  # goal for the features

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

    A study is its preparation, its features and 20 trials. One trial per base is run, and counts
    for all of them.
    """
    rounds = min(rounds, 3)  # each round takes minutes
    weights = world.folder / "weights"
    weights.mkdir()
    live(sys.executable, "-m", "bench.yardsticks.transfer", "weights", weights)
    numbers = iter(range(rounds))
    ours, plain = in_turn(rounds, lambda: _ours(world, next(numbers), weights), _plain)

    def row(name: str, unit: str, figure: str, less_is_better: bool, goal: float) -> Row:
        our_figures = [o[figure] for o in ours]
        their_figures = [p[figure] for p in plain]
        return compare(name, unit, our_figures, their_figures, less_is_better, goal)

    return [
        row("transfer: 20 trials of both bases, CPU time", "s", "study", True, STUDY),
        *(row(f"transfer: an epoch of {m}", "s", m, True, EPOCH[m]) for m in SIZES),
        *(
            row(
                f"transfer: features of {m}, bare predict",
                "images/s",
                f"features {m}",
                False,
                FEATURES,
            )
            for m in SIZES
        ),
    ]


def _ours(world: World, number: int, weights: Path) -> dict[str, float]:
    """Return the figures of a study by `job`.

    Returns:
        The CPU seconds of the study; by model, the seconds of an epoch and the images per second
        of the features.
    """
    # Each round has other images: features of known images would come from the store.
    data = world.folder / f"transfer-{number}.npz"
    x, y = images(IMAGES, 32, seed=number)
    np.savez(data, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    text = TRANSFER.format(
        round=number, data=data, trials=TRIALS, threads=THREADS, batch=BATCH, epochs=EPOCHS, **SIZES
    )
    subject = world.prepare(text, weights=weights)
    figures = {"study": subject.prepared.cpu_s}
    for model in SIZES:
        features = subject.job("features", "--model", model, "--index", 0)
        trial = subject.job("trial", "--model", model, "--index", 0)
        figures["study"] += features.cpu_s + TRIALS * trial.cpu_s
        figures[model] = _training_s(subject, model) / EPOCHS
        figures[f"features {model}"] = IMAGES / subject.seconds("features", model, 0)["train"]
    return figures


def _training_s(subject: Subject, model: str) -> float:
    seconds = subject.seconds("trial", model, 0)
    return seconds["train"] + seconds["evaluate"]


def _plain() -> dict[str, float]:
    """Return the same figures of a plain script, whose features come from a bare `predict`."""
    lives = {model: _yardstick("fit", model) for model in SIZES}
    figures = {"study": TRIALS * sum(life.cpu_s for life in lives.values())}
    for model in SIZES:
        predict = _yardstick("predict", model)
        figures[model] = _figure(lives[model].said, "seconds per epoch")
        figures[f"features {model}"] = _figure(predict.said, "images per second")
    return figures


def _yardstick(kind: str, model: str) -> Life:
    command = [sys.executable, "-m", "bench.yardsticks.transfer", kind, model]
    return live(*command, SIZES[model], IMAGES, BATCH, EPOCHS, THREADS)


def _figure(output: str, name: str) -> float:
    return float(re.search(rf"{name}: ([\d.]+)", output)[1])
