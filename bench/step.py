"""A step: images a second of a real `job trial` - augmentation, checkpoints, pruning and progress on - and of what one would write otherwise."""

import importlib.util
import re
import sys

import numpy as np

from bench.pairs import Row, compare, in_turn
from bench.world import World, live, trials_text
from bench.yardsticks.nets import images

IMAGES, SIZE, BATCH, EPOCHS, THREADS = 5000, 32, 128, 3, 2


def rows(world: World, rounds: int, size: int = SIZE, batch: int = BATCH) -> list[Row]:
    """Return the rows of a step: each contender is a process of its own, and the first step counts for all."""
    ours = {
        dtype: _trials(world, rounds, size, batch, dtype) for dtype in ("float32", "mixed_bfloat16")
    }
    kinds = ["fit", "generator"] + (
        ["torch", "torch-bfloat16"] if importlib.util.find_spec("torch") else []
    )
    if "torch" not in kinds:
        print(
            "PyTorch is not installed: its rows are left out; `make bench TORCH=2.13.0` installs it",
            flush=True,
        )
    contenders = [
        *ours.values(),
        *(lambda kind=kind: _yardstick(kind, size, batch) for kind in kinds),
    ]
    found = dict(zip([*ours, *kinds], in_turn(rounds, *contenders), strict=True))
    what, unit = f"step {size} px, batch {batch}: ", "images/s"
    made = [
        compare(f"{what}Keras fit, not augmented", unit, found["float32"], found["fit"]),
        compare(
            f"{what}ImageDataGenerator and fit",
            unit,
            found["float32"],
            found["generator"],
            goal=1.3,
        ),
    ]
    if "torch" in kinds:
        made.append(
            compare(f"{what}PyTorch, not augmented", unit, found["float32"], found["torch"])
        )
        made.append(
            compare(
                f"{what}bfloat16, PyTorch's autocast",
                unit,
                found["mixed_bfloat16"],
                found["torch-bfloat16"],
            )
        )
        made.append(
            compare(
                f"{what}bfloat16, PyTorch in float32",
                unit,
                found["mixed_bfloat16"],
                found["torch"],
                goal=1.7,
            )
        )
    return made


def _trials(world: World, trials: int, size: int, batch: int, dtype: str):
    """Prepare a trial for each round; return what runs the next one and tells its images a second."""
    data = world.folder / f"step-{size}.npz"
    if not data.exists():
        x, y = images(round(IMAGES / 0.8), size)
        np.savez(data, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    subject = world.prepare(
        trials_text(
            f"step-{dtype.replace('_', '-')}-{size}-{batch}",
            data,
            trials,
            THREADS,
            batch,
            EPOCHS,
            dtype,
        )
    )
    left = iter(range(trials))

    def run() -> float:
        index = next(left)
        subject.job("trial", "--model", "cnn", "--index", index)
        return IMAGES * EPOCHS / subject.seconds("trial", "cnn", index)["train"]

    return run


def _yardstick(kind: str, size: int, batch: int) -> float:
    said = live(
        sys.executable, "-m", "bench.yardsticks.step", kind, IMAGES, size, batch, EPOCHS, THREADS
    ).said
    return float(re.search(r"images a second: ([\d.]+)", said)[1])
