"""Read rows and artifacts into plain values; what cannot be read becomes a sentence."""

import hashlib
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
from job.report.results import Attempt, Collected, Model, Predictions, Task
from job.sentences import UNREADABLE, first_line
from job.storage import paths
from job.storage.store import Store

SQL = queries("report")
TABLES = ("tasks", "attempts", "epochs", "selections", "openings")


def collect(database: Database, store: Store, registered: Registered) -> Collected:
    """Return everything that a report of this experiment is made of, as of one moment."""
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
    for model in collected.models.values():
        _read_artifacts(store, model, collected.problems)
        read_best_trial(store, model, collected)
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


def _read_artifacts(store: Store, model: Model, problems: list[str]) -> None:
    for task in model.stage("fold", "complete") + model.stage("final", "complete"):
        key = (task.stage, task.index)
        where = f"{model.name} {task.stage} {task.index}"
        if content := _read(store, task, paths.PREDICTIONS, where, problems):
            model.predictions[key] = _predictions(content)
        if content := _read(store, task, paths.RESULT, where, problems):
            model.results[key] = json.loads(content)
        if key == ("final", 0):
            _read_images(store, model, task, where, problems)


def _read_images(store: Store, model: Model, task: Task, where: str, problems: list[str]) -> None:
    """Read the images that the published final stored; one of an older version stored none."""
    if paths.AUGMENTATION in task.artifact and (
        content := _read(store, task, paths.AUGMENTATION, where, problems)
    ):
        arrays = _arrays(content, "originals", "variants")
        model.augmentation = (arrays["originals"], arrays["variants"])
    if paths.MISTAKES in task.artifact and (
        content := _read(store, task, paths.MISTAKES, where, problems)
    ):
        names = ("images", "rows", "labels", "predictions", "confidence")
        model.mistakes = _arrays(content, *names)


def read_best_trial(store: Store, model: Model, collected: Collected) -> None:
    """Read the best trial's predictions where the interval of its score needs them."""
    best = model.best_trial(collected.experiment.direction)
    if best is None or collected.experiment.search.metric == "accuracy":
        return
    where = f"{model.name} trial {best.index}"
    if content := _read(store, best, paths.PREDICTIONS, where, collected.problems):
        model.predictions[("trial", best.index)] = _predictions(content)


def _read(store: Store, task: Task, file: str, where: str, problems: list[str]) -> bytes | None:
    """Return an artifact's bytes if they have the sha256 that the task's row names."""
    entry = task.artifact.get(file)
    if entry is None:
        problems.append(f"{where} has no {file}")
        return None
    try:
        content = store.get(entry["key"])
    except Missing:
        problems.append(f"{where}: {file} is not in the store under {entry['key']}")
        return None
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        problems.append(
            f"{where}: {file} in the store is left out: its sha256 is not the one in the task's row"
        )
        return None
    return content


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


def _predictions(content: bytes) -> Predictions:
    return Predictions(**_arrays(content, "probabilities", "labels", "rows"))


def _arrays(content: bytes, *names: str) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file, without unpickling anything."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in names}
