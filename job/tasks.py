"""Tasks, leases and attempts: who works on what, decided by the database and its clock.

A task is owned by one attempt at a time, for as long as its lease is renewed. Every write after the
claim is fenced: it locks the task's row and asks whether attempt and owner are still ours, so a
process that was paused or cut off cannot publish anything.
"""

import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field

from job.database import Database, Every, json_value, queries
from job.errors import Impossible, JobError, LeaseLost, NotReady
from job.experiment import Experiment, parse
from job.index import Key
from job.interrupt import INTERRUPT

SQL = queries("tasks")
DECIDED = ("complete", "pruned")
MAX_COUNTED = 3
POLL_S = 2.0
RENEWALS_PER_LEASE = 6

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registered:
    """An experiment as the database has it."""

    id: str
    experiment: Experiment
    fingerprint: str
    data: dict
    weights: dict
    splits: dict

    def values(self, key: Key) -> dict:
        """The SQL values that name a task."""
        return {"experiment": self.id, "model": key.model, "stage": key.stage, "index": key.index}


@dataclass(frozen=True)
class Worker:
    """This process, as other processes see it."""

    owner: str = field(default_factory=lambda: uuid.uuid4().hex)
    host: str = field(default_factory=socket.gethostname)
    scheduler: str | None = field(default_factory=lambda: scheduler_job(os.environ))


def scheduler_job(environ) -> str | None:
    """Return what stays the same when the scheduler requeues this very job, and for no other."""
    if environ.get("JOB_SCHEDULER_JOB"):
        return environ["JOB_SCHEDULER_JOB"]
    if environ.get("SLURM_JOB_ID"):
        return f"slurm {environ.get('SLURM_CLUSTER_NAME', '')} {environ['SLURM_JOB_ID']}"
    return None


def find(database: Database, name: str) -> Registered:
    """Return an experiment by name. Raises: NotReady before `job prepare`, Invalid for other tables."""
    database.check_schema()
    rows = database.rows(SQL["experiment"], name=name)
    if not rows:
        raise NotReady(
            f"experiment '{name}' (from JOB_EXPERIMENT or --experiment) is not in the database yet: run `job prepare` with its file"
        )
    row = rows[0]
    return Registered(row["id"], parse(row["spec"]), row["fingerprint"], row["data"], row["weights"], row["splits"])


class Tasks:
    """The tasks of one experiment, seen by one worker."""

    def __init__(self, database: Database, registered: Registered, worker: Worker, lease_s: float, wait_s: float):
        self.database, self.registered, self.worker = database, registered, worker
        self.lease_s, self.wait_s = lease_s, wait_s

    def claim(self, key: Key) -> "Attempt | None":
        """Return the attempt that owns the task from now on, or None when the task is decided.

        Waits up to `wait_s` for another owner, or for what the task needs.
        Raises: NotReady after that; Impossible when it failed for good, or the stage before it did.
        """
        deadline = time.monotonic() + self.wait_s
        while True:
            try:
                return self._try(key)
            except NotReady as exc:
                if time.monotonic() + POLL_S > deadline:
                    raise
                log.info("%s; waiting", exc)
            INTERRUPT.sleep(POLL_S)

    def _try(self, key: Key) -> "Attempt | None":
        state = self._peek(key)
        if state["state"] in DECIDED:
            log.info("%s is decided already: %s%s", key, state["state"], f" ({state['reason']})" if state["reason"] else "")
            return None
        if state["state"] == "failed":
            raise Impossible(
                f"{key} failed for good: {state['reason']}; `job retry {key.stage} --model {key.model} --index {key.index}` gives it another life"
            )
        selected = self._ready(key)
        values = self.registered.values(key) | {
            "lease_s": self.lease_s,
            "owner": self.worker.owner,
            "host": self.worker.host,
            "scheduler": self.worker.scheduler,
        }
        outcome = self.database.run(lambda cursor: self._own(cursor, key, values, selected))
        if isinstance(outcome, JobError):
            raise outcome
        return outcome if outcome else self._try(key)

    def _peek(self, key: Key) -> dict:
        rows = self.database.rows(SQL["peek"], **self.registered.values(key))
        if not rows:
            raise NotReady(f"{key} is not among the tasks in the database: run `job prepare` with the larger file first")
        return rows[0]

    def _ready(self, key: Key) -> dict | None:
        """Return the selected parameters a fold or final goes on with; raise unless the stage before is done."""
        if key.stage == "trial" and self.registered.experiment.frozen(key.model):
            self._finished(key.model, "features", every=True)
        if key.stage in ("fold", "final"):
            return self.selection(key.model)["parameters"]
        return None

    def _finished(self, model: str, stage: str, every: bool = False) -> dict[str, int]:
        """Return the counts by state of a stage without unfinished tasks."""
        counts = {
            r["state"]: r["tasks"] for r in self.database.rows(SQL["counts"], experiment=self.registered.id, model=model, stage=stage)
        }
        if every and counts.get("failed"):
            raise Impossible(
                f"{counts['failed']} {stage} tasks of {model} failed for good: its later stages cannot run; see `job status`, then `job retry`"
            )
        unfinished = counts.get("waiting", 0) + counts.get("running", 0)
        if unfinished:
            raise NotReady(f"{unfinished} {stage} tasks of {model} are not finished yet")
        return counts

    def selection(self, model: str) -> dict:
        """Return the row that says which trial a model goes on with; choose it when all trials are finished."""
        values = {"experiment": self.registered.id, "model": model}
        rows = self.database.rows(SQL["selection"], **values)
        if not rows:
            counts = self._finished(model, "trial")
            sign = 1 if self.registered.experiment.direction == "maximize" else -1
            rows = self.database.rows(SQL["select_best"], **values, sign=sign) or self.database.rows(SQL["selection"], **values)
            if not rows:
                raise Impossible(f"{model} has no complete trial to go on with: {', '.join(f'{n} {s}' for s, n in sorted(counts.items()))}")
            log.info("selected for %s: trial %d, value %.4f", model, rows[0]["trial"], rows[0]["value"])
        return rows[0]

    def _own(self, cursor, key: Key, values: dict, selected: dict | None):
        """Take the task if it is free; return an Attempt, an error to raise, or None to look again."""
        cursor.execute(SQL["lock"], values)
        cursor.execute(SQL["look"], values)
        row = cursor.fetchone()
        if row["state"] not in ("waiting", "running"):
            return None
        if row["owner"] == self.worker.owner:  # our own commit, of which we did not hear
            return Attempt(self, key, row["attempt"], row["parameters"], row["progress"])
        if row["state"] == "running":
            if row["lease_left_s"] > 0 and not self._requeued(row):
                return NotReady(
                    f"{key} is owned by attempt {row['attempt']} on {row['host']}, its lease ends in {row['lease_left_s']:.0f} s"
                )
            ended = values | {"attempt": row["attempt"], "seconds": None}
            reason = f"vanished on {row['host']} without a word"
            if self.end(cursor, ended, row, "vanished", reason) == "failed":
                return None
        cursor.execute(SQL["own"], values)
        number = cursor.fetchone()["attempt"]
        cursor.execute(SQL["begin_attempt"], values | {"attempt": number, "progress": row["progress"]})
        if selected is not None and row["parameters"] is None:
            cursor.execute(SQL["parameters"], values | {"parameters": json_value(selected)})
        return Attempt(self, key, number, row["parameters"] or selected, row["progress"])

    def _requeued(self, row: dict) -> bool:
        return self.worker.scheduler is not None and row["scheduler"] == self.worker.scheduler

    def end(self, cursor, values: dict, row: dict, outcome: str, reason: str) -> str:
        """End an attempt that counts unless it progressed; return the task's state after it."""
        cursor.execute(SQL["end_attempt"], values | {"outcome": outcome, "reason": reason})
        counted = row["counted"] + 1 if row["progress"] <= row["counted_at"] else 0
        cursor.execute(SQL["count"], values | {"counted": counted})
        if counted < MAX_COUNTED:
            return "waiting"
        cursor.execute(SQL["fail"], values | {"reason": f"{counted} attempts in a row, the last: {reason}"})
        return "failed"


class Attempt:
    """The right to work on a task, and every write that needs it."""

    def __init__(self, tasks: Tasks, key: Key, number: int, parameters: dict | None, progress: int):
        self.tasks, self.key, self.number = tasks, key, number
        self.parameters, self.first_step = parameters, progress
        self.seconds: dict[str, float] = {}
        self.lost = threading.Event()

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
        return Every(self.tasks.lease_s / RENEWALS_PER_LEASE, self._renew)

    def _renew(self) -> None:
        try:
            if not self.tasks.database.rows(SQL["renew"], **self.values):
                self.lost.set()
        except Exception as exc:  # a thread must not end: the next beat tries again
            log.warning("the lease of %s was not renewed: %s", self.key, exc)

    def check(self) -> None:
        """Raise `LeaseLost` when the last renewal said so. Called between steps."""
        if self.lost.is_set():
            raise LeaseLost(f"{self.key}: attempt {self.number} has lost its lease to another")

    def set_parameters(self, choose) -> dict:
        """Return the parameters of this task: stored ones, or `choose(cursor)` stored in the same transaction."""

        def work(cursor, values):
            chosen = choose(cursor)
            cursor.execute(SQL["parameters"], values | {"parameters": json_value(chosen)})
            return chosen

        if self.parameters is None:
            self.parameters = self.fenced(work)
        return self.parameters

    def epochs(self) -> list[dict]:
        """Return the epochs already decided: epoch, metrics, value, pruned."""
        return self.tasks.database.rows(SQL["epochs"], **self.values)

    def report(self, epoch: int, step: int, metrics: dict, value: float | None, decide=None) -> bool:
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
            cursor.execute(SQL["progress"], values | {"step": step})
            return pruned

        return self.fenced(work)

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
        """End the task: from here on its row names this attempt's artifacts. Bytes first, then this."""

        def work(cursor, values):
            if step is not None:
                cursor.execute(SQL["progress"], values | {"step": step})
            cursor.execute(SQL["end_attempt"], values | {"outcome": state, "reason": reason, "seconds": json_value(self.seconds)})
            cursor.execute(
                SQL["commit"],
                values
                | {"state": state, "value": value, "metrics": json_value(metrics), "artifact": json_value(artifact), "reason": reason},
            )

        try:
            self.fenced(work)
        except LeaseLost:
            if not self._committed():
                raise

    def _committed(self) -> bool:
        """Tell whether our commit was done though the connection was lost before we heard."""
        rows = self.tasks.database.rows(
            "select outcome from attempt where (experiment, model, stage, index, number, owner) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)",
            **self.values,
        )
        return bool(rows) and rows[0]["outcome"] in DECIDED

    def release(self, reason: str, step: int | None = None, patience_s: float | None = None) -> None:
        """Give the task back at once, uncounted: somebody else, or we later, will go on from the checkpoint."""

        def work(cursor, values):
            if step is not None:
                cursor.execute(SQL["progress"], values | {"step": step})
            cursor.execute(SQL["end_attempt"], values | {"outcome": "interrupted", "reason": reason, "seconds": json_value(self.seconds)})
            cursor.execute(SQL["release"], values)

        self.fenced(work, patience_s)

    def error(self, reason: str) -> None:
        """End this attempt with an error; the third in a row without progress fails the task for good."""

        def work(cursor, values):
            cursor.execute(SQL["look"], values)
            row = cursor.fetchone()
            if self.tasks.end(cursor, values | {"seconds": json_value(self.seconds)}, row, "error", reason) == "waiting":
                cursor.execute(SQL["release"], values)

        self.fenced(work)


def retry(database: Database, registered: Registered, key: Key) -> None:
    """Give a task that failed for good another life. Raises: NotReady-free `JobError` when it has not failed."""
    if not database.rows(SQL["retry"], **registered.values(key)):
        raise JobError(f"{key} has not failed for good: nothing to retry; see `job status`")
