"""What a statistician must not be able to object to: one selection a model, one way to the test part."""

from collections.abc import Iterator

from job.experiment.task import Key
from job.verify.collect import Recorded, Task, sentences


def selected(recorded: Recorded) -> str:
    """Return which trial each model goes on with."""
    rows = recorded.selections
    return ", ".join(
        f"{m} trial {rows[m]['trial']}" if m in rows else f"{m} not yet"
        for m in recorded.experiment.models
    )


def selection(recorded: Recorded) -> Iterator[str]:
    """Each model goes on with its best complete trial, chosen once, after all of them were finished.

    One that `job repair` lets be done again was finished before; its value may be another where another machine computes it.
    """
    for model in recorded.experiment.models:
        yield from sentences(model, _model(recorded, model))


def _model(recorded: Recorded, model: str) -> Iterator[str]:
    row, trials = recorded.selections.get(model), recorded.stage("trial", model)
    later = [
        t
        for stage in ("fold", "final")
        for t in recorded.stage(stage, model)
        if t.attempts or t.row["parameters"] is not None
    ]
    if row is None:
        yield from (f"has no selection, but {t.key.stage} {t.key.index} has begun" for t in later)
        return
    best, comparable = (
        _best(recorded, trials),
        all(t.decided and t.exact for t in trials if t.undone),
    )
    if comparable and (best is None or best.key.index != row["trial"]):
        yield f"goes on with trial {row['trial']}, its best complete one is {best.key.index if best else 'none'}"
    chosen = next((t for t in trials if t.key.index == row["trial"]), None)
    for name in ("value", "parameters"):
        if (
            chosen is not None
            and chosen.row[name] != row[name]
            and (comparable or name == "parameters")
        ):
            yield f"was selected with other {name} than trial {row['trial']} has"
    for t in trials:
        if t.first_finished is None:
            yield f"has a selection, but trial {t.key.index} is {t.row['state']}"
        elif t.first_finished > row["made"]:
            yield f"was selected before trial {t.key.index} was finished"
    for t in later:
        name = f"{t.key.stage} {t.key.index}"
        if t.row["parameters"] != row["parameters"]:
            yield f"{name} has other parameters than the selection"
        if t.attempts and t.attempts[0]["started"] < row["made"]:
            yield f"{name} began before the selection was made"


def _best(recorded: Recorded, trials: list[Task]) -> Task | None:
    """Return the complete trial of the best value; of equal ones the first."""
    sign = 1 if recorded.experiment.direction == "maximize" else -1
    complete = [t for t in trials if t.row["state"] == "complete"]
    return min(complete, key=lambda t: (-sign * t.row["value"], t.key.index), default=None)


def openings(recorded: Recorded) -> str:
    """Return how often the test part was opened."""
    finals = sum(t.row["state"] == "complete" for t in recorded.stage("final"))
    return f"opened {len(recorded.openings)} times, for {finals} complete finals"


def test_part_is_locked(recorded: Recorded) -> Iterator[str]:
    """Only attempts of finals opened the test part, each after its last epoch; no final was scored without."""
    tasks, opened = recorded.tasks, {}
    for row in recorded.openings:
        key = Key(row["model"], row["stage"], row["index"])
        subject = f"the opening at {row['opened']:%F %T} by {key}, attempt {row['attempt']},"
        yield from sentences(subject, _opening(recorded, row, tasks.get(key)))
        opened.setdefault(key, set()).add(row["attempt"])
    for task in recorded.stage("final"):
        if task.row["state"] == "complete" and not opened.get(task.key):
            yield f"{task.key} is complete, but never opened the test part"


def _opening(recorded: Recorded, row: dict, task: Task | None) -> Iterator[str]:
    if row["stage"] != "final":
        yield "is not by a final"
        return
    attempt = (
        next((a for a in task.attempts if a["number"] == row["attempt"]), None) if task else None
    )
    if attempt is None:
        yield "is by an attempt that never was"
    elif row["opened"] < attempt["started"] or (
        attempt["ended"] is not None and row["opened"] > attempt["ended"]
    ):
        yield "is not within that attempt's time"
    if task and len(task.epochs["epoch"]) < recorded.parameters(task)["epochs"]:
        yield "is of a final that had not trained all its epochs"
