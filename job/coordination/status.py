# pyright: strict
"""What is done, what runs where, how long it will take.

All of it comes from the database, and every number is of one moment.
"""

from collections.abc import Mapping
from typing import Any

from job.coordination import snapshot
from job.coordination.counts import STATES, Stages, by_stage, reachable, undecided
from job.coordination.database import Database
from job.coordination.estimate import expected_s, speeds, time_left
from job.coordination.registered import Registered
from job.coordination.statements import queries
from job.errors import NotReady
from job.experiment.experiment import METRICS

SQL = queries("status")
# The statements that `collect` reads.
TASKS = ("states", "running", "failed", "attempts", "seconds", "speed", "notes")
RESULTS = ("best", "selected", "folds")
# Images per second are those of the last ten minutes.
WINDOW_S = 600.0

Rows = list[dict[str, Any]]


def collect(database: Database, registered: Registered) -> dict[str, Any]:
    """Return the state of an experiment, as `job status --json` gives it."""
    experiment = registered.experiment
    rows = snapshot.read(
        database,
        SQL,
        (*TASKS, *RESULTS),
        experiment=registered.id,
        sign=experiment.sign,
        window_s=WINDOW_S,
        models=list(experiment.models),
    )
    stages = by_stage(rows["states"])
    return {
        "experiment": experiment.name,
        "id": registered.id,
        "metric": experiment.search.metric,
        "tasks": sum(row["tasks"] for row in rows["states"]),
        "undecided": sum(undecided(stages).values()),
        "stages": stages,
        "models": {
            model: _results(rows, model, experiment.folds.count) for model in experiment.models
        },
        "attempts": {row["outcome"]: row["attempts"] for row in rows["attempts"]},
        "images_per_s": speeds(registered, stages, rows["speed"]),
        "task_s": [
            {"stage": row["stage"], "model": row["model"], "mean_s": row["mean_s"]}
            for row in rows["seconds"]
        ],
        "time_left": time_left(stages, expected_s(registered, rows["seconds"]), rows["running"]),
        "running": rows["running"],
        "failed": rows["failed"],
        "notes": [*experiment.notes, *(row["note"] for row in rows["notes"])],
    }


def check_all_decided(database: Database, registered: Registered) -> None:
    """Raise `NotReady` while there are tasks that may still be decided."""
    left = undecided(_stages(database, registered))
    if left:
        listed = ", ".join(f"{n} {stage}" for stage, n in left.items())
        raise NotReady(f"not every task is decided: {listed} left")


def may_be_decided(database: Database, registered: Registered, model: str, stage: str) -> bool:
    """Tell whether a model's tasks of a stage can still be decided."""
    parts = reachable(_stages(database, registered))
    return any((part.stage, part.model) == (stage, model) for part in parts)


def _stages(database: Database, registered: Registered) -> Stages:
    return by_stage(database.rows(SQL["states"], experiment=registered.id))


def _results(rows: Mapping[str, Rows], model: str, folds: int) -> dict[str, Any]:
    """Return a model's results: its best trial so far, its selection, the mean of its folds."""

    def of(name: str) -> dict[str, Any] | None:
        for row in rows[name]:
            if row["model"] == model:
                return {key: value for key, value in row.items() if key != "model"}
        return None

    complete = of("folds") or {"folds": 0, "mean": None}
    return {"best": of("best"), "selected": of("selected"), "folds": complete | {"of": folds}}


def experiments(database: Database) -> list[dict[str, Any]]:
    """Return every experiment of the database, oldest first, as `job list --json` gives it."""
    database.check_schema()
    rows = snapshot.read(database, SQL, ("experiments", "all_states", "scores"))

    def of(name: str, experiment: str) -> Rows:
        return [row for row in rows[name] if row["experiment"] == experiment]

    return [
        _entry(row, of("all_states", row["id"]), of("scores", row["id"]))
        for row in rows["experiments"]
    ]


def _entry(row: Mapping[str, Any], states: Rows, scores: Rows) -> dict[str, Any]:
    """Return what `job list` says of one experiment."""
    counts = dict.fromkeys(STATES, 0)
    for tasks in states:
        counts[tasks["state"]] += tasks["tasks"]
    left = sum(undecided(by_stage(states)).values())
    upwards = METRICS[row["metric"]] == "maximize"
    return {
        "name": row["name"],
        "id": row["id"],
        "created": row["created"].isoformat(timespec="seconds"),
        "tasks": sum(counts.values()),
        "decided": counts["complete"] + counts["pruned"] + counts["failed"],
        "undecided": left,
        "running": counts["running"],
        "failed": counts["failed"],
        "metric": row["metric"],
        "best": _leader(scores, upwards, over=not left),
    }


def _leader(scores: Rows, upwards: bool, over: bool) -> dict[str, Any] | None:
    """Return the model that leads, None before the first score.

    It leads by its mean fold score, and has `won` once no other can overtake it. Before the first
    such score it leads by its best trial.
    """
    by_fold = _best(scores, "fold_mean", upwards)
    if by_fold:
        return by_fold | {"by": "fold mean", "won": over}
    by_trial = _best(scores, "highest" if upwards else "lowest", upwards)
    if by_trial:
        return by_trial | {"by": "trial", "won": False}
    return None


def _best(scores: Rows, column: str, upwards: bool) -> dict[str, Any] | None:
    """Return the first model with the best score in a column, None where there is no score."""
    scored = [row for row in scores if row[column] is not None]
    if not scored:
        return None
    best = (max if upwards else min)(scored, key=lambda row: row[column])
    return {"model": best["model"], "value": best[column]}
