"""Exactly N: the tasks are those of the plan, and Optuna has the same trials."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from job.coordination import study
from job.coordination.outcome import DECIDED
from job.coordination.rows import TaskRow
from job.experiment.experiment import STAGES
from job.verify.collect import Recorded, Task, first_few, sentences

OPTUNA_STATES = {"running": "RUNNING", "complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def describe_tasks(recorded: Recorded) -> str:
    """Return how many tasks each stage has, and how many of all are decided or failed."""
    stages = Counter(task.key.stage for task in recorded.tasks.values())
    states = Counter(task.row.state for task in recorded.tasks.values())
    tasks = ", ".join(f"{stages[stage]} {stage}" for stage in STAGES if stages[stage])
    failed = f", {states['failed']} failed" if states["failed"] else ""
    return f"{tasks} tasks, {sum(states[s] for s in DECIDED)} decided{failed}"


def exactly_n(recorded: Recorded) -> Iterator[str]:
    """Check that the tasks are those of the plan, and that Optuna's studies match them."""
    for stage, models in recorded.experiment.plan().items():
        for model in dict.fromkeys([*models, *(t.key.model for t in recorded.stage(stage))]):
            indices = [t.key.index for t in recorded.stage(stage, model)]
            yield from _planned(f"{model} {stage}", indices, models.get(model, 0))
    for model in recorded.experiment.models:
        subject = f"Optuna's study {recorded.experiment.name}/{model}"
        yield from sentences(subject, _study(recorded, model))


def _planned(subject: str, indices: list[int], planned: int) -> Iterator[str]:
    missing = sorted(set(range(planned)) - set(indices))
    extra = sorted(set(indices) - set(range(planned)))
    counts = f"{subject} has {len(indices)} tasks, not the plan's {planned}"
    if missing:
        yield f"{counts}: missing {first_few(missing)}"
    if extra:
        yield f"{counts}: extra {first_few(extra)}"


def _study(recorded: Recorded, model: str) -> Iterator[str]:
    found = recorded.studies.get(model)
    if found is None:
        yield "does not exist"
        return
    direction = recorded.experiment.direction
    if [str(d).lower() for d in found["directions"]] != [direction]:
        yield f"has the direction {', '.join(map(str, found['directions']))}, not {direction}"
    tasks = {t.row.optuna_trial_id: t for t in recorded.stage("trial", model)}
    planned = recorded.experiment.search.trials
    if len(found["trials"]) != planned:
        yield f"has {len(found['trials'])} trials, not {planned}"
    for trial in found["trials"]:
        task = tasks.pop(trial["trial_id"], None)
        if task is None:
            yield f"has a trial {trial['number']} to which no task is bound"
        else:
            yield from sentences(f"trial {trial['number']}", _trial(recorded, task, trial))
    for task in tasks.values():
        yield f"has no trial of {task.key}"


def _trial(recorded: Recorded, task: Task, trial: dict[str, Any]) -> Iterator[str]:
    """Check that Optuna's trial matches its task."""
    row = task.row
    if trial["number"] != task.key.index:
        yield f"is bound to {task.key}: number and index differ"
    if trial["state"] != _optuna_state(row):
        yield f"is {trial['state']}, but its task is {row.state}"
    value = [row.value] if task.decided and row.value is not None else []
    if (trial["values"] or []) != value:
        yield f"has the value {trial['values']}, but its task has {row.value}"
    space = study.distributions(recorded.experiment, task.key.model)
    parameters = {
        name: float(space[name].to_internal_repr(value))
        for name, value in (row.parameters or {}).items()
    }
    if task.decided and row.parameters is None:
        yield f"is {trial['state']}, but its task has no parameters"
    if (trial["parameters"] or {}) != parameters:
        yield f"has other parameters than its task ({row.parameters})"
    if (trial["steps"] or {}) != _steps(task):
        yield "has intermediate values that differ from the epochs of its task"


def _optuna_state(row: TaskRow) -> str:
    """Return the state that Optuna has for the trial of a task."""
    unstarted = "WAITING" if row.parameters is None else "RUNNING"
    return OPTUNA_STATES.get(row.state) or unstarted


def _steps(task: Task) -> dict[str, float]:
    """Return the values that Optuna has of a task: number of epochs -> value."""
    pairs = zip(task.epochs["epoch"], task.epochs["value"], strict=True)
    return {str(epoch + 1): value for epoch, value in pairs if value is not None}
