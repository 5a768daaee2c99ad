"""Measure how long the steps of a training on a mapped part wait for their batches."""

import json
import sys

import numpy as np

from bench.pairs import Row, compare
from bench.world import Subject, World, live
from bench.yardsticks.nets import images
from job.coordination.database import Database
from job.storage.paths import RESULT
from job.storage.store import open_store

MOST_PERCENT = 5.0  # of the steps' time, tracing and checkpoints included
THREADS = 2
# Images of the training part, so that it has more than the 64 MiB that may stay mapped.
IMAGES = {"cnn": 25_000, "mobilenetv2": 600}
SIZES = {"cnn": 32, "mobilenetv2": 224}
UNFREEZE = {"cnn": "", "mobilenetv2": "input_size = 224\nunfreeze = 20"}

EXPERIMENT = """
name = "feed-{model}"
threads = {threads}
[data]
source = "{data}"
validation = 0.2
[search]
trials = {trials}
[folds]
count = 2
[parameters]
batch_size = 32
learning_rate = {{ low = 1e-4, high = 1e-3, log = true }}
epochs = 1
[models.{model}]
{more}
"""

ARTIFACT = """
select t.artifact from task t join experiment e on e.id = t.experiment
where (e.name, t.stage, t.index) = (%(name)s, 'trial', %(index)s)
"""


def rows(world: World, rounds: int) -> list[Row]:
    """Return a row per net: the share of its time that a step waits, beside what it may."""
    weights = world.folder / "weights-of-feed"
    weights.mkdir()
    live(sys.executable, "-m", "bench.yardsticks.transfer", "weights", weights)
    rounds = min(rounds, 3)
    return [
        compare(
            f"waiting for data, {model} at {SIZES[model]} px, batch 32",
            "%",
            _waiting(world, model, rounds, weights),
            [MOST_PERCENT] * rounds,
            less_is_better=True,
        )
        for model in IMAGES
    ]


def _waiting(world: World, model: str, trials: int, weights: object) -> list[float]:
    """Return the per cent of their time that the steps of each trial waited."""
    data = world.folder / f"feed-{model}.npz"
    x, y = images(IMAGES[model], SIZES[model])
    np.savez(data, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    text = EXPERIMENT.format(
        model=model, threads=THREADS, data=data, trials=trials, more=UNFREEZE[model]
    )
    subject = world.prepare(text, weights=weights)
    return [_percent(subject, model, index) for index in range(trials)]


def _percent(subject: Subject, model: str, index: int) -> float:
    """Run a trial, and return the per cent of their time that its steps waited."""
    subject.job("trial", "--model", model, "--index", index)
    row = Database(subject.database_url).rows(ARTIFACT, name=subject.name, index=index)[0]
    result = json.loads(open_store(subject.store_url).get(row["artifact"][RESULT]["key"]))
    feeding = result["feeding"]
    return 100 * feeding["waited_s"] / feeding["steps_s"]
