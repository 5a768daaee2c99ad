"""The life of a worker: its costs beside the training itself.

The data has the size of CIFAR-10: 50,000 images of 32 px.
"""

import re
import shutil
import sys

import numpy as np

from bench.pairs import Row, compare, in_turn
from bench.world import Life, Subject, World, live, trials_text
from bench.yardsticks.nets import images
from job.coordination.database import Database

IMAGES = 50_000
THREADS = 2
START_S = 2.0  # allowed on top of TensorFlow's import
END_S = 1.0  # allowed on top of the upload
DECIDED_S = 1.0  # allowed for a task with nothing to do
MEMORY_MB = 400  # allowed on top of TensorFlow's memory
STAGING = 0.8  # goal: the share of a bare download's rate


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows of a worker's start, end, memory and staging."""
    rounds = min(rounds, 3)  # each round takes a minute
    x, y = images(IMAGES, 32)
    data = world.folder / "life.npz"
    np.savez(data, x_train=x, y_train=y, x_test=x[:1000], y_test=y[:1000])
    subject = world.prepare(trials_text("life", data, rounds + 1, THREADS))
    indices = iter(range(rounds + 1))

    def trial() -> Life:
        return subject.job("trial", "--model", "cnn", "--index", next(indices))

    def bare() -> Life:
        return live(sys.executable, "-c", "import tensorflow")

    trial()  # fills the cache
    trials, imports = in_turn(rounds, trial, bare)
    uploads = [subject.seconds("trial", "cnn", i + 1)["upload"] for i in range(rounds)]
    return [
        *_own_costs(trials, imports, uploads),
        *_nothing_to_do(subject, rounds),
        _staging(world, subject, data="train-images.npy", rounds=4 * rounds),
    ]


def _own_costs(trials: list[Life], imports: list[Life], uploads: list[float]) -> list[Row]:
    """Return the rows of what `job` adds to TensorFlow's import, to the upload, and to memory."""
    starts = [t.at["first"] for t in trials]
    starts_allowed = [i.wall_s + START_S for i in imports]
    ends = [t.wall_s - t.at["last"] for t in trials]
    ends_allowed = [u + END_S for u in uploads]
    peaks = [t.peak_mb for t in trials]
    peaks_allowed = [i.peak_mb + MEMORY_MB for i in imports]
    return [
        compare("start to first step", "s", starts, starts_allowed, less_is_better=True),
        compare("last step, scored, to exit", "s", ends, ends_allowed, less_is_better=True),
        compare("peak memory", "MB", peaks, peaks_allowed, less_is_better=True),
    ]


def _nothing_to_do(subject: Subject, rounds: int) -> list[Row]:
    """Return the rows of a task that is decided already, and of an index beyond the stage."""

    def decided() -> float:
        return subject.job("trial", "--index", 0).wall_s

    def surplus() -> float:
        return _surplus(subject).wall_s

    decided_s, surplus_s = in_turn(2 * rounds, decided, surplus)
    allowed = [DECIDED_S] * (2 * rounds)
    return [
        compare("a decided task", "s", decided_s, allowed, less_is_better=True),
        compare("a task too many", "s", surplus_s, allowed, less_is_better=True),
    ]


def _surplus(subject: Subject) -> Life:
    """Run an index beyond the stage, as the last chunk of a Slurm array does."""
    environ = subject.environ() | {"SLURM_ARRAY_TASK_ID": "999"}
    return live(sys.executable, "-m", "job", "trial", environ=environ)


def _staging(world: World, subject: Subject, data: str, rounds: int) -> Row:
    """Return the row of a node's first task, which downloads the images from S3.

    The yardstick is a bare download.
    """
    query = "select data from experiment where name = %(name)s"
    entry = Database(subject.database_url).rows(query, name=subject.name)[0]["data"]
    key = f"data/{entry['id']}/{data}"
    sha256 = entry["files"][data]["sha256"]

    def download(kind: str) -> float:
        folder = world.folder / "download"
        folder.mkdir()
        command = [sys.executable, "-m", "bench.yardsticks.download", kind, key, sha256, folder]
        output = live(*command, environ=subject.environ()).said
        shutil.rmtree(folder)
        return float(re.search(r"megabytes per second: ([\d.]+)", output)[1])

    download("boto3")  # warms the store's disk
    ours, bare = in_turn(rounds, lambda: download("cache"), lambda: download("boto3"))
    return compare("staging from S3, hashed and mapped", "MB/s", ours, bare, goal=STAGING)
