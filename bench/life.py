"""The life of a worker: what it takes beside the training itself. Of CIFAR-10's size: 50,000 images of 32 px."""

import re
import shutil
import sys

import numpy as np

from bench.pairs import Row, compare, in_turn
from bench.world import Life, Subject, World, live, trials_text
from bench.yardsticks.nets import images
from job.coordination.database import Database

IMAGES, THREADS = 50_000, 2
START_S, END_S, DECIDED_S, MEMORY_MB, STAGING = (
    2.0,
    1.0,
    1.0,
    400,
    0.8,
)  # what may be added to TensorFlow's import, the upload, ...


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows of a worker's start, end, memory and staging."""
    rounds = min(rounds, 3)  # a minute each
    x, y = images(IMAGES, 32)
    data = world.folder / "life.npz"
    np.savez(data, x_train=x, y_train=y, x_test=x[:1000], y_test=y[:1000])
    subject = world.prepare(trials_text("life", data, rounds + 1, THREADS))
    left = iter(range(rounds + 1))
    trial = lambda: subject.job("trial", "--model", "cnn", "--index", next(left))  # noqa: E731
    trial()  # fills the cache
    bare = lambda: live(sys.executable, "-c", "import tensorflow")  # noqa: E731
    trials, imports = in_turn(rounds, trial, bare)
    uploads = [subject.seconds("trial", "cnn", i + 1)["upload"] for i in range(rounds)]
    return [
        compare(
            "start to first step",
            "s",
            [t.at["first"] for t in trials],
            [i.wall_s + START_S for i in imports],
            True,
        ),
        compare(
            "last step, scored, to exit",
            "s",
            [t.wall_s - t.at["last"] for t in trials],
            [u + END_S for u in uploads],
            True,
        ),
        compare(
            "peak memory",
            "MB",
            [t.peak_mb for t in trials],
            [i.peak_mb + MEMORY_MB for i in imports],
            True,
        ),
        *_nothing_to_do(subject, rounds),
        _staging(world, subject, data="train-images.npy", rounds=4 * rounds),
    ]


def _nothing_to_do(subject: Subject, rounds: int) -> list[Row]:
    decided, surplus = in_turn(
        2 * rounds, lambda: subject.job("trial", "--index", 0), lambda: _surplus(subject)
    )
    allowed = [DECIDED_S] * (2 * rounds)
    return [
        compare("a decided task", "s", [d.wall_s for d in decided], allowed, True),
        compare("a task too many", "s", [s.wall_s for s in surplus], allowed, True),
    ]


def _surplus(subject: Subject) -> Life:
    """Run an index beyond the stage, as the last chunk of a Slurm array has it."""
    return live(
        sys.executable,
        "-m",
        "job",
        "trial",
        environ=subject.environ() | {"SLURM_ARRAY_TASK_ID": "999"},
    )


def _staging(world: World, subject: Subject, data: str, rounds: int) -> Row:
    """Return the row of a node's first task, which brings the images from S3, beside a bare download."""
    entry = Database(subject.database_url).rows(
        "select data from experiment where name = %(name)s", name=subject.name
    )[0]["data"]
    key, sha256 = f"data/{entry['id']}/{data}", entry["files"][data]["sha256"]

    def bring(kind: str) -> float:
        folder = world.folder / "download"
        folder.mkdir()
        said = live(
            sys.executable,
            "-m",
            "bench.yardsticks.download",
            kind,
            key,
            sha256,
            folder,
            environ=subject.environ(),
        ).said
        shutil.rmtree(folder)
        return float(re.search(r"megabytes a second: ([\d.]+)", said)[1])

    bring("boto3")  # the store's disk, too, is to be warm
    ours, bare = in_turn(rounds, lambda: bring("cache"), lambda: bring("boto3"))
    return compare("staging from S3, hashed and mapped", "MB/s", ours, bare, goal=STAGING)
