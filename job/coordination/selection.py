# pyright: strict
"""The selection: the trial whose parameters a model's folds and finals use."""

import logging
from dataclasses import dataclass
from typing import Any

from job.coordination.connection import Cursor
from job.coordination.database import Database
from job.coordination.registered import Registered
from job.coordination.statements import queries
from job.errors import Impossible, NotReady

SQL = queries("tasks")
# Unfinished tasks, for a sentence.
MOST_COUNTED = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """The trial that a model continues with, its value and its parameters."""

    trial: int
    value: float
    parameters: dict[str, Any]


def select(database: Database, registered: Registered, model: str) -> Selection:
    """Return which trial a model continues with; select it once all trials are finished.

    Raises: NotReady while trials are unfinished; Impossible when none is complete.
    """
    values: dict[str, Any] = {"experiment": registered.id, "model": model}
    rows = database.rows(SQL["selection"], **values)
    if rows:
        return Selection(**rows[0])
    check_finished(database, registered, model, "trial")
    signed = values | {"sign": registered.experiment.sign}
    selected = database.transaction(lambda cursor: _select_best(cursor, signed))
    if selected is None:
        # A trial may have been retried in between.
        check_finished(database, registered, model, "trial")
        counts = database.rows(SQL["counts"], **values, stage="trial")
        listed = ", ".join(f"{row['tasks']} {row['state']}" for row in counts)
        raise Impossible(f"{model} has no complete trial to continue with: {listed}")
    log.info("selected for %s: trial %d, value %.4f", model, selected.trial, selected.value)
    return selected


def _select_best(cursor: Cursor, values: dict[str, Any]) -> Selection | None:
    """Select the best complete trial, unless one is selected; None when there is none."""
    for statement in ("close", "select_best", "selection"):
        cursor.execute(SQL[statement], values)
    row = cursor.fetchone()
    return Selection(**row) if row else None


def check_finished(
    database: Database, registered: Registered, model: str, stage: str, every: bool = False
) -> None:
    """Raise unless a stage has no unfinished tasks.

    Args:
        database: where the tasks are.
        registered: their experiment.
        model: whose tasks.
        stage: which of its tasks.
        every: raise, too, for a task that failed for good.

    Raises: NotReady for unfinished tasks; Impossible for those that failed.
    """
    (row,) = database.rows(
        SQL["left"], experiment=registered.id, model=model, stage=stage, most=MOST_COUNTED
    )
    failed = row["failed"]
    unfinished = row["unfinished"]
    if every and failed:
        raise Impossible(
            f"{failed} {stage} tasks of {model} failed for good:"
            " its later stages cannot run; see `job status`, then `job retry`"
        )
    if unfinished:
        count = unfinished if unfinished <= MOST_COUNTED else f"more than {MOST_COUNTED}"
        raise NotReady(f"{count} {stage} tasks of {model} are not finished yet")
