"""Database rows and artifacts to plain values; what cannot be read becomes a sentence."""

import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from job.coordination.attempt import lost_s
from job.coordination.database import Database, queries
from job.coordination.tasks import Registered
from job.errors import Missing
from job.experiment.experiment import Experiment
from job.sentences import UNREADABLE, first_line
from job.storage.store import Store

SQL = queries("report")


@dataclass(frozen=True)
class Task:
    """One task as its row has it; `metrics` and `artifact` are empty until it is decided."""

    stage: str
    index: int
    state: str
    attempt: int = 0
    parameters: dict | None = None
    value: float | None = None
    metrics: dict = field(default_factory=dict)
    artifact: dict = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One execution of a task; times on the database's clock."""

    model: str
    stage: str
    index: int
    number: int
    started: datetime
    last_beat: datetime
    ended: datetime | None = None
    outcome: str | None = None
    reason: str | None = None
    first_step: int | None = None
    last_step: int | None = None
    seconds: dict = field(default_factory=dict)

    @property
    def wall_s(self) -> float:
        """How long it was there: up to its end, or to the last sign of life of one that vanished."""
        end = self.last_beat if self.outcome == "vanished" or self.ended is None else self.ended
        return max((end - self.started).total_seconds(), 0.0)

    @property
    def lost_s(self) -> float:
        """Time that came to nothing."""
        return lost_s(
            self.outcome, self.wall_s, self.seconds, (self.last_step or 0) > (self.first_step or 0)
        )


@dataclass(frozen=True)
class Predictions:
    """What a fold, a final or the best trial said of the rows it did not train on."""

    probabilities: np.ndarray  # float32 [n, k]
    labels: np.ndarray  # int64 [n]
    rows: np.ndarray  # int64 [n], of the training part (folds, trials) or the test part (finals)


@dataclass
class Model:
    """All that is known of one model."""

    name: str
    tasks: dict[str, list[Task]] = field(default_factory=dict)  # stage -> in order of index
    selection: dict | None = None  # trial, value, parameters
    epochs: dict[tuple[str, int], list[dict]] = field(
        default_factory=dict
    )  # (stage, index) -> metrics by epoch
    predictions: dict[tuple[str, int], Predictions] = field(default_factory=dict)
    results: dict[tuple[str, int], dict] = field(default_factory=dict)  # result.json
    augmentation: tuple[np.ndarray, np.ndarray] | None = (
        None  # originals uint8 [8, h, w, 3], variants uint8 [8, 8, h, w, 3]
    )
    mistakes: dict[str, np.ndarray] | None = (
        None  # of final 0: images uint8 [m, h, w, 3], rows, labels, predictions, confidence
    )

    def stage(self, stage: str, *states: str) -> list[Task]:
        """Return the tasks of a stage, of the given states only if any are given."""
        return [t for t in self.tasks.get(stage, []) if not states or t.state in states]

    def best_trial(self, direction: str) -> Task | None:
        """Return the best complete trial so far, ties to the lowest index: once all are finished, the selected one."""
        sign = -1 if direction == "maximize" else 1
        complete = [t for t in self.stage("trial", "complete") if t.value is not None]
        return min(complete, key=lambda t: (sign * t.value, t.index), default=None)


@dataclass
class Collected:
    """All that a report is made of."""

    id: str
    experiment: Experiment
    fingerprint: str
    data: dict
    models: dict[str, Model]  # in the order of the file
    attempts: list[Attempt] = field(default_factory=list)
    openings: list[dict] = field(default_factory=list)  # model, stage, index, attempt
    samples: np.ndarray | None = None  # uint8 [k, n, h, w, 3]
    problems: list[str] = field(
        default_factory=list
    )  # artifacts that are missing or not what their row says


def collect(database: Database, store: Store, registered: Registered) -> Collected:
    """Return all that a report of this experiment is made of, as of one moment."""
    rows = database.run(lambda cursor: _snapshot(cursor, registered.id))
    models = {name: Model(name) for name in registered.experiment.models}
    for row in rows["tasks"]:
        _add_task(models[row.pop("model")], row)
    for row in rows["selections"]:
        models[row.pop("model")].selection = row
    for row in rows["epochs"]:
        models[row["model"]].epochs.setdefault((row["stage"], row["index"]), []).append(
            row["metrics"]
        )
    attempts = [Attempt(**row) for row in rows["attempts"]]
    collected = Collected(
        registered.id,
        registered.experiment,
        registered.fingerprint,
        registered.data,
        models,
        attempts,
        rows["openings"],
    )
    for model in models.values():
        _read_artifacts(store, model, collected.problems)
        read_best_trial(store, model, collected)
    collected.samples = _read_samples(store, registered.data, collected.problems)
    return collected


def _snapshot(cursor, experiment: str) -> dict[str, list[dict]]:
    """Read every table at one moment, so that no figure contradicts another."""
    cursor.execute(SQL["snapshot"])
    rows = {}
    for name in ("tasks", "attempts", "epochs", "selections", "openings"):
        cursor.execute(SQL[name], {"experiment": experiment})
        rows[name] = [dict(row) for row in cursor.fetchall()]
    return rows


def _add_task(model: Model, row: dict) -> None:
    row |= {"metrics": row["metrics"] or {}, "artifact": row["artifact"] or {}}
    model.tasks.setdefault(row["stage"], []).append(Task(**row))


def _read_artifacts(store: Store, model: Model, problems: list[str]) -> None:
    for task in model.stage("fold", "complete") + model.stage("final", "complete"):
        key = (task.stage, task.index)
        where = f"{model.name} {task.stage} {task.index}"
        if content := _read(store, task, "predictions.npz", where, problems):
            model.predictions[key] = Predictions(
                **_arrays(content, "probabilities", "labels", "rows")
            )
        if content := _read(store, task, "result.json", where, problems):
            model.results[key] = json.loads(content)
        if key != ("final", 0):
            continue
        if "augmentation.npz" in task.artifact and (
            content := _read(store, task, "augmentation.npz", where, problems)
        ):
            model.augmentation = tuple(_arrays(content, "originals", "variants").values())
        if "mistakes.npz" in task.artifact and (
            content := _read(store, task, "mistakes.npz", where, problems)
        ):
            model.mistakes = _arrays(
                content, "images", "rows", "labels", "predictions", "confidence"
            )


def read_best_trial(store: Store, model: Model, collected: Collected) -> None:
    """Read what the best trial said, where its score's interval needs more than the score."""
    best = model.best_trial(collected.experiment.direction)
    if best is None or collected.experiment.search["metric"] == "accuracy":
        return
    if content := _read(
        store, best, "predictions.npz", f"{model.name} trial {best.index}", collected.problems
    ):
        model.predictions[("trial", best.index)] = Predictions(
            **_arrays(content, "probabilities", "labels", "rows")
        )


def _read(store: Store, task: Task, file: str, where: str, problems: list[str]) -> bytes | None:
    """Return an artifact's bytes if they are those its row names."""
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
            f"{where}: {file} in the store is not the one its row names (other sha256); it is left out"
        )
        return None
    return content


def _read_samples(store: Store, data: dict, problems: list[str]) -> np.ndarray | None:
    try:
        return _arrays(store.get(f"data/{data['id']}/samples.npz"), "images")["images"]
    except Missing:
        problems.append("The samples of the data set are not in the store")
        return None
    except UNREADABLE as exc:
        problems.append(
            f"The samples of the data set in the store are damaged ({first_line(exc)}): `job prepare` stages them again"
        )
        return None


def _arrays(content: bytes, *names: str) -> dict[str, np.ndarray]:
    """Return arrays of an .npz file, without unpickling anything."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in names}
