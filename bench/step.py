"""Measure a training step: the images per second of a real `job trial` and of its alternatives.

The trial has augmentation, checkpoints, pruning and progress on.
"""

import importlib.util
import re
import sys

import numpy as np

from bench.pairs import Row, compare, in_turn
from bench.world import World, live, trials_text
from bench.yardsticks.nets import images

IMAGES = 5000
SIZE = 32
BATCH = 128
EPOCHS = 3
THREADS = 2


def rows(world: World, rounds: int, size: int = SIZE, batch: int = BATCH) -> list[Row]:
    """Return the rows of a step; each contender is one process, and its first step counts."""
    contenders = {
        "float32": _trials(world, rounds, "cnn", size, batch, "float32"),
        "mixed_bfloat16": _trials(world, rounds, "cnn", size, batch, "mixed_bfloat16"),
        "whitenet": _trials(world, rounds, "whitenet", size, batch, "float32"),
        "fit": _yardstick("fit", "cnn", size, batch),
        "generator": _yardstick("generator", "cnn", size, batch),
        "whitenet-fit": _yardstick("fit", "whitenet", size, batch),
    }
    if importlib.util.find_spec("torch"):
        contenders |= {
            "torch": _yardstick("torch", "cnn", size, batch),
            "torch-bfloat16": _yardstick("torch-bfloat16", "cnn", size, batch),
            "whitenet-torch": _yardstick("torch", "whitenet", size, batch),
        }
    else:
        print(
            "PyTorch is not installed: its rows are left out;"
            " `make bench TORCH=2.13.0` installs it",
            flush=True,
        )
    rates = dict(zip(contenders, in_turn(rounds, *contenders.values()), strict=True))
    return _compare_all(rates, f"step {size} px, batch {batch}: ")


def _compare_all(rates: dict[str, list[float]], name: str) -> list[Row]:
    """Return a row per pair of contenders; the rows of PyTorch only where it was measured."""
    comparisons = [
        ("Keras fit, not augmented", "float32", "fit", 1.0),
        ("ImageDataGenerator and fit", "float32", "generator", 1.3),
        ("whitenet, Keras fit, not augmented", "whitenet", "whitenet-fit", 1.0),
    ]
    if "torch" in rates:
        comparisons += [
            ("PyTorch, not augmented", "float32", "torch", 1.0),
            ("bfloat16, PyTorch's autocast", "mixed_bfloat16", "torch-bfloat16", 1.0),
            ("bfloat16, PyTorch in float32", "mixed_bfloat16", "torch", 1.7),
            ("whitenet, PyTorch, not augmented", "whitenet", "whitenet-torch", 1.0),
        ]
    return [
        compare(name + what, "images/s", rates[ours], rates[theirs], goal=goal)
        for what, ours, theirs, goal in comparisons
    ]


def _trials(world: World, trials: int, model: str, size: int, batch: int, dtype: str):
    """Prepare a trial for each round; return the function that runs the next one.

    The function returns the images per second of the trial.
    """
    data = world.folder / f"step-{size}.npz"
    if not data.exists():
        x, y = images(round(IMAGES / 0.8), size)
        np.savez(data, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    name = f"step-{model}-{dtype.replace('_', '-')}-{size}-{batch}"
    text = trials_text(name, data, trials, THREADS, batch, EPOCHS, dtype, model)
    subject = world.prepare(text)
    indices = iter(range(trials))

    def run() -> float:
        index = next(indices)
        subject.job("trial", "--model", model, "--index", index)
        return IMAGES * EPOCHS / subject.seconds("trial", model, index)["train"]

    return run


def _yardstick(kind: str, net: str, size: int, batch: int):
    """Return the function that runs a yardstick and returns its images per second."""
    command = [sys.executable, "-m", "bench.yardsticks.step", kind, net]
    numbers = [IMAGES, size, batch, EPOCHS, THREADS]

    def run() -> float:
        output = live(*command, *numbers).said
        return float(re.search(r"images per second: ([\d.]+)", output)[1])

    return run
