"""The two experiments of the storm, the calm twin of the first, and the place of each."""

import subprocess
import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from job.coordination.database import Database
from job.coordination.outcome import MAX_VANISHED
from job.errors import JobError
from job.experiment.experiment import Experiment
from job.experiment.specification import load
from job.experiment.task import Key

ROOT = Path(__file__).parents[2]
BEFORE = {
    "features": (),
    "trial": ("features",),
    "fold": ("features", "trial"),
    "final": ("features", "trial"),
}

# Random sampling, no pruner: the file alone determines every bit.
# Its tasks train for 10 to 20 s when four run on two cores.
RANDOM = """
name = "storm-random"
seed = 5
threads = 1
[data]
source = "digits"
[search]
trials = {trials}
sampler = "random"
[folds]
count = 2
[parameters]
learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
[models.cnn]
epochs = 24
batch_size = 16
blocks = 2
width = 8
units = 16
augment = {{ shift = 0.1, rotation = 10, zoom = 0.1, shear = 0.1 }}
[models.mobilenetv2]
epochs = 40
batch_size = 8
input_size = 32
alpha = 0.35
units = 32
"""

# The choices depend on the order in which trials finish: the record must explain them.
TPE = """
name = "storm-tpe"
seed = 6
threads = 1
[data]
source = "digits"
[search]
trials = {trials}
sampler = "tpe"
pruner = "hyperband"
min_epochs = 2
[folds]
count = 2
[models.cnn]
learning_rate = {{ low = 1e-4, high = 1e-1, log = true }}
dropout = {{ low = 0.0, high = 0.6 }}
epochs = 18
batch_size = 16
blocks = 2
width = 8
units = 16
augment = {{ shift = 0.1, flip = true }}
"""
TPE_TRIALS = 20  # hyperband needs as many
GROWTH = 4

WEIGHTS = """
import sys, keras
net = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
net.save_weights(sys.argv[1] + "/mobilenetv2_0.35_224_no_top.weights.h5")
"""


@dataclass
class Task:
    """The columns of a task's row that the storm reads."""

    state: str
    attempt: int
    progress: int
    counted: int
    counted_at: int

    @property
    def decided(self) -> bool:
        """Tell whether the task is complete or pruned."""
        return self.state in ("complete", "pruned")

    @property
    def may_vanish(self) -> bool:
        """Tell whether the task has another attempt if this one vanishes now."""
        return self.progress > self.counted_at or self.counted < MAX_VANISHED - 1


class Subject:
    """An experiment in a database and a store of its own."""

    def __init__(
        self,
        label: str,
        text: str,
        trials: int,
        folder: Path,
        environ: dict,
        database_url: str,
        store_url: str,
    ):
        self.label = label
        self.text = text
        self.trials = trials
        self.folder = folder / label
        self.folder.mkdir()
        self.database = Database(database_url, 30)
        self.store_url = store_url
        self.experiment = self._write()
        self.environ = environ | {
            "JOB_DATABASE_URL": database_url,
            "JOB_STORE_URL": store_url,
            "JOB_EXPERIMENT": self.experiment.name,
            "JOB_CACHE_DIR": str(self.folder / "cache"),
        }

    def _write(self) -> Experiment:
        """Write the experiment's file and return it as `job` reads it."""
        self.file = self.folder / "experiment.toml"
        self.file.write_text(self.text.format(trials=self.trials))
        return load(self.file)

    def keys(self) -> list[Key]:
        """Return every task that the file requests."""
        return [
            Key(m, stage, i)
            for stage, models in self.experiment.plan().items()
            for m, n in models.items()
            for i in range(n)
        ]

    def job(self, *arguments) -> str:
        """Run a `job` command; return its output. Raises: JobError for any exit code but 0."""
        words = list(map(str, arguments))
        done = subprocess.run(
            [sys.executable, "-m", "job", *words],
            env=self.environ,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            # A replay logs every epoch: what is broken was said before.
            said = [line for line in done.stdout.splitlines() if " INFO " not in line]
            raise JobError(
                f"{self.label}: `job {' '.join(words)}` ended with {done.returncode}:\n"
                + "\n".join(said)[-10_000:]
            )
        return done.stdout

    def prepare(self, weights: Path) -> None:
        """Prepare the experiment, or prepare it again with more trials."""
        self.job("prepare", self.file, "--weights", weights)

    def grow(self, weights: Path) -> None:
        """Add trials, as users may until parameters are selected."""
        self.trials += GROWTH
        self.experiment = self._write()
        self.prepare(weights)

    def tasks(self, patience_s: float) -> dict[Key, Task]:
        """Return all rows. Raises: Unreachable when the database is down for longer."""

        def work(cursor):
            cursor.execute(
                "select model, stage, index, state, attempt, progress, counted, counted_at"
                " from task"
            )
            return {
                Key(r.pop("model"), r.pop("stage"), r.pop("index")): Task(**r)
                for r in map(dict, cursor.fetchall())
            }

        return self.database.transaction(work, patience_s)


def trials_of_random(minutes: float) -> int:
    """Return the trials per model of the experiment that has a calm twin.

    The storm must meet them, and they are run twice.
    """
    return ceil(minutes / 2)


def make_weights(folder: Path) -> Path:
    """Return a folder with random MobileNetV2 weights."""
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-c", WEIGHTS, str(folder)], check=True, stderr=subprocess.DEVNULL
    )
    return folder
