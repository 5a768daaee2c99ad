"""Every epoch once: what the epochs and the progress of each task must hold."""

import math
from collections.abc import Iterator

from job.verify.collect import Recorded, Task, first_few, sentences


def describe_epochs(recorded: Recorded) -> str:
    """Return how many epochs there are, and how many tasks have numbers that may not repeat."""
    tasks = recorded.tasks.values()
    epochs = sum(len(t.epochs["epoch"]) for t in tasks)
    inexact = sum(not t.exact for t in tasks)
    if not inexact:
        return f"{epochs} epochs"
    return (
        f"{epochs} epochs; the numbers of {inexact} task{'s' if inexact > 1 else ''}"
        " are not compared: several machines, or a GPU, took part"
    )


def every_epoch_once(recorded: Recorded) -> Iterator[str]:
    """Check that the epochs count up from 0, are as many as due, and end with the task's value."""
    for task in recorded.tasks.values():
        yield from sentences(task.key, _epochs(recorded, task))


def _epochs(recorded: Recorded, task: Task) -> Iterator[str]:
    due = recorded.experiment.epochs(task.key.stage, task.key.model)
    yield from _count(task, due)
    yield from _pruning(task)
    yield from _value(task)
    yield from _attempts_within(task)
    yield from _within_plan(recorded, task, due)


def _count(task: Task, due: int) -> Iterator[str]:
    state = task.row.state
    epochs = task.epochs["epoch"]
    count = len(epochs)
    if epochs != list(range(count)):
        yield f"has the epochs {first_few(epochs)}: not contiguous from 0"
    if count > due or (state == "complete" and count != due):
        yield f"is {state} with {count} of {due} epochs"


def _pruning(task: Task) -> Iterator[str]:
    """Check that the last epoch, and no other, says that a trial was pruned there."""
    state = task.row.state
    epochs = task.epochs["epoch"]
    marks = zip(epochs, task.epochs["pruned"], strict=True)
    pruned = [epoch for epoch, is_pruned in marks if is_pruned]
    at_the_end = pruned == epochs[-1:]
    if state == "pruned" and not task.infeasible and not at_the_end:
        shown = first_few(pruned) or "none"
        yield f"was pruned, but of {len(epochs)} epochs these are marked as pruned: {shown}"
        return
    may_be_pruned = task.key.stage == "trial" and state != "complete" and not task.infeasible
    if pruned and not (at_the_end and may_be_pruned):
        yield f"is {state}, but epoch {pruned[0]} of {len(epochs)} is marked as its last"


def _value(task: Task) -> Iterator[str]:
    """Check that a decided task has a value, and that it is the one of its last epoch."""
    if not task.decided:
        return
    value = task.row.value
    if task.epochs["epoch"] and task.exact and not task.infeasible:
        last = task.epochs["value"][-1]
        if last not in (None, value):
            yield f"has the value {value}, but its last epoch has {last}"
    if value is None and not task.infeasible and task.key.stage != "features":
        yield f"is {task.row.state} without a value"


def _attempts_within(task: Task) -> Iterator[str]:
    """Check that no attempt reached a step beyond the progress of its task."""
    progress = task.row.progress
    for a in task.attempts:
        if not 0 <= a.first_step <= a.last_step <= progress:
            yield (
                f"is at step {progress}, but its attempt {a.number} went"
                f" from {a.first_step} to {a.last_step}"
            )


def _within_plan(recorded: Recorded, task: Task, due: int) -> Iterator[str]:
    """Check that the progress is at most what the plan has."""
    parameters = recorded.parameters(task)
    if "batch_size" not in parameters:
        return
    steps = math.ceil(recorded.registered.data.train / parameters["batch_size"]) * due
    progress = task.row.progress
    if task.key.stage != "features" and progress > steps:
        yield f"is at step {progress}, beyond the {steps} of its plan"
