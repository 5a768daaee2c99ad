"""One attempt: the right to work on a task, and every write that needs it.

Every write is fenced: it locks the task's row and asks whether attempt and owner are still ours, so
a process that was paused or cut off cannot publish anything. Each is idempotent: a connection lost
before the answer does not tell whether it was done, so it may run twice.
"""

import logging
import threading

from job.coordination.database import Database, Every, json_value, queries
from job.errors import LeaseLost

SQL = queries("tasks")
DECIDED = ("complete", "pruned")
UNDONE = "undone by `job repair`: "  # how the reason begins of an attempt that had decided its task
MAX_ERRORS = 3  # in a row without progress
MAX_VANISHED = 10  # the same; a node that is taken away looks as a process that runs out of memory
MOST_NOTES = 100  # of an experiment: a fault of a whole site would fill its row
RENEWALS_PER_LEASE = 6
LEAST_ANSWER_S = 0.5  # a busy server needs that long, however short the lease
UNJUDGED = {"pruner": None, "bracket": None, "sign": 1}

log = logging.getLogger(__name__)


class Attempt:
    """The right to work on a task, and every write that needs it."""

    def __init__(self, tasks, key, attempt: int, parameters: dict | None, progress: int):
        """Args:
        tasks: the `Tasks` that claimed it; key: which task; attempt: its number, from 1.
        parameters: those chosen for the task, if they are; progress: steps that are durable.
        """
        self.tasks, self.key, self.number = tasks, key, attempt
        self.parameters, self.step = parameters, progress
        self.seconds: dict[str, float] = {}
        self.lost = threading.Event()
        self.progressed = lambda: None  # called when more than before is durable

    @property
    def owner(self) -> str:
        """The process that holds it."""
        return self.tasks.worker.owner

    @property
    def values(self) -> dict:
        """The SQL values that name this attempt."""
        return self.tasks.registered.values(self.key) | {
            "attempt": self.number,
            "owner": self.tasks.worker.owner,
            "lease_s": self.tasks.lease_s,
        }

    def write(self, name: str, patience_s: float | None = None, **values) -> dict:
        """Return the row of a fenced statement. Raises: LeaseLost."""
        rows = self.tasks.database.rows(SQL[name], patience_s, **self.values | values)
        if not rows:
            self._lose()
        return rows[0]

    def _lose(self) -> None:
        self.lost.set()
        raise LeaseLost(
            f"{self.key}: attempt {self.number} has lost its lease to another; nothing was written"
        )

    def keep(self) -> Every:
        """Renew the lease in the background; without the database the work goes on.

        From one try to the next, and so from the end of an outage to a renewal, it is less than a claimant's grace (tasks.py).
        """
        seconds = self.tasks.lease_s / RENEWALS_PER_LEASE
        hasty = self.tasks.database.within(max(seconds / 2, LEAST_ANSWER_S))
        return Every(seconds, lambda: self.renew(seconds, hasty))

    def renew(self, patience_s: float = 0.0, database: Database | None = None) -> None:
        """Renew the lease and note the progress; if the database is away for longer, the next beat tries again.

        Args: database: the tasks' own, if not another way to it.
        """
        try:
            if not (database or self.tasks.database).rows(
                SQL["renew"], patience_s, **self.values, step=self.step
            ):
                self.lost.set()
        except Exception as exc:  # a thread must not end
            log.warning("the lease of %s was not renewed: %s", self.key, exc)

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
        self.write("computes_on", machine=json_value(machine))

    def set_parameters(self, chosen: dict, optuna: list[dict] = ()) -> dict:
        """Return the parameters of this task from now on: those stored before, or these, now stored.

        Args: optuna: the same as Optuna's tables have them: name, internal, distribution.
        """
        self.parameters = self.write(
            "parameters", parameters=json_value(chosen), optuna=json_value(list(optuna))
        )["parameters"]
        return self.parameters

    def epochs(self) -> list[dict]:
        """Return the epochs already decided: epoch, metrics, value, pruned."""
        return self.tasks.database.rows(SQL["epochs"], **self.values)

    def report(self, epoch: int, metrics: dict, value: float | None, rule: dict = UNJUDGED) -> bool:
        """Record an epoch with its pruning decision, in one moment; return whether to prune.

        Called again with the same epoch, it answers with the decision it stored the first time.
        Args: rule: pruner (hyperband, median or None), bracket, and sign: 1 if more is better, else -1.
        """
        pruned = self.write(
            "report", epoch=epoch, metrics=json_value(metrics), value=value, **rule
        )["pruned"]
        return (
            pruned
            if pruned is not None
            else next(e["pruned"] for e in self.epochs() if e["epoch"] == epoch)
        )

    def lost_before(self) -> float:
        """Return the seconds that earlier attempts at this task spent for nothing."""
        return (
            sum(lost_s(**row) for row in self.tasks.database.rows(SQL["earlier"], **self.values))
            if self.number > 1
            else 0.0
        )

    def artifacts(self, stage: str) -> list[dict]:
        """Return the committed artifacts of a stage of this task's model, in order of the index."""
        rows = self.tasks.database.rows(SQL["artifacts"], **self.values | {"stage": stage})
        return [row["artifact"] for row in rows]

    def opened_test_part(self) -> None:
        """Record that this attempt opens the test part."""
        self.write("opening")

    def tell_again(self, epochs: list[dict]) -> None:
        """Record what a complete result implies, where it is not there: its epochs and, of a final, that it opened the test part.

        Args: epochs: each with epoch, metrics, value, bracket and pruned.
        """
        self.write("tell_again", epochs=json_value(epochs))

    def note(self, sentences: list[str], patience_s: float) -> None:
        """Add to the notes of the experiment, unless they are there or too many are; no fence: what was seen stays true."""
        values = {
            "experiment": self.values["experiment"],
            "notes": json_value(sentences),
            "most": MOST_NOTES,
        }
        self.tasks.database.rows(SQL["note"], patience_s, **values)

    def commit(
        self,
        state: str,
        value: float | None,
        metrics: dict,
        artifact: dict,
        reason: str | None = None,
        step: int | None = None,
    ) -> None:
        """End the task: from here on its row names these artifacts. Bytes first, then this."""

        document = {"metrics": json_value(metrics), "artifact": json_value(artifact)}
        self._last(
            state,
            lambda: self.write(
                "commit", **document, state=state, value=value, step=step, **self._why(reason)
            ),
        )

    def release(self, reason: str, patience_s: float | None = None) -> None:
        """Give the task back at once, uncounted: somebody else, or we later, will go on from the checkpoint."""
        self._last(
            "interrupted",
            lambda: self.write("release", patience_s, step=self.step, **self._why(reason)),
        )

    def error(self, reason: str) -> None:
        """End this attempt with an error; too many of them without progress between fail the task for good."""
        values = self.values | {"step": self.step} | self._why(reason)

        def work(cursor):
            cursor.execute(SQL["lock"], values)
            cursor.execute(SQL["renew"], values)
            if cursor.fetchone() is None:
                self._lose()
            cursor.execute(SQL["look"], values)
            end(cursor, values, cursor.fetchone(), "error", reason)

        self._last("error", lambda: self.tasks.database.run(work))

    def _why(self, reason: str | None) -> dict:
        return {"reason": reason, "seconds": json_value(self.seconds)}

    def _last(self, outcome: str, write) -> None:
        """Do the write that ends this attempt. Refused because it was done before, without our hearing, is done too."""
        try:
            write()
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


def end(cursor, values: dict, row: dict, outcome: str, reason: str) -> None:
    """End an attempt that counts unless it progressed: its task waits again, or has failed for good.

    Args:
        row: the task as `look` shows it, under its lock.
    """
    cursor.execute(SQL["end_attempt"], values | {"outcome": outcome, "reason": reason})
    values = values | {"counted": row["counted"] + 1 if row["progress"] <= row["counted_at"] else 0}
    cursor.execute(SQL["in_a_row"], values)
    errors, vanished = cursor.fetchone().values()
    if errors >= MAX_ERRORS:
        cursor.execute(
            SQL["fail"], values | {"reason": f"{errors} attempts in a row, the last: {reason}"}
        )
    elif vanished >= MAX_VANISHED:
        why = f"vanished {vanished} times in a row, the last on {row['host']}: out of memory, or of time before its first checkpoint?"
        cursor.execute(SQL["fail"], values | {"reason": why})
    else:
        cursor.execute(SQL["again"], values)
