# pyright: strict
"""How an attempt ends, and what its end means for the task."""

from dataclasses import dataclass
from typing import Any

from job.coordination.connection import Cursor
from job.coordination.statements import queries
from job.errors import INFEASIBLE

SQL = queries("tasks")
DECIDED = ("complete", "pruned")
# In a row, without progress.
MAX_ERRORS = 3
# The same; a node that is taken away looks like a process that runs out of memory.
MAX_VANISHED = 10


@dataclass(frozen=True)
class LockedTask:
    """A task under its lock, with its latest attempt: a row of `look`.

    Attributes:
        counted: the attempts that count, in a row.
        counted_at: the progress at the last of them.
        called_in: who called the owner of a running task in, None if nobody did.
    """

    state: str
    attempt: int
    owner: str | None
    progress: int
    counted: int
    counted_at: int
    parameters: dict[str, Any] | None
    reason: str | None
    scheduler: str | None
    host: str | None
    called_in: str | None
    lease_left_s: float | None


def look(cursor: Cursor, values: dict[str, Any]) -> LockedTask:
    """Return a task; the caller holds its lock."""
    cursor.execute(SQL["look"], values)
    (row,) = cursor.fetchall()
    return LockedTask(**row)


def end(
    cursor: Cursor, values: dict[str, Any], task: LockedTask, outcome: str, reason: str
) -> None:
    """End an attempt that counts unless it progressed.

    Its task waits again, or has failed for good.

    Args:
        cursor: of the transaction that holds the task's lock.
        values: the SQL values that name the attempt, with `seconds`.
        task: as `look` returned it in this transaction.
        outcome: `error` or `vanished`.
        reason: why, for people.
    """
    cursor.execute(SQL["end_attempt"], values | {"outcome": outcome, "reason": reason})
    progressed = task.progress > task.counted_at
    values = values | {"counted": 0 if progressed else task.counted + 1}
    cursor.execute(SQL["in_a_row"], values)
    (row,) = cursor.fetchall()
    verdict = _verdict(row["errors"], row["vanished"], task, reason)
    if verdict:
        cursor.execute(SQL["fail"], values | {"reason": verdict})
    else:
        cursor.execute(SQL["again"], values)


def _verdict(errors: int, vanished: int, task: LockedTask, reason: str) -> str | None:
    """Return why a task has failed for good, None if it has not."""
    if errors >= MAX_ERRORS:
        return f"{errors} attempts failed in a row, the last with: {reason}"
    if vanished >= MAX_VANISHED:
        return (
            f"vanished {vanished} times in a row, the last time on {task.host}: out of memory, or"
            " out of time before its first checkpoint?"
        )
    return None


def is_infeasible(state: str, reason: str | None) -> bool:
    """Tell whether a trial was pruned as its parameters cannot be trained: it has no files."""
    return state == "pruned" and str(reason).startswith(INFEASIBLE)


def lost_s(
    outcome: str | None, wall_s: float, seconds: dict[str, float], progressed: bool
) -> float:
    """Return the seconds of an attempt that came to nothing.

    That is none of an attempt that decided its task. Of an interrupted one it is all but the
    training that it saved, with its validation. Of one that erred or vanished nothing counts as
    saved: an upper bound.

    Args:
        outcome: how it ended, None while it runs.
        wall_s: the seconds from its start to its end, or to its last beat.
        seconds: what it spent by part, as `train` and `evaluate`.
        progressed: whether it made more durable than was.
    """
    if outcome in DECIDED or outcome is None:
        return 0.0
    saved_s = 0.0
    if outcome == "interrupted" and progressed:
        saved_s = seconds.get("train", 0.0) + seconds.get("evaluate", 0.0)
    return max(wall_s - saved_s, 0.0)
