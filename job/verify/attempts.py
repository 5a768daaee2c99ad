"""Done is done, and one owner: what the attempts of each task must hold."""

from collections.abc import Iterator
from itertools import pairwise

from job.coordination.outcome import DECIDED
from job.verify.collect import Recorded, Task, first_few, sentences

COUNTS = {2: "two", 3: "three"}


def describe_decided(recorded: Recorded) -> str:
    """Return how many tasks are decided, and how many attempts there are."""
    tasks = recorded.tasks.values()
    attempts = sum(len(t.attempts) for t in tasks)
    return f"{sum(t.decided for t in tasks)} decided tasks, {attempts} attempts"


def describe_running(recorded: Recorded) -> str:
    """Return how many tasks are running."""
    running = sum(t.row.state == "running" for t in recorded.tasks.values())
    return f"{running} tasks at work"


def done_is_done(recorded: Recorded) -> Iterator[str]:
    """Check that the last attempt of a task decides it, and that none begins after that."""
    for task in recorded.tasks.values():
        yield from sentences(task.key, _done(task))


def _done(task: Task) -> Iterator[str]:
    yield from _without_gap(task)
    yield from _decided_once(task)
    yield from _end_of_task(task)
    yield from _ends_of_attempts(task)
    yield from _left_over(task)


def _without_gap(task: Task) -> Iterator[str]:
    latest = task.row.attempt
    numbers = [a.number for a in task.attempts]
    if numbers != list(range(1, latest + 1)):
        yield f"has the attempts {first_few(numbers)}, not 1 to {latest} without a gap"


def _decided_once(task: Task) -> Iterator[str]:
    """Check that a decided task has one attempt that decided it, and that it is the last."""
    row = task.row
    finished = [a.number for a in task.attempts if a.outcome in DECIDED]
    if not finished:
        if task.decided:
            yield f"is {row.state}, but no attempt decided it"
        return
    outcome = task.attempts[-1].outcome
    if len(finished) > 1:
        count = COUNTS.get(len(finished), str(len(finished)))
        yield f"has {count} finished attempts ({first_few(finished)})"
    elif not task.decided:
        yield f"is {row.state}, but attempt {finished[0]} finished it"
    elif finished[0] != row.attempt:
        yield f"was finished by attempt {finished[0]}, but attempt {row.attempt} came after it"
    elif outcome != row.state:
        yield f"is {row.state}, but its last attempt ended {outcome}"


def _end_of_task(task: Task) -> Iterator[str]:
    row = task.row
    has_end = row.finished is not None
    if has_end != (task.decided or row.state == "failed"):
        yield f"is {row.state} and has {'an' if has_end else 'no'} end time"


def _ends_of_attempts(task: Task) -> Iterator[str]:
    finished = task.row.finished
    for a in task.attempts:
        if finished is not None and a.started > finished:
            yield f"ended at {finished:%F %T}, but attempt {a.number} began after that"
        if a.ended is None and a.outcome is not None:
            yield f"has attempt {a.number} with an outcome but no end"
        if a.ended is not None and a.outcome is None:
            yield f"has attempt {a.number} with an end but no outcome"


def _left_over(task: Task) -> Iterator[str]:
    """Check that a task has a reason where it needs one, and an owner only while it runs."""
    row = task.row
    if not row.reason and row.state in ("failed", "pruned"):
        yield f"is {row.state} without a reason"
    if row.state != "running" and (row.owner is not None or row.lease_until is not None):
        yield f"is {row.state} and still has an owner or a lease"


def one_owner(recorded: Recorded) -> Iterator[str]:
    """Check that only the latest attempt of a task runs, and that no two wrote at one time."""
    for task in recorded.tasks.values():
        yield from sentences(task.key, _owner(task))


def _owner(task: Task) -> Iterator[str]:
    yield from _open_attempts(task)
    yield from _lease(task)
    yield from _overlaps(task)
    yield from _writers(task)


def _open_attempts(task: Task) -> Iterator[str]:
    row = task.row
    without_end = [a.number for a in task.attempts if a.ended is None]
    expected = [row.attempt] if row.state == "running" else []
    if without_end != expected:
        yield (
            f"is {row.state} at attempt {row.attempt},"
            f" but the attempts without an end are: {first_few(without_end) or 'none'}"
        )


def _lease(task: Task) -> Iterator[str]:
    row = task.row
    if row.state != "running":
        return
    if row.owner is None or row.lease_until is None:
        yield "is running without an owner or a lease"
    elif task.attempts and task.attempts[-1].owner != row.owner:
        yield "is owned by another process than its latest attempt"


def _overlaps(task: Task) -> Iterator[str]:
    for a, b in pairwise(task.attempts):
        if a.ended is not None and b.started < a.ended:
            yield (
                f"had two attempts at one time: attempt {b.number} began"
                f" before attempt {a.number} ended"
            )


def _writers(task: Task) -> Iterator[str]:
    """Check that every epoch was written by an attempt of the task, in the order of attempts."""
    writers = zip(task.epochs["epoch"], task.epochs["attempt"], strict=True)
    for (epoch, attempt), (next_epoch, next_attempt) in pairwise(writers):
        if next_attempt < attempt:
            yield (
                f"has epoch {next_epoch} by attempt {next_attempt}"
                f" after epoch {epoch} by attempt {attempt}"
            )
    unknown = sorted(set(task.epochs["attempt"]) - {a.number for a in task.attempts})
    if unknown:
        yield f"has epochs by unknown attempts: {first_few(unknown)}"
