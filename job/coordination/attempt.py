# pyright: strict
"""One attempt: the right to work on a task, and every write that needs it.

Every write is fenced: it locks the task's row and checks that attempt and owner are still ours. So
a process that was paused or cut off cannot publish anything. Each write is idempotent. It may run
twice, because a connection lost before the answer does not tell whether the write was done.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from job.coordination.connection import Cursor
from job.coordination.database import Database, json_value
from job.coordination.every import Every
from job.coordination.outcome import end, look, lost_s
from job.coordination.registered import Registered, Worker
from job.coordination.statements import queries
from job.errors import LeaseLost
from job.experiment.task import Key

SQL = queries("tasks")
# How the reason begins of an attempt that had decided its task.
UNDONE = "undone by `job repair`: "
# Of an experiment: a fault of a whole site would fill its row.
MOST_NOTES = 100
RENEWALS_PER_LEASE = 6
# A busy server needs that long, however short the lease.
LEAST_ANSWER_S = 0.5
# The rule for an epoch that no pruner judges.
UNJUDGED: dict[str, Any] = {"pruner": None, "bracket": None, "sign": 1}

log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class Attempt:
    """The right to work on a task, and every write that needs it.

    Attributes:
        database: where the task is.
        registered: its experiment.
        worker: the process that holds the attempt.
        lease_s: how long the task stays the worker's without a renewal.
        key: which task.
        number: of the attempt, from 1.
        parameters: those chosen for the task, None until they are.
        step: the progress: steps (features: images) that are durable.
        seconds: what the attempt has spent so far, by part.
        lost: set once a renewal was refused.
    """

    database: Database
    registered: Registered
    worker: Worker
    lease_s: float
    key: Key
    number: int
    parameters: dict[str, Any] | None
    step: int
    seconds: dict[str, float] = field(default_factory=dict[str, float], init=False)
    lost: threading.Event = field(default_factory=threading.Event, init=False)

    @property
    def owner(self) -> str:
        """The process that holds it."""
        return self.worker.owner

    @property
    def values(self) -> dict[str, Any]:
        """The SQL values that name this attempt."""
        return self.registered.values(self.key) | {
            "attempt": self.number,
            "owner": self.owner,
            "lease_s": self.lease_s,
        }

    def write(self, name: str, patience_s: float | None = None, **values: Any) -> dict[str, Any]:
        """Return the row of a fenced statement. Raises: LeaseLost."""
        rows = self.database.rows(SQL[name], patience_s, **self.values | values)
        if not rows:
            raise self._lease_lost()
        return rows[0]

    def _lease_lost(self) -> LeaseLost:
        """Note that the lease is lost, and return the error for a write that was refused."""
        self.lost.set()
        return LeaseLost(
            f"{self.key}: attempt {self.number} has lost its lease to another attempt;"
            " nothing was written"
        )

    def renewing(self) -> Every:
        """Renew the lease in the background; without the database the work continues.

        The time from one try to the next, and so from the end of an outage to a renewal, is shorter
        than a claimant's grace (tasks.py).
        """
        seconds = self.lease_s / RENEWALS_PER_LEASE
        hasty = self.database.within(max(seconds / 2, LEAST_ANSWER_S))
        return Every(seconds, lambda: self.renew(seconds, hasty))

    def renew(self, patience_s: float = 0.0, database: Database | None = None) -> None:
        """Renew the lease and record the progress; after a longer outage the next beat retries.

        Args:
            patience_s: how long to retry while the database is away.
            database: another way to it, by default the attempt's own.
        """
        chosen = database or self.database
        try:
            if not chosen.rows(SQL["renew"], patience_s, **self.values, step=self.step):
                self.lost.set()
        except Exception as exc:  # the thread must not end
            log.warning("the lease of %s was not renewed: %s", self.key, exc)

    def record_step(self, step: int) -> None:
        """Record that a checkpoint of this step has arrived.

        Even if the attempt vanishes after that, it has progressed.
        """
        self.step = max(step, self.step)
        self.renew()

    def check(self) -> None:
        """Raise `LeaseLost` when the last renewal was refused. Called between steps."""
        if self.lost.is_set():
            raise LeaseLost(
                f"{self.key}: attempt {self.number} has lost its lease to another attempt"
            )

    def record_machine(self, machine: Mapping[str, Any]) -> None:
        """Record the machine that computes this attempt's numbers, before the first of them."""
        self.write("computes_on", machine=json_value(machine))

    def set_parameters(
        self, chosen: dict[str, Any], optuna: Sequence[dict[str, Any]] = ()
    ) -> dict[str, Any]:
        """Return the task's parameters from now on: those stored before, or these, now stored.

        Args:
            chosen: name -> value.
            optuna: the same as Optuna's tables have them: name, internal, distribution.
        """
        row = self.write(
            "parameters", parameters=json_value(chosen), optuna=json_value(list(optuna))
        )
        self.parameters = row["parameters"]
        return row["parameters"]

    def epochs(self) -> list[dict[str, Any]]:
        """Return the epochs already decided: epoch, metrics, value, pruned."""
        return self.database.rows(SQL["epochs"], **self.values)

    def report(
        self,
        epoch: int,
        metrics: Mapping[str, Any],
        value: float | None,
        rule: Mapping[str, Any] = UNJUDGED,
    ) -> bool:
        """Record an epoch with its pruning decision, in one moment; return whether to prune.

        Called again with the same epoch, it returns the decision that it stored the first time.

        Args:
            epoch: from 0.
            metrics: name -> number.
            value: the metric on the validation part.
            rule: pruner (hyperband, median or None), bracket, and sign: 1 if more is better,
                else -1.
        """
        row = self.write("report", epoch=epoch, metrics=json_value(metrics), value=value, **rule)
        if row["pruned"] is not None:
            return row["pruned"]
        return next(e["pruned"] for e in self.epochs() if e["epoch"] == epoch)

    def lost_before_s(self) -> float:
        """Return the seconds of earlier attempts at this task that came to nothing."""
        if self.number == 1:
            return 0.0
        rows = self.database.rows(SQL["earlier"], **self.values)
        return sum(lost_s(**row) for row in rows)

    def artifacts(self, stage: str) -> list[dict[str, Any]]:
        """Return the committed artifacts of a stage of this task's model, in order of the index."""
        values: dict[str, Any] = self.values | {"stage": stage}
        return [row["artifact"] for row in self.database.rows(SQL["artifacts"], **values)]

    def record_opening(self) -> None:
        """Record that this attempt opens the test part."""
        self.write("opening")

    def restore_records(self, epochs: Sequence[dict[str, Any]]) -> None:
        """Record what a complete result implies and the database lacks.

        That is its epochs and, of a final, that it opened the test part.

        Args: epochs: each with epoch, metrics, value, bracket and pruned.
        """
        self.write("tell_again", epochs=json_value(epochs))

    def note(self, sentences: Sequence[str], patience_s: float) -> None:
        """Add to the notes of the experiment, unless they are there or too many are.

        There is no fence: what was seen stays true.
        """
        self.database.rows(
            SQL["note"],
            patience_s,
            experiment=self.registered.id,
            notes=json_value(sentences),
            most=MOST_NOTES,
        )

    def commit(
        self,
        state: str,
        value: float | None,
        metrics: Mapping[str, Any],
        artifact: Mapping[str, Any],
        reason: str | None = None,
        step: int | None = None,
    ) -> None:
        """End the task: from here on its row names these artifacts. Bytes first, then this.

        Args:
            state: `complete` or `pruned`.
            value: the metric at the last epoch.
            metrics: name -> number.
            artifact: file -> key, sha256, size, etag.
            reason: why it was pruned.
            step: the progress, None to leave it.
        """
        result: dict[str, Any] = {
            "state": state,
            "value": value,
            "metrics": json_value(metrics),
            "artifact": json_value(artifact),
            "step": step,
        }
        values = self._end_values(reason) | result
        self._finish(state, lambda: self.write("commit", **values))

    def release(self, reason: str, patience_s: float | None = None) -> None:
        """Give the task back at once, uncounted.

        Another process, or this one later, resumes from the checkpoint.
        """
        values = self._end_values(reason) | {"step": self.step}
        self._finish("interrupted", lambda: self.write("release", patience_s, **values))

    def error(self, reason: str) -> None:
        """End this attempt with an error.

        Too many of them without progress between fail the task for good.
        """
        values = self.values | {"step": self.step} | self._end_values(reason)

        def work(cursor: Cursor) -> None:
            cursor.execute(SQL["lock"], values)
            cursor.execute(SQL["renew"], values)
            if cursor.fetchone() is None:
                raise self._lease_lost()
            end(cursor, values, look(cursor, values), "error", reason)

        self._finish("error", lambda: self.database.transaction(work))

    def _end_values(self, reason: str | None) -> dict[str, Any]:
        """Return the SQL values of an end."""
        return {"reason": reason, "seconds": json_value(self.seconds)}

    def _finish(self, outcome: str, write: Callable[[], object]) -> None:
        """Do the write that ends this attempt.

        A refusal is no error when the write was done before and its answer was lost.
        """
        try:
            write()
        except LeaseLost:
            rows = self.database.rows(SQL["outcome"], **self.values)
            if [row["outcome"] for row in rows] != [outcome]:
                raise
