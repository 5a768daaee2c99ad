"""Trials that train nothing, as our worker takes, reports and commits them."""

from job import study, tasks
from job.attempt import Attempt
from job.database import Database
from job.index import Key
from job.prepare import _register
from job.specification import parse
from job.tasks import Tasks, Worker

STAGED = {"data": {"id": "bench", "files": {}}, "weights": {}, "splits": {}}
# What a trial leaves, as the one of `job trial` does.
METRICS = {
    "loss": 1.2345678901234567,
    "accuracy": 0.5678901234,
    "val_loss": 1.3456789012,
    "val_accuracy": 0.5432109876,
    "learning_rate": 0.001,
}
ARTIFACT = {
    name: {"key": f"experiments/bench-00000000/cnn/trial/00000/1/{name}", "sha256": "0" * 64, "size": 12345, "etag": "0" * 32}
    for name in ("history.csv", "predictions.npz", "result.json")
}


def specification(name: str, trials: int, sampler: str = "tpe", pruner: str = "median", epochs: int = 10) -> dict:
    """Return an experiment of one model with four dimensions."""
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
    """Make tables, tasks and studies, as `job prepare` does once the data is staged."""
    database = Database(url)
    database.create_schema()
    _register(database, parse(spec), STAGED)


class Ours:
    """A worker: it keeps nothing of the database from one call to the next."""

    def __init__(self, url: str, spec: dict, model: str = "cnn"):
        self.database, self.name, self.model, self.worker = Database(url), spec["name"], model, Worker()
        self.registered = None

    def take(self, index: int) -> Attempt:
        """Claim a trial and choose its parameters."""
        self.registered = self.registered or tasks.find(self.database, self.name)
        attempt = Tasks(self.database, self.registered, self.worker, 180, 60).claim(Key(self.model, "trial", index))
        study.choose(self.registered.experiment, attempt)
        return attempt

    def report(self, attempt: Attempt, epoch: int, value: float) -> bool:
        """Report an epoch, from 0; tell whether to prune."""
        return attempt.report(epoch, METRICS, value, study.rule(self.registered.experiment, attempt.key, epoch))

    def finish(self, attempt: Attempt, value: float) -> None:
        attempt.commit("complete", value, METRICS, ARTIFACT)

    def nothing(self, index: int) -> None:
        """Take and finish a trial whose objective takes no time: all of it is one burst."""
        with self.database.kept():
            self.finish(self.take(index), 0.5)
