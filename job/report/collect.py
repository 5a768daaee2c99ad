"""Read rows and artifacts into plain values; what cannot be read becomes a sentence."""

import io
import json

import numpy as np

from job.coordination import snapshot
from job.coordination.database import Database
from job.coordination.registered import Registered
from job.coordination.statements import queries
from job.errors import Missing
from job.experiment.experiment import Experiment
from job.experiment.manifest import Prepared
from job.report import predictions
from job.report.artifacts import Artifacts
from job.report.results import Attempt, Collected, Model, Task
from job.sentences import UNREADABLE, first_line
from job.storage import paths
from job.storage.cache_folder import CacheFolder
from job.storage.store import Store

SQL = queries("report")
TABLES = ("tasks", "attempts", "epochs", "selections", "openings")
PUBLISHED = ("final", 0)


def collect(
    database: Database, store: Store, registered: Registered, folder: CacheFolder
) -> Collected:
    """Return everything that a report of this experiment is made of, as of one moment.

    Args:
        database: where the rows are.
        store: where the artifacts are.
        registered: the experiment.
        folder: this node's cache, where large predictions lie while they are read.

    Raises:
        Unreachable: database or store is away for too long, or the cache's disk is full.
        Invalid: the cache folder cannot be used.
    """
    rows = snapshot.read(database, SQL, TABLES, experiment=registered.id)
    collected = Collected(
        registered.id,
        registered.experiment,
        registered.fingerprint,
        registered.data,
        _models(registered.experiment, rows),
        [Attempt(**row) for row in rows["attempts"]],
        rows["openings"],
    )
    artifacts = Artifacts(store, folder, collected.problems)
    for model in collected.models.values():
        _read_artifacts(artifacts, model)
        read_best_trial(artifacts, model, registered.experiment)
    collected.samples = _read_samples(store, registered.data, collected.problems)
    return collected


def _models(experiment: Experiment, rows: dict[str, list[dict]]) -> dict[str, Model]:
    models = {name: Model(name) for name in experiment.models}
    for row in rows["tasks"]:
        _add_task(models[row.pop("model")], row)
    for row in rows["selections"]:
        models[row.pop("model")].selection = row
    for row in rows["epochs"]:
        epochs = models[row["model"]].epochs.setdefault((row["stage"], row["index"]), [])
        epochs.append(row["metrics"])
    return models


def _add_task(model: Model, row: dict) -> None:
    row |= {"metrics": row["metrics"] or {}, "artifact": row["artifact"] or {}}
    model.tasks.setdefault(row["stage"], []).append(Task(**row))


def _read_artifacts(artifacts: Artifacts, model: Model) -> None:
    for task in model.stage("fold", "complete") + model.stage("final", "complete"):
        key = (task.stage, task.index)
        _read_predictions(artifacts, model, task)
        if content := artifacts.read(model.name, task, paths.RESULT):
            model.results[key] = json.loads(content)
        if key == PUBLISHED:
            _read_images(artifacts, model, task)


def _read_images(artifacts: Artifacts, model: Model, task: Task) -> None:
    """Read the images that the published final stored; one of an older version stored none."""
    if paths.AUGMENTATION in task.artifact and (
        content := artifacts.read(model.name, task, paths.AUGMENTATION)
    ):
        arrays = _arrays(content, "originals", "variants")
        model.augmentation = (arrays["originals"], arrays["variants"])
    if paths.MISTAKES in task.artifact and (
        content := artifacts.read(model.name, task, paths.MISTAKES)
    ):
        names = ("images", "rows", "labels", "predictions", "confidence")
        model.mistakes = _arrays(content, *names)


def read_best_trial(artifacts: Artifacts, model: Model, experiment: Experiment) -> None:
    """Read the best trial's predictions where the interval of its score needs them."""
    best = model.best_trial(experiment.direction)
    if best is not None and experiment.search.metric != "accuracy":
        _read_predictions(artifacts, model, best)


def _read_predictions(artifacts: Artifacts, model: Model, task: Task) -> None:
    """Read the predictions of a task; only the published final has its ROC lines drawn."""
    key = (task.stage, task.index)
    with artifacts.opened(model.name, task, paths.PREDICTIONS) as file:
        if file:
            model.predictions[key] = predictions.read(file, with_lines=key == PUBLISHED)


def _read_samples(store: Store, data: Prepared, problems: list[str]) -> np.ndarray | None:
    try:
        content = store.get(paths.data_file(data.id, paths.SAMPLES))
        return _arrays(content, "images")["images"]
    except Missing:
        problems.append("The samples of the data set are not in the store")
        return None
    except UNREADABLE as exc:
        problems.append(
            f"The samples of the data set in the store are damaged ({first_line(exc)}):"
            " `job prepare` stages them again"
        )
        return None


def _arrays(content: bytes, *names: str) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file, without unpickling anything."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in names}
