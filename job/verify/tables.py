"""What the tables alone must hold: exactly N, done is done, one owner, every epoch once."""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from job.coordination import study
from job.coordination.tasks import DECIDED
from job.experiment.experiment import STAGES
from job.verify.collect import Recorded, Task, sentences

OPTUNA_STATES = {"running": "RUNNING", "complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def counts(recorded: Recorded) -> str:
    """Return how many tasks there are of each stage and how many of them are decided."""
    stages = Counter(task.key.stage for task in recorded.tasks.values())
    states = Counter(task.row["state"] for task in recorded.tasks.values())
    text = ", ".join(f"{stages[stage]} {stage}" for stage in STAGES if stages[stage])
    failed = f", {states['failed']} failed" if states["failed"] else ""
    return f"{text} tasks, {sum(states[s] for s in DECIDED)} decided{failed}"


def exactly_n(recorded: Recorded) -> Iterator[str]:
    """The tasks are those of the plan, and Optuna's studies have the same trials with the same content."""
    for stage, models in recorded.experiment.plan().items():
        for model in dict.fromkeys([*models, *(t.key.model for t in recorded.stage(stage))]):
            yield from _planned(
                f"{model} {stage}",
                [t.key.index for t in recorded.stage(stage, model)],
                models.get(model, 0),
            )
    for model in recorded.experiment.models:
        yield from sentences(
            f"Optuna's study {recorded.experiment.name}/{model}", _study(recorded, model)
        )


def _planned(subject: str, indices: list[int], n: int) -> Iterator[str]:
    missing, extra = sorted(set(range(n)) - set(indices)), sorted(set(indices) - set(range(n)))
    if missing:
        yield f"{subject} has {len(indices)} tasks, not the plan's {n}: without {_some(missing)}"
    if extra:
        yield f"{subject} has {len(indices)} tasks, not the plan's {n}: beyond it {_some(extra)}"


def _study(recorded: Recorded, model: str) -> Iterator[str]:
    found = recorded.studies.get(model)
    if found is None:
        yield "is not there"
        return
    if [str(d).lower() for d in found["directions"]] != [recorded.experiment.direction]:
        yield f"has the direction {', '.join(map(str, found['directions']))}, not {recorded.experiment.direction}"
    tasks = {t.row["optuna_trial_id"]: t for t in recorded.stage("trial", model)}
    if len(found["trials"]) != recorded.experiment.search["trials"]:
        yield f"has {len(found['trials'])} trials, not {recorded.experiment.search['trials']}"
    for trial in found["trials"]:
        task = tasks.pop(trial["trial_id"], None)
        if task is None:
            yield f"has a trial {trial['number']} to which no task is bound"
        else:
            yield from sentences(f"trial {trial['number']}", _trial(recorded, task, trial))
    for task in tasks.values():
        yield f"has no trial of {task.key}"


def _trial(recorded: Recorded, task: Task, trial: dict) -> Iterator[str]:
    """Optuna's trial says what its task says."""
    row, epochs = task.row, task.epochs
    if trial["number"] != task.key.index:
        yield f"is bound to {task.key}: number and index differ"
    state = OPTUNA_STATES.get(row["state"]) or (
        "WAITING" if row["parameters"] is None else "RUNNING"
    )
    if trial["state"] != state:
        yield f"is {trial['state']}, its task is {row['state']}"
    value = [row["value"]] if task.decided and row["value"] is not None else []
    if (trial["values"] or []) != value:
        yield f"has the value {trial['values']}, its task {row['value']}"
    space = study.distributions(recorded.experiment, task.key.model)
    ours = {
        name: float(space[name].to_internal_repr(v))
        for name, v in (row["parameters"] or {}).items()
    }
    if task.decided and row["parameters"] is None:
        yield f"is {trial['state']}, its task has no parameters"
    if (trial["parameters"] or {}) != ours:
        yield f"has other parameters than its task ({row['parameters']})"
    steps = {
        str(e + 1): v
        for e, v in zip(epochs["epoch"], epochs["value"], strict=True)
        if v is not None
    }
    if (trial["steps"] or {}) != steps:
        yield "has other intermediate values than its task has epochs"


def done_is_done(recorded: Recorded) -> Iterator[str]:
    """A task is decided by one attempt, its last; nothing begins after that."""
    for task in recorded.tasks.values():
        yield from sentences(task.key, _done(recorded, task))


def _done(recorded: Recorded, task: Task) -> Iterator[str]:
    row, attempts = task.row, task.attempts
    numbers = [a["number"] for a in attempts]
    if numbers != list(range(1, row["attempt"] + 1)):
        yield f"has the attempts {_some(numbers)}, not 1 to {row['attempt']} without a gap"
    finished = [a["number"] for a in attempts if a["outcome"] in DECIDED]
    if task.decided and not finished:
        yield f"is {row['state']}, but no attempt ended so"
    elif len(finished) > 1:
        yield f"has {_word(len(finished))} finished attempts ({_some(finished)})"
    elif finished and not task.decided:
        yield f"is {row['state']}, but attempt {finished[0]} finished it"
    elif finished and finished[0] != row["attempt"]:
        yield f"was finished by attempt {finished[0]}, but attempt {row['attempt']} came after it"
    elif finished and attempts[-1]["outcome"] != row["state"]:
        yield f"is {row['state']}, but its last attempt ended {attempts[-1]['outcome']}"
    if (row["finished"] is not None) != (task.decided or row["state"] == "failed"):
        yield f"is {row['state']} and has {'no' if row['finished'] is None else 'a'} time of its end"
    for a in attempts:
        if row["finished"] is not None and a["started"] > row["finished"]:
            yield f"ended at {row['finished']:%F %T}, but attempt {a['number']} began after that"
        if (a["ended"] is None) != (a["outcome"] is None):
            yield f"has an attempt {a['number']} with {'an outcome and no end' if a['ended'] is None else 'an end and no outcome'}"
    if not row["reason"] and row["state"] in ("failed", "pruned"):
        yield f"is {row['state']} without a reason"
    if row["state"] != "running" and (row["owner"] is not None or row["lease_until"] is not None):
        yield f"is {row['state']} and still has an owner or a lease"


def one_owner(recorded: Recorded) -> Iterator[str]:
    """At most one attempt of a task is at work, the latest, and each wrote in its own time only."""
    for task in recorded.tasks.values():
        yield from sentences(task.key, _owned(task))


def _owned(task: Task) -> Iterator[str]:
    row, attempts = task.row, task.attempts
    running = row["state"] == "running"
    open_ones = [a["number"] for a in attempts if a["ended"] is None]
    if open_ones != ([row["attempt"]] if running else []):
        yield f"is {row['state']} at attempt {row['attempt']}, without an end are the attempts: {_some(open_ones) or 'none'}"
    if running and (row["owner"] is None or row["lease_until"] is None):
        yield "is running without an owner or a lease"
    elif running and attempts and attempts[-1]["owner"] != row["owner"]:
        yield "is owned by another process than its latest attempt"
    for a, b in pairwise(attempts):
        if a["ended"] is not None and b["started"] < a["ended"]:
            yield f"was worked on by two: attempt {b['number']} began before attempt {a['number']} ended"
    for (i, a), (j, b) in pairwise(zip(task.epochs["epoch"], task.epochs["attempt"], strict=True)):
        if b < a:
            yield f"has epoch {j} by attempt {b} after epoch {i} by attempt {a}"
    strangers = sorted(set(task.epochs["attempt"]) - {a["number"] for a in attempts})
    if strangers:
        yield f"has epochs by attempts that never were: {_some(strangers)}"


def epochs(recorded: Recorded) -> str:
    """Return how many epochs there are, and of how many tasks the numbers cannot come out the same again."""
    tasks = recorded.tasks.values()
    others = sum(not t.exact for t in tasks)
    note = (
        f"; the numbers of {others} task{'s' if others > 1 else ''} are not compared: several machines, or a GPU, took part"
        if others
        else ""
    )
    return f"{sum(len(t.epochs['epoch']) for t in tasks)} epochs{note}"


def every_epoch_once(recorded: Recorded) -> Iterator[str]:
    """Epochs are contiguous from 0, as many as the parameters say; the last one's value is the task's."""
    for task in recorded.tasks.values():
        yield from sentences(task.key, _epochs(recorded, task))


def _epochs(recorded: Recorded, task: Task) -> Iterator[str]:
    row, epochs, n = task.row, task.epochs["epoch"], len(task.epochs["epoch"])
    due = 0 if task.key.stage == "features" else recorded.parameters(task)["epochs"]
    if epochs != list(range(n)):
        yield f"has the epochs {_some(epochs)}: not contiguous from 0"
    if n > due or (row["state"] == "complete" and n != due):
        yield f"is {row['state']} with {n} of {due} epochs"
    pruned = [e for e, p in zip(epochs, task.epochs["pruned"], strict=True) if p]
    if row["state"] == "pruned" and not task.diverged and pruned != epochs[-1:]:
        yield f"was pruned, but the epochs that say so are {_some(pruned) or 'none'} of {n}"
    elif pruned and (
        pruned != epochs[-1:]
        or row["state"] == "complete"
        or task.diverged
        or task.key.stage != "trial"
    ):
        yield f"is {row['state']}, but epoch {pruned[0]} of {n} was to be its last"
    if (
        task.decided
        and epochs
        and task.exact
        and not task.diverged
        and task.epochs["value"][-1] not in (None, row["value"])
    ):
        yield f"has the value {row['value']}, its last epoch {task.epochs['value'][-1]}"
    if task.decided and not task.diverged and row["value"] is None and task.key.stage != "features":
        yield f"is {row['state']} without a value"
    yield from _steps(recorded, task, due)


def _steps(recorded: Recorded, task: Task, due: int) -> Iterator[str]:
    """Progress is at least what any attempt reached, and at most what the plan has."""
    progress = task.row["progress"]
    for a in task.attempts:
        if not 0 <= a["first_step"] <= a["last_step"] <= progress:
            yield f"is at step {progress}, its attempt {a['number']} went from {a['first_step']} to {a['last_step']}"
    if "batch_size" in recorded.parameters(task):
        most = (
            math.ceil(recorded.registered.data["train"] / recorded.parameters(task)["batch_size"])
            * due
        )
        if task.key.stage != "features" and progress > most:
            yield f"is at step {progress}, beyond the {most} of its plan"


def _some(values) -> str:
    """Return the first of many values as text."""
    values = list(values)
    return ", ".join(map(str, values[:8])) + (
        f" and {len(values) - 8} more" if len(values) > 8 else ""
    )


def _word(n: int) -> str:
    return {2: "two", 3: "three"}.get(n, str(n))
