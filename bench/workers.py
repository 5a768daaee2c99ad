"""Trials that train nothing, claimed, reported and committed as our worker does.

Each claim and each write uses a separate connection.
"""

from job.coordination import study
from job.coordination.attempt import Attempt
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment.manifest import Prepared
from job.experiment.specification import parse
from job.experiment.task import Key
from job.patience import Patience
from job.settings import Settings
from job.work.prepare import register

DATA = Prepared(
    id="bench",
    source="digits",
    classes=["a", "b"],
    image_shape=(8, 8, 3),
    train=5_000,
    validation=1_000,
    test=1_000,
    train_counts=[2_500, 2_500],
    test_counts=[500, 500],
    duplicates={"train": 0, "train_test": 0},
    files={},
)
STAGED = {"data": DATA, "weights": {}, "splits": {}}
# The metrics and the artifact of a trial, as `job trial` writes them.
METRICS = {
    "loss": 1.2345678901234567,
    "accuracy": 0.5678901234,
    "val_loss": 1.3456789012,
    "val_accuracy": 0.5432109876,
    "learning_rate": 0.001,
}
ARTIFACT = {
    name: {
        "key": f"experiments/bench-00000000/cnn/trial/00000/1/{name}",
        "sha256": "0" * 64,
        "size": 12345,
        "etag": "0" * 32,
    }
    for name in ("history.csv", "predictions.npz", "result.json")
}


def specification(
    name: str, trials: int, sampler: str = "tpe", pruner: str = "median", epochs: int = 10
) -> dict:
    """Return an experiment with one model of four dimensions."""
    return {
        "name": name,
        "data": {"source": "digits"},
        "search": {"trials": trials, "sampler": sampler, "pruner": pruner, "min_epochs": 1},
        "models": {
            "cnn": {
                "epochs": epochs,
                "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
                "batch_size": [32, 64, 128],
                "dropout": {"low": 0.0, "high": 0.7},
                "width": {"low": 4, "high": 64, "step": 4},
            }
        },
    }


def create(url: str, spec: dict) -> None:
    """Create the tables, tasks and studies, as `job prepare` does after it staged the data."""
    database = Database(url)
    database.create_schema()
    register(database, parse(spec), STAGED)


class Ours:
    """A worker with the default patience of `job`: 60 s until it owns a task, then 900 s."""

    def __init__(self, url: str, spec: dict, model: str = "cnn"):
        self.settings = Settings.read({}, {})
        self.database = Database(url)
        self.name = spec["name"]
        self.model = model
        self.worker = Worker()
        self.registered = None

    def take(self, index: int) -> Attempt:
        """Claim a trial and choose its parameters."""
        patience = Patience(self.settings.outage_s, self.settings.wait_s)
        self.registered = self.registered or find(self.database, self.name)
        database = self.database.with_patience(patience)
        mine = Tasks(
            database, self.registered, self.worker, self.settings.lease_s, self.settings.wait_s
        )
        attempt = mine.claim(Key(self.model, "trial", index))
        patience.begin_work()
        study.choose(self.registered.experiment, attempt)
        return attempt

    def report(self, attempt: Attempt, epoch: int, value: float) -> bool:
        """Report an epoch, counted from 0; return whether to prune."""
        rule = study.rule(self.registered.experiment, attempt.key, epoch)
        return attempt.report(epoch, METRICS, value, rule)

    def finish(self, attempt: Attempt, value: float) -> None:
        """Commit the trial as complete."""
        attempt.commit("complete", value, METRICS, ARTIFACT)

    def nothing(self, index: int) -> None:
        """Take and finish a trial whose objective takes no time."""
        self.finish(self.take(index), 0.5)


class Burst(Ours):
    """A worker that keeps its connection from the claim to the commit.

    A real trial trains between them, and does not keep it.
    """

    def nothing(self, index: int) -> None:
        """Take and finish a trial over one connection."""
        with self.database.burst():
            super().nothing(index)
