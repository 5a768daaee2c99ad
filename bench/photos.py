"""Measure data of real size: `prepare` and `predict` on photos, beside bare loops over Pillow."""

import json
import shutil
import sys
from pathlib import Path

from bench.pairs import Row, compare, in_turn
from bench.world import Life, Subject, World, live
from job.export.trained import ABOUT, digest

IMAGES = 4_000
CLASSES = 10
SIZE = 224  # in pixels; the files have 400 x 300
SLOWER = 1.3  # prepare may take as many times as long as bare decoding and writing
PREDICT = 0.9  # of the rate of bare decoding and predicting
MEMORY_MB = 1024  # allowed on top of the imports

EXPERIMENT = """
name = "{name}"
[data]
source = "{source}"
image_size = {size}
[models.cnn]
epochs = 1
"""


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows; each contender is a process of its own, in turn."""
    rounds = min(rounds, 3)
    photos = world.folder / "photos"
    yardstick("make", photos, IMAGES, CLASSES)
    return [*_prepare(world, photos, rounds), *_predict(world, photos, rounds)]


def yardstick(*arguments: object) -> Life:
    """Run the yardstick's process."""
    return live(sys.executable, "-m", "bench.yardsticks.photos", *arguments)


def _prepare(world: World, photos: Path, rounds: int) -> list[Row]:
    """Return the rows of `prepare`: the cache and the store are empty each time."""
    cache = world.folder / "cache-of-photos"
    numbers = iter(range(2 * rounds))

    def run(*flags: str) -> Life:
        name = f"photos-{next(numbers)}"
        file = world.folder / f"{name}.toml"
        file.write_text(EXPERIMENT.format(name=name, source=photos, size=SIZE))
        subject = Subject(world, name, world.postgres.url, f"s3://{world.s3.bucket}/{name}")
        life = subject.job("prepare", file, *flags, cache=cache)
        shutil.rmtree(cache)
        return life

    def prepare() -> Life:
        return run()

    def describe() -> Life:
        return run("--describe")

    def bare() -> Life:
        return yardstick("decode", photos, world.folder / "pixels", SIZE)

    def imports() -> Life:
        return live(sys.executable, "-m", "job", "prepare", "--help")

    prepared, described, decoded, imported = in_turn(rounds, prepare, describe, bare, imports)
    allowed = [SLOWER * life.wall_s for life in decoded]
    name = f"of {IMAGES} photos, {SIZE} px"
    return [
        compare(
            f"prepare {name}; {SLOWER} times bare decoding",
            "s",
            [life.wall_s for life in prepared],
            allowed,
            less_is_better=True,
        ),
        compare(
            f"prepare --describe {name}; the same",
            "s",
            [life.wall_s for life in described],
            allowed,
            less_is_better=True,
        ),
        compare(
            "memory of prepare",
            "MB",
            [life.peak_mb for life in prepared],
            [life.peak_mb + MEMORY_MB for life in imported],
            less_is_better=True,
        ),
    ]


def _predict(world: World, photos: Path, rounds: int) -> list[Row]:
    """Return the row of `predict` with an export of MobileNetV2, weights random."""
    export = world.folder / "exported"
    export.mkdir()
    yardstick("model", export / "model.keras", SIZE, CLASSES)
    about = {"schema": 1, "format": "keras", "model": "mobilenetv2", "factory": None}
    about |= {"classes": [str(i) for i in range(CLASSES)], "image_shape": [SIZE, SIZE, 3]}
    about |= {"sha256": digest(export / "model.keras")}
    (export / ABOUT).write_text(json.dumps(about))
    answers = world.folder / "answers.csv"

    def ours() -> Life:
        command = [sys.executable, "-m", "job", "predict", export, photos]
        return live(*command, "--format", "csv", "--out", answers)

    def bare() -> Life:
        return yardstick("predict", export / "model.keras", photos, SIZE)

    predicted, alone = in_turn(rounds, ours, bare)
    rates = [[IMAGES / life.wall_s for life in lives] for lives in (predicted, alone)]
    return [
        compare(
            f"predict {IMAGES} photos, MobileNetV2 at {SIZE} px; Pillow, then Keras' predict",
            "images/s",
            *rates,
            goal=PREDICT,
        )
    ]
