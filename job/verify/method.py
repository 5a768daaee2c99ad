"""What a statistician must be able to trust: one selection per model, one way to the test part."""

from collections.abc import Iterator
from datetime import datetime

from job.coordination.rows import AttemptRow, OpeningRow, SelectionRow
from job.experiment.task import Key
from job.verify.collect import Recorded, Task, sentences


def describe_selections(recorded: Recorded) -> str:
    """Return which trial each model uses."""
    rows = recorded.selections
    return ", ".join(
        f"{m} trial {rows[m].trial}" if m in rows else f"{m} not yet"
        for m in recorded.experiment.models
    )


def selection(recorded: Recorded) -> Iterator[str]:
    """Check that each model uses its best complete trial, selected once all were finished.

    A trial that `job repair` reset was finished before; on another machine its value may differ.
    """
    for model in recorded.experiment.models:
        yield from sentences(model, _model(recorded, model))


def _model(recorded: Recorded, model: str) -> Iterator[str]:
    row = recorded.selections.get(model)
    later = [
        task
        for stage in ("fold", "final")
        for task in recorded.stage(stage, model)
        if task.attempts or task.row.parameters is not None
    ]
    if row is None:
        yield from (f"has no selection, but {t.key.stage} {t.key.index} has begun" for t in later)
        return
    trials = recorded.stage("trial", model)
    yield from _choice(recorded, row, trials)
    yield from _finished_before(trials, row.made)
    for task in later:
        yield from _later(task, row)


def _choice(recorded: Recorded, row: SelectionRow, trials: list[Task]) -> Iterator[str]:
    """Check that the selection is the best trial, with its value and parameters."""
    best = _best(recorded, trials)
    comparable = all(t.decided and t.exact for t in trials if t.undone)
    number = row.trial
    if comparable and (best is None or best.key.index != number):
        best_number = best.key.index if best else "none"
        yield f"uses trial {number}, but its best complete trial is {best_number}"
    chosen = next((t for t in trials if t.key.index == number), None)
    if chosen is None:
        return
    if comparable and chosen.row.value != row.value:
        yield f"was selected with another value than trial {number} has"
    if chosen.row.parameters != row.parameters:
        yield f"was selected with other parameters than trial {number} has"


def _finished_before(trials: list[Task], made: datetime) -> Iterator[str]:
    for trial in trials:
        if trial.first_finished is None:
            yield f"has a selection, but trial {trial.key.index} is {trial.row.state}"
        elif trial.first_finished > made:
            yield f"was selected before trial {trial.key.index} was finished"


def _later(task: Task, row: SelectionRow) -> Iterator[str]:
    """Check that a fold or final began after the selection, with its parameters."""
    name = f"{task.key.stage} {task.key.index}"
    if task.row.parameters != row.parameters:
        yield f"{name} has other parameters than the selection"
    if task.attempts and task.attempts[0].started < row.made:
        yield f"{name} began before the selection was made"


def _best(recorded: Recorded, trials: list[Task]) -> Task | None:
    """Return the complete trial with the best value; of equal ones the first."""
    sign = recorded.experiment.sign
    complete = [t for t in trials if t.row.state == "complete"]
    return min(complete, key=lambda t: (-sign * t.row.score, t.key.index), default=None)


def describe_openings(recorded: Recorded) -> str:
    """Return how often the test part was opened, and how many finals are complete."""
    finals = sum(t.row.state == "complete" for t in recorded.stage("final"))
    return f"opened {len(recorded.openings)} times, for {finals} complete finals"


def test_part_is_locked(recorded: Recorded) -> Iterator[str]:
    """Check that only finals opened the test part, each after its last epoch.

    A complete final must have opened it.
    """
    opened: set[Key] = set()
    for row in recorded.openings:
        key = Key(row.model, row.stage, row.index)
        subject = f"the opening at {row.opened:%F %T} by {key}, attempt {row.attempt},"
        yield from sentences(subject, _opening(recorded, row, recorded.tasks.get(key)))
        opened.add(key)
    for task in recorded.stage("final"):
        if task.row.state == "complete" and task.key not in opened:
            yield f"{task.key} is complete, but never opened the test part"


def _opening(recorded: Recorded, row: OpeningRow, task: Task | None) -> Iterator[str]:
    if row.stage != "final":
        yield "is not by a final"
        return
    attempts = task.attempts if task else []
    attempt = next((a for a in attempts if a.number == row.attempt), None)
    if attempt is None:
        yield "is by an unknown attempt"
    elif not _is_within(row.opened, attempt):
        yield "is not within that attempt's time"
    if task and len(task.epochs["epoch"]) < recorded.experiment.epochs(row.stage, row.model):
        yield "is by a final that had not trained all of its epochs"


def _is_within(moment: datetime, attempt: AttemptRow) -> bool:
    if moment < attempt.started:
        return False
    ended = attempt.ended
    return not (ended is not None and moment > ended)
