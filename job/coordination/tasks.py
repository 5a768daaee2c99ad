"""Tasks and their claims: who works on what, decided by the database and its clock.

A task is owned by one attempt at a time, for as long as its lease is renewed. A claim repairs what it
touches: it ends the attempt that vanished, and needs no daemon to do so. That an owner is gone is measured,
not concluded from an old row: who finds it overdue calls it in, and who finds no answer after a grace takes over.
"""

import logging
import os
import socket
import time
import uuid
from dataclasses import dataclass, field

from job.coordination.attempt import DECIDED, SQL, Attempt, end
from job.coordination.database import Database, json_value
from job.errors import Impossible, JobError, NotReady
from job.experiment.experiment import Experiment
from job.experiment.specification import stored
from job.experiment.task import Key
from job.interrupt import INTERRUPT

POLL_S = 2.0
MOST_COUNTED = 1000  # unfinished tasks, for a sentence
GRACE = (
    1 / 3
)  # of a lease, two renewals: for how long an owner may be silent, and has to answer once it is called in
SLURM = (
    "SLURM_CLUSTER_NAME",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_PROCID",
)  # the last two: processes that srun starts side by side

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
        return "slurm " + " ".join(environ.get(name, "-") for name in SLURM)
    return None


def find(database: Database, name: str) -> Registered:
    """Return an experiment by name. Raises: NotReady before `job prepare`, Invalid for other tables."""
    rows = database.rows(SQL["experiment"], name=name)
    database.check_version(rows)
    if rows[0]["id"] is None:
        raise NotReady(
            f"experiment '{name}' (from JOB_EXPERIMENT or --experiment) is not in the database yet: run `job prepare` with its file"
        )
    row = rows[0]
    return Registered(
        row["id"],
        stored(row["spec"]),
        row["fingerprint"],
        row["data"],
        row["weights"],
        row["splits"],
    )


def patiently(call, wait_s: float, poll_s: float = POLL_S):
    """Return `call()`, made again while it raises `NotReady`, for `wait_s`; what it waits for is logged when it changes."""
    deadline, said = time.monotonic() + wait_s, None
    while True:
        try:
            return call()
        except NotReady as exc:
            if time.monotonic() + poll_s > deadline:
                raise
            if str(exc) != said:
                said = str(exc)
                log.info("%s; waiting", said)
        INTERRUPT.sleep(poll_s)


class Tasks:
    """The tasks of one experiment, seen by one worker."""

    def __init__(
        self,
        database: Database,
        registered: Registered,
        worker: Worker,
        lease_s: float,
        wait_s: float,
    ):
        self.database, self.registered, self.worker = database, registered, worker
        self.lease_s, self.wait_s = lease_s, wait_s

    def claim(self, key: Key) -> Attempt | None:
        """Return the attempt that owns the task from now on, or None when the task is decided.

        Waits up to `wait_s` for another owner, or for what the task needs.
        Raises: NotReady after that; Impossible when it failed for good, or the stage before it did.
        """

        def once():
            with self.database.kept():
                return self._try(key)

        return patiently(once, self.wait_s)

    def _try(self, key: Key) -> Attempt | None:
        state = self._peek(key)
        if state["state"] in DECIDED:
            log.info(
                "%s is decided already: %s%s",
                key,
                state["state"],
                f" ({state['reason']})" if state["reason"] else "",
            )
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
        values["selected"] = json_value(selected) if selected is not None else None
        taken = self.database.rows(SQL["take"], **values) if state["state"] == "waiting" else []
        outcome = (
            Attempt(self, key, **taken[0])
            if taken
            else self.database.run(lambda cursor: self._own(cursor, key, values))
        )
        if isinstance(outcome, JobError):
            raise outcome
        return outcome if outcome else self._try(key)

    def _peek(self, key: Key) -> dict:
        rows = self.database.rows(SQL["peek"], **self.registered.values(key))
        if not rows:
            raise NotReady(
                f"{key} is not among the tasks in the database: run `job prepare` with the larger file first"
            )
        return rows[0]

    def _ready(self, key: Key) -> dict | None:
        """Return the selected parameters a fold or final goes on with; raise unless the stage before is done."""
        if key.stage == "trial" and self.registered.experiment.frozen(key.model):
            self._finished(key.model, "features", every=True)
        if key.stage in ("fold", "final"):
            return self.selection(key.model)["parameters"]
        return None

    def _finished(self, model: str, stage: str, every: bool = False) -> None:
        """Raise unless a stage has no unfinished tasks; with `every`, nor any that failed for good."""
        row = self.database.rows(
            SQL["left"], experiment=self.registered.id, model=model, stage=stage, most=MOST_COUNTED
        )[0]
        if every and row["failed"]:
            raise Impossible(
                f"{row['failed']} {stage} tasks of {model} failed for good: its later stages cannot run; see `job status`, then `job retry`"
            )
        if row["unfinished"]:
            some = (
                row["unfinished"]
                if row["unfinished"] <= MOST_COUNTED
                else f"more than {MOST_COUNTED}"
            )
            raise NotReady(f"{some} {stage} tasks of {model} are not finished yet")

    def selection(self, model: str) -> dict:
        """Return the row that says which trial a model goes on with; choose it when all trials are finished."""
        values = {"experiment": self.registered.id, "model": model}
        rows = self.database.rows(SQL["selection"], **values)
        if not rows:
            self._finished(model, "trial")
            values["sign"] = self.registered.experiment.sign
            rows = self.database.run(lambda cursor: self._select(cursor, values))
            if not rows:
                self._finished(model, "trial")  # a trial may have been retried in between
                counts = ", ".join(
                    f"{r['tasks']} {r['state']}"
                    for r in self.database.rows(SQL["counts"], **values, stage="trial")
                )
                raise Impossible(f"{model} has no complete trial to go on with: {counts}")
            log.info(
                "selected for %s: trial %d, value %.4f", model, rows[0]["trial"], rows[0]["value"]
            )
        return rows[0]

    @staticmethod
    def _select(cursor, values: dict) -> list[dict]:
        for statement in ("close", "select_best", "selection"):
            cursor.execute(SQL[statement], values)
        return cursor.fetchall()

    def _own(self, cursor, key: Key, values: dict):
        """Take the task if it is free; return an Attempt, an error to raise, or None to look again."""
        cursor.execute(SQL["lock"], values)
        cursor.execute(SQL["look"], values)
        row = cursor.fetchone()
        if row["owner"] == self.worker.owner:  # our own claim, of which we did not hear
            return Attempt(self, key, row["attempt"], row["parameters"], row["progress"])
        if row["state"] == "running":
            if not self._requeued(row) and (left_s := self._left_s(cursor, values, row)) > 0:
                return NotReady(
                    f"{key} is owned by attempt {row['attempt']} on {row['host']}, its lease ends in {left_s:.0f} s"
                )
            end(
                cursor,
                values | {"attempt": row["attempt"], "seconds": None},
                row,
                "vanished",
                f"vanished on {row['host']} without a word",
            )
        cursor.execute(SQL["take"], values)
        taken = cursor.fetchone()
        return Attempt(self, key, **taken) if taken else None

    def _left_s(self, cursor, values: dict, row: dict) -> float:
        """Return the seconds for which a running task is still its owner's. One that is overdue is called in before it is taken."""
        if row["called_in"] or row["lease_left_s"] > self.lease_s * (1 - GRACE):
            return row["lease_left_s"]
        cursor.execute(
            SQL["call_in"],
            values
            | {"grace_s": self.lease_s * GRACE, "called_in": f"called in by {self.worker.host}"},
        )
        return cursor.fetchone()["lease_left_s"]

    def _requeued(self, row: dict) -> bool:
        return self.worker.scheduler is not None and row["scheduler"] == self.worker.scheduler


def retry(database: Database, registered: Registered, key: Key) -> None:
    """Give a task that failed for good another life. Raises: JobError when it has not failed, or its model is selected."""

    values, done = registered.values(key), False

    def work(cursor):
        nonlocal done
        for statement in ("close", "retry"):
            cursor.execute(SQL[statement], values)
        if cursor.fetchone():
            done = True
            return True
        cursor.execute(SQL["peek"], values)
        return (
            done and cursor.fetchone()["state"] != "failed"
        )  # a try before was done, and its answer lost

    if not database.run(work):
        raise JobError(
            f"{key} cannot be retried: it has not failed for good, or the parameters of {key.model} are selected, which closes its trials; see `job status`"
        )
