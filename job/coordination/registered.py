# pyright: strict
"""What a worker knows of an experiment and of itself."""

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from job.coordination.database import Database
from job.coordination.statements import queries
from job.errors import Invalid, NotReady
from job.experiment.experiment import Experiment
from job.experiment.manifest import Prepared
from job.experiment.specification import from_stored
from job.experiment.task import Key
from job.sentences import UNREADABLE

SQL = queries("tasks")
# The last two tell apart the processes that srun starts side by side.
SLURM = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID")


@dataclass(frozen=True)
class Registered:
    """An experiment as the database has it."""

    id: str
    experiment: Experiment
    fingerprint: str
    data: Prepared
    weights: dict[str, Any]
    splits: dict[str, Any]

    def values(self, key: Key) -> dict[str, Any]:
        """Return the SQL values that name a task."""
        return {"experiment": self.id, "model": key.model, "stage": key.stage, "index": key.index}


def find(database: Database, name: str) -> Registered:
    """Return an experiment by name.

    Raises: NotReady before `job prepare`; Invalid for tables of another version, or a damaged row.
    """
    rows = database.rows(SQL["experiment"], name=name)
    database.check_version(rows)
    row = rows[0]
    if row["id"] is None:
        raise NotReady(
            f"experiment '{name}' (from JOB_EXPERIMENT or --experiment) is not in the database yet:"
            " run `job prepare` with its file"
        )
    try:
        return Registered(
            id=row["id"],
            experiment=from_stored(row["spec"]),
            fingerprint=row["fingerprint"],
            data=Prepared.from_stored(row["data"]),
            weights=row["weights"],
            splits=row["splits"],
        )
    except UNREADABLE as exc:
        raise Invalid(
            f"the row of experiment '{name}' in {database.where} cannot be read"
            f" ({type(exc).__name__}: {exc}): restore a backup of the database"
        ) from exc


def scheduler_job(environ: Mapping[str, str]) -> str | None:
    """Return what stays the same when the scheduler requeues this very job, and for no other."""
    if environ.get("JOB_SCHEDULER_JOB"):
        return environ["JOB_SCHEDULER_JOB"]
    if environ.get("SLURM_JOB_ID"):
        return "slurm " + " ".join(environ.get(name, "-") for name in SLURM)
    return None


def _new_owner() -> str:
    return uuid.uuid4().hex


def _scheduler_job() -> str | None:
    return scheduler_job(os.environ)


@dataclass(frozen=True)
class Worker:
    """This process, as other processes see it.

    Attributes:
        owner: its unique name.
        host: the node that it runs on.
        scheduler: the scheduler's job, None outside of one.
    """

    owner: str = field(default_factory=_new_owner)
    host: str = field(default_factory=socket.gethostname)
    scheduler: str | None = field(default_factory=_scheduler_job)
