# pyright: strict
"""Tasks and their claims: who works on what, decided by the database and its clock.

One attempt at a time owns a task, for as long as it renews its lease. A claim repairs what it
touches: it ends the attempt that vanished, and needs no daemon to do so. That an owner is gone is
measured, not concluded from an old row. The process that finds it overdue calls it in, and the
process that finds no answer after a grace takes over.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from job.coordination.attempt import Attempt
from job.coordination.connection import Cursor
from job.coordination.database import Database, json_value
from job.coordination.outcome import DECIDED, LockedTask, end, look
from job.coordination.registered import Registered, Worker
from job.coordination.selection import Selection, check_finished, select
from job.coordination.statements import queries
from job.errors import Impossible, JobError, NotReady
from job.experiment.task import Key
from job.interrupt import INTERRUPT
from job.patience import Delays, Retry

SQL = queries("tasks")
POLL_S = 2.0
# Of a lease, two renewals: how long an owner may be silent, and may take to answer once it is
# called in.
GRACE = 1 / 3

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The attempt that a task belongs to, and for how many seconds at least."""

    number: int
    host: str | None
    left_s: float


def patiently(call: Callable[[], T], wait_s: float, poll_s: float = POLL_S) -> T:
    """Return `call()`, repeated for `wait_s` seconds while it raises `NotReady`.

    What it waits for is logged when it changes.
    """
    logged = ""

    def tell(exc: Exception, _left_s: float) -> None:
        nonlocal logged
        if str(exc) != logged:
            logged = str(exc)
            log.info("%s; waiting", logged)

    polls = Delays(first_s=poll_s, longest_s=poll_s, jitter=0)
    return Retry(polls, wait_s, INTERRUPT.sleep, tell).call(call, NotReady)


@dataclass(eq=False, repr=False)
class Tasks:
    """The tasks of one experiment, as one worker sees them.

    Attributes:
        lease_s: how long a claimed task stays the worker's without a renewal.
        wait_s: how long a claim waits for another owner, or for what the task needs.
    """

    database: Database
    registered: Registered
    worker: Worker
    lease_s: float
    wait_s: float

    def claim(self, key: Key) -> Attempt | None:
        """Return the attempt that owns the task from now on, or None when the task is decided.

        Waits up to `wait_s` for another owner, or for what the task needs.
        Raises: NotReady after that; Impossible when it, or the stage before it, failed for good.
        """

        def once() -> Attempt | None:
            with self.database.burst():
                return self._claim_once(key)

        return patiently(once, self.wait_s)

    def _claim_once(self, key: Key) -> Attempt | None:
        task = self._peek(key)
        if task["state"] in DECIDED:
            why = f" ({task['reason']})" if task["reason"] else ""
            log.info("%s is decided already: %s%s", key, task["state"], why)
            return None
        if task["state"] == "failed":
            raise Impossible(
                f"{key} failed for good: {task['reason']}; to try it again, run"
                f" `job retry {key.stage} --model {key.model} --index {key.index}`"
            )
        values = self._claim_values(key)
        if task["state"] == "waiting":
            rows = self.database.rows(SQL["take"], **values)
            if rows:
                return self._attempt(key, **rows[0])
        owned = self.database.transaction(lambda cursor: self._own(cursor, key, values))
        if isinstance(owned, Holder):
            raise NotReady(
                f"{key} is owned by attempt {owned.number} on {owned.host};"
                f" its lease ends in {owned.left_s:.0f} s"
            )
        # None: the task changed while we looked.
        return owned or self._claim_once(key)

    def _peek(self, key: Key) -> dict[str, Any]:
        """Return the task's state and reason."""
        rows = self.database.rows(SQL["peek"], **self.registered.values(key))
        if not rows:
            raise NotReady(
                f"{key} is not among the tasks in the database:"
                " run `job prepare` with the larger file first"
            )
        return rows[0]

    def _claim_values(self, key: Key) -> dict[str, Any]:
        """Return the SQL values of a claim; raise unless the stage before is done."""
        selected = self._check_before(key)
        return self.registered.values(key) | {
            "lease_s": self.lease_s,
            "owner": self.worker.owner,
            "host": self.worker.host,
            "scheduler": self.worker.scheduler,
            "selected": None if selected is None else json_value(selected),
        }

    def _attempt(
        self, key: Key, attempt: int, parameters: dict[str, Any] | None, progress: int
    ) -> Attempt:
        """Return our attempt from what the database says of it."""
        return Attempt(
            database=self.database,
            registered=self.registered,
            worker=self.worker,
            lease_s=self.lease_s,
            key=key,
            number=attempt,
            parameters=parameters,
            step=progress,
        )

    def _check_before(self, key: Key) -> dict[str, Any] | None:
        """Raise unless the stage before is done.

        Returns: the selected parameters, which a fold or final continues with; None for others.
        """
        if key.stage == "trial" and self.registered.experiment.frozen(key.model):
            check_finished(self.database, self.registered, key.model, "features", every=True)
        if key.stage in ("fold", "final"):
            return self.selection(key.model).parameters
        return None

    def selection(self, model: str) -> Selection:
        """Return which trial a model continues with, see `selection.select`."""
        return select(self.database, self.registered, model)

    def _own(self, cursor: Cursor, key: Key, values: dict[str, Any]) -> Attempt | Holder | None:
        """Take a task that is not waiting, if its owner is gone.

        Returns: our attempt; whoever holds the task; or None to look again. A holder is no error
        to raise here: the transaction must commit the call by which its owner is called in.
        """
        cursor.execute(SQL["lock"], values)
        if cursor.fetchone() is None:  # its experiment was dropped meanwhile
            return None
        task = look(cursor, values)
        if task.owner == self.worker.owner:  # our own claim, whose answer was lost
            return self._attempt(key, task.attempt, task.parameters, task.progress)
        if task.state == "running":
            left_s = 0.0 if self._requeued(task) else self._left_s(cursor, values, task)
            if left_s > 0:
                return Holder(task.attempt, task.host, left_s)
            reason = f"vanished on {task.host} without releasing its lease"
            ended = values | {"attempt": task.attempt, "seconds": None}
            end(cursor, ended, task, "vanished", reason)
        cursor.execute(SQL["take"], values)
        taken = cursor.fetchone()
        return self._attempt(key, **taken) if taken else None

    def _left_s(self, cursor: Cursor, values: dict[str, Any], task: LockedTask) -> float:
        """Return the seconds for which a running task is still its owner's.

        An owner that is overdue is called in before its task is taken.
        """
        left_s = task.lease_left_s
        if left_s is None:
            raise ValueError("a running task without a lease: expected `lease_until` in its row")
        if task.called_in or left_s > self.lease_s * (1 - GRACE):
            return left_s
        call = {"grace_s": self.lease_s * GRACE, "called_in": f"called in by {self.worker.host}"}
        cursor.execute(SQL["call_in"], values | call)
        (row,) = cursor.fetchall()
        return row["lease_left_s"]

    def _requeued(self, task: LockedTask) -> bool:
        """Tell whether the scheduler runs the owner's very job again, as this process."""
        return self.worker.scheduler is not None and task.scheduler == self.worker.scheduler


def retry(database: Database, registered: Registered, key: Key) -> None:
    """Let a task that failed for good be claimed again.

    Raises: JobError when it has not failed, or its model is selected.
    """
    values = registered.values(key)
    done = False

    def work(cursor: Cursor) -> bool:
        nonlocal done
        for statement in ("close", "retry"):
            cursor.execute(SQL[statement], values)
        if cursor.fetchone():
            done = True
            return True
        cursor.execute(SQL["peek"], values)
        # A try before this one was done, and its answer was lost.
        return done and cursor.fetchall()[0]["state"] != "failed"

    if not database.transaction(work):
        raise JobError(
            f"{key} cannot be retried: it has not failed for good, or the parameters of {key.model}"
            " are selected, which closes its trials; see `job status`"
        )
