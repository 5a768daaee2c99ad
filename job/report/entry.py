"""The entry of one model in report.json: its trials, its folds and its finals."""

from collections.abc import Callable
from typing import cast

import numpy as np

from job.coordination.outcome import is_infeasible
from job.learning import evaluate
from job.learning.result_format import FinalEvaluation, Scores
from job.report.cost import cost
from job.report.gaps import count_states
from job.report.metrics import BOOTSTRAP_SEED
from job.report.model_format import (
    FinalRun,
    Finals,
    FoldEntry,
    Folds,
    ModelEntry,
    OutOfFold,
    Ranges,
    Selection,
    Trials,
)
from job.report.predictions import Predictions
from job.report.results import Collected, Model, Task
from job.report.trials import best, importances
from job.storage import paths

SCORES = tuple(Scores.__annotations__)


def entry(model: Model, collected: Collected) -> ModelEntry:
    """Return what report.json holds about one model."""
    return {
        "trial": _trials(model, collected),
        "selection": _selection(model),
        "fold": _folds(model, collected),
        "final": _finals(model, collected),
        "cost": cost(collected, model.name),
    }


def published(model: ModelEntry) -> FinalRun | None:
    """Return the final of seed 0 from a model's entry, the one that is published, or None."""
    return next((run for run in model["final"]["runs"] if run["seed_index"] == 0), None)


def _trials(model: Model, collected: Collected) -> Trials:
    counts = count_states(model.stage("trial"))
    return {
        "tasks": len(model.stage("trial")),
        "complete": counts.get("complete", 0),
        "pruned": counts.get("pruned", 0),
        "infeasible": sum(is_infeasible(t.state, t.reason) for t in model.stage("trial")),
        "failed": counts.get("failed", 0),
        "waiting": counts.get("waiting", 0),
        "running": counts.get("running", 0),
        "best": best(model, collected),
        "importances": importances(model, collected),
    }


def _selection(model: Model) -> Selection | None:
    if not model.selection:
        return None
    return {
        "index": model.selection["trial"],
        "value": model.selection["value"],
        "parameters": model.selection["parameters"],
    }


def _folds(model: Model, collected: Collected) -> Folds:
    tasks = model.stage("fold")
    complete = bool(tasks) and all(t.state == "complete" for t in tasks)
    count = collected.experiment.folds.count
    values = {score: [t.metrics.get(score) for t in tasks] for score in SCORES}
    folds: Folds = {
        "n_train": round(collected.data.train * (count - 1) / count),
        "folds": [_fold(task) for task in tasks],
        "mean": None,
        "range": None,
        "out_of_fold": None,
    }
    if complete:
        folds["mean"] = _by_score(lambda score: _mean(values[score]))
        folds["range"] = cast("Ranges", {score: _range(values[score]) for score in SCORES})
        folds["out_of_fold"] = _out_of_fold(model, collected.data.train)
    return folds


def _by_score(value: Callable[[str], float | None]) -> Scores:
    """Return a value for each score."""
    return cast("Scores", {score: value(score) for score in SCORES})


def _fold(task: Task) -> FoldEntry:
    return {
        "index": task.index,
        "state": task.state,
        "n": task.metrics.get("n"),
        **_by_score(task.metrics.get),
        "reason": task.reason or task.metrics.get("roc_auc_reason"),
    }


def _mean(values: list) -> float | None:
    """Return the mean, or None when any value is missing."""
    return None if None in values else sum(values) / len(values)


def _range(values: list) -> list[float] | None:
    return None if None in values else [min(values), max(values)]


def _out_of_fold(model: Model, n_train: int) -> OutOfFold | None:
    """Pool the folds' predictions; None unless they are every training row exactly once."""
    parts: list[Predictions] = []
    for task in model.stage("fold"):
        part = model.predictions.get(("fold", task.index))
        if part is None:
            return None
        parts.append(part)
    rows = np.concatenate([part.rows for part in parts])
    if len(rows) != n_train or len(np.unique(rows)) != n_train:
        return None
    labels = np.concatenate([part.labels for part in parts])
    right = np.concatenate([part.right for part in parts])
    return {
        "n": n_train,
        "accuracy": float(right.mean()),
        "interval": evaluate.accuracy_interval(labels, right, BOOTSTRAP_SEED),
    }


def _finals(model: Model, collected: Collected) -> Finals:
    return {
        "n_train": collected.data.train,
        "n_test": collected.data.test,
        "runs": [_run(model, task) for task in model.stage("final", "complete")],
        "unfinished": [
            {"seed_index": t.index, "state": t.state, "reason": t.reason}
            for t in model.stage("final")
            if t.state != "complete"
        ],
    }


def _run(model: Model, task: Task) -> FinalRun:
    result = model.results.get(("final", task.index))
    return {
        "seed_index": task.index,
        **_by_score(lambda _: None),
        **cast("FinalEvaluation", task.metrics),
        "seed": result.get("seed") if result else None,
        "model": task.artifact.get(paths.MODEL, {}).get("key"),
    }
