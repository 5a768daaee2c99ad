"""One attempt: the right to work on a task, and every write that needs it.

Every write is fenced: it locks the task's row and asks whether attempt and owner are still ours, so
a process that was paused or cut off cannot publish anything. Each is idempotent: a connection lost
in its commit does not tell whether it was done, so it may run twice.
"""

import logging
import threading

from job.database import Every, json_value, queries
from job.errors import LeaseLost

SQL = queries("tasks")
DECIDED = ("complete", "pruned")
MAX_COUNTED = 3
RENEWALS_PER_LEASE = 6

log = logging.getLogger(__name__)


class Attempt:
    """The right to work on a task, and every write that needs it."""

    def __init__(self, tasks, key, number: int, parameters: dict | None, progress: int):
        """Args:
        tasks: the `Tasks` that claimed it; key: which task; number: of the attempt, from 1.
        parameters: those chosen for the task, if they are; progress: steps that are durable.
        """
        self.tasks, self.key, self.number = tasks, key, number
        self.parameters, self.step = parameters, progress
        self.seconds: dict[str, float] = {}
        self.lost = threading.Event()
        self.progressed = lambda: None  # called when more than before is durable

    @property
    def values(self) -> dict:
        """The SQL values that name this attempt."""
        return self.tasks.registered.values(self.key) | {
            "attempt": self.number,
            "owner": self.tasks.worker.owner,
            "lease_s": self.tasks.lease_s,
        }

    def fenced(self, work, patience_s: float | None = None):
        """Return `work(cursor, values)` run in one transaction that starts with the fence. Raises: LeaseLost."""

        def transaction(cursor):
            cursor.execute(SQL["fence"], self.values)
            if cursor.fetchone() is None:
                self.lost.set()
                raise LeaseLost(f"{self.key}: attempt {self.number} has lost its lease to another; nothing was written")
            return work(cursor, self.values)

        return self.tasks.database.run(transaction, patience_s)

    def keep(self) -> Every:
        """Renew the lease in the background; without the database the work goes on."""
        seconds = self.tasks.lease_s / RENEWALS_PER_LEASE
        return Every(seconds, lambda: self.renew(patience_s=seconds))

    def renew(self, patience_s: float = 0.0) -> None:
        """Renew the lease and note the progress; if the database is away for longer, the next beat tries again."""
        try:
            if not self.tasks.database.run(self._beat, patience_s):
                self.lost.set()
        except Exception as exc:  # a thread must not end
            log.warning("the lease of %s was not renewed: %s", self.key, exc)

    def _beat(self, cursor) -> bool:
        cursor.execute(SQL["renew"], self.values | {"step": self.step})
        return cursor.fetchone() is not None

    def durable(self, step: int) -> None:
        """Note that a checkpoint of this step has arrived: an attempt that vanishes after it has progressed."""
        if step > self.step:
            self.step = step
            self.progressed()
        self.renew()

    def check(self) -> None:
        """Raise `LeaseLost` when the last renewal said so. Called between steps."""
        if self.lost.is_set():
            raise LeaseLost(f"{self.key}: attempt {self.number} has lost its lease to another")

    def computes_on(self, machine: dict) -> None:
        """Record which machine this attempt's numbers are from, before the first of them."""
        self.fenced(lambda cursor, values: cursor.execute(SQL["computes_on"], values | {"machine": json_value(machine)}))

    def set_parameters(self, choose) -> dict:
        """Return the parameters of this task: stored ones, or `choose(cursor)` stored in the same transaction."""

        def work(cursor, values):
            cursor.execute(SQL["chosen"], values)
            stored = cursor.fetchone()["parameters"]
            if stored is not None:
                return stored
            chosen = choose(cursor)
            cursor.execute(SQL["parameters"], values | {"parameters": json_value(chosen)})
            return chosen

        if self.parameters is None:
            self.parameters = self.fenced(work)
        return self.parameters

    def epochs(self) -> list[dict]:
        """Return the epochs already decided: epoch, metrics, value, pruned."""
        return self.tasks.database.rows(SQL["epochs"], **self.values)

    def report(self, epoch: int, metrics: dict, value: float | None, decide=None) -> bool:
        """Record an epoch with its pruning decision in one transaction; return whether to prune.

        `decide(cursor)` returns (pruned, rungs). Called again with the same epoch, the transaction answers
        with the decision it stored the first time.
        """

        def work(cursor, values):
            cursor.execute(SQL["epochs"], values)
            for row in cursor.fetchall():
                if row["epoch"] == epoch:
                    return row["pruned"]
            pruned, rungs = decide(cursor) if decide else (False, {})
            cursor.execute(
                SQL["add_epoch"],
                values | {"epoch": epoch, "metrics": json_value(metrics), "value": value, "pruned": pruned, "rungs": json_value(rungs)},
            )
            return pruned

        return self.fenced(work)

    def lost_before(self) -> float:
        """Return the seconds that earlier attempts at this task spent for nothing."""
        return sum(lost_s(**row) for row in self.tasks.database.rows(SQL["earlier"], **self.values)) if self.number > 1 else 0.0

    def artifacts(self, stage: str) -> list[dict]:
        """Return the committed artifacts of a stage of this task's model, in order of the index."""
        rows = self.tasks.database.rows(SQL["artifacts"], **self.values | {"stage": stage})
        return [row["artifact"] for row in rows]

    def opened_test_part(self) -> None:
        """Record that this attempt opens the test part."""
        self.fenced(lambda cursor, values: cursor.execute(SQL["opening"], values))

    def commit(
        self, state: str, value: float | None, metrics: dict, artifact: dict, reason: str | None = None, step: int | None = None
    ) -> None:
        """End the task: from here on its row names these artifacts. Bytes first, then this."""

        def work(cursor, values):
            if step is not None:
                cursor.execute(SQL["progress"], values | {"step": step})
            self._end(cursor, values, state, reason)
            cursor.execute(
                SQL["commit"],
                values
                | {"state": state, "value": value, "metrics": json_value(metrics), "artifact": json_value(artifact), "reason": reason},
            )

        self._last(work, state)

    def release(self, reason: str, patience_s: float | None = None) -> None:
        """Give the task back at once, uncounted: somebody else, or we later, will go on from the checkpoint."""

        def work(cursor, values):
            cursor.execute(SQL["progress"], values | {"step": self.step})
            self._end(cursor, values, "interrupted", reason)
            cursor.execute(SQL["release"], values)

        self._last(work, "interrupted", patience_s)

    def error(self, reason: str) -> None:
        """End this attempt with an error; the third in a row without progress fails the task for good."""

        def work(cursor, values):
            cursor.execute(SQL["progress"], values | {"step": self.step})
            cursor.execute(SQL["look"], values)
            row = cursor.fetchone()
            if end(cursor, values | {"seconds": json_value(self.seconds)}, row, "error", reason) == "waiting":
                cursor.execute(SQL["release"], values)

        self._last(work, "error")

    def _end(self, cursor, values: dict, outcome: str, reason: str | None) -> None:
        cursor.execute(SQL["end_attempt"], values | {"outcome": outcome, "reason": reason, "seconds": json_value(self.seconds)})

    def _last(self, work, outcome: str, patience_s: float | None = None) -> None:
        """Do the write that ends this attempt. Refused because it was done before, without our hearing, is done too."""
        try:
            self.fenced(work, patience_s)
        except LeaseLost:
            rows = self.tasks.database.rows(SQL["outcome"], **self.values)
            if [row["outcome"] for row in rows] != [outcome]:
                raise


def lost_s(outcome: str | None, wall_s: float, seconds: dict, progressed: bool) -> float:
    """Return the seconds of an attempt that came to nothing: unless it decided its task, all but the training an interrupted one saved.

    Of one that erred or vanished nothing counts as saved: an upper bound.
    """
    if outcome in DECIDED or outcome is None:
        return 0.0
    saved = seconds.get("train", 0.0) if outcome == "interrupted" and progressed else 0.0
    return max(wall_s - saved, 0.0)


def end(cursor, values: dict, row: dict, outcome: str, reason: str) -> str:
    """End an attempt that counts unless it progressed; return the task's state after it.

    Args:
        row: the task as `look` shows it, under its lock.
    """
    cursor.execute(SQL["end_attempt"], values | {"outcome": outcome, "reason": reason})
    counted = row["counted"] + 1 if row["progress"] <= row["counted_at"] else 0
    cursor.execute(SQL["count"], values | {"counted": counted})
    if counted < MAX_COUNTED:
        return "waiting"
    cursor.execute(SQL["fail"], values | {"reason": f"{counted} attempts in a row, the last: {reason}"})
    return "failed"
