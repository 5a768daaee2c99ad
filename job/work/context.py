"""One attempt at work: where it reads, where it writes, what it is about. Without TensorFlow."""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from job.background import Outbox
from job.coordination.attempt import UNJUDGED, Attempt
from job.coordination.tasks import Registered
from job.experiment.experiment import Experiment
from job.experiment.task import Key
from job.interrupt import INTERRUPT
from job.learning import provenance
from job.learning.checkpoint import Checkpoints
from job.randomness import derive
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store


@dataclass
class Run:
    """One attempt at work."""

    attempt: Attempt
    registered: Registered
    store: Store
    cache: Cache
    checkpoint_s: float
    begin: Callable[[], None] = lambda: None  # called when all is read and the work begins

    @property
    def experiment(self) -> Experiment:
        return self.registered.experiment

    @property
    def key(self) -> Key:
        return self.attempt.key

    @property
    def folder(self) -> str:
        """The store's folder of this task, of all its attempts."""
        return paths.task_folder(self.registered.id, self.key)

    @property
    def attempt_folder(self) -> str:
        """The store's folder that this attempt, and no other, writes to."""
        return paths.attempt_folder(
            self.registered.id, self.key, self.attempt.number, self.attempt.owner
        )

    @property
    def seed(self) -> int:
        return derive(self.experiment.seed, self.key.model, self.key.stage, self.key.index)

    @property
    def parameters(self) -> dict:
        """All parameters of this task: the fixed ones of the experiment and the chosen ones of the task."""
        return self.experiment.fixed(self.key.model) | (self.attempt.parameters or {})

    @property
    def identity(self) -> dict:
        """What makes a result that of this task and no other; of a trial, once its parameters are chosen."""
        return {
            "schema": 1,
            "experiment": self.experiment.name,
            "experiment_id": self.registered.id,
            "fingerprint": self.registered.fingerprint,
            "model": self.key.model,
            "stage": self.key.stage,
            "index": self.key.index,
            "parameters": self.parameters,
            "seed": self.seed,
            "threads": self.experiment.threads,
        }

    def _checkpoint_identity(self) -> dict:
        """What a checkpoint says beside it: a result has the bits of its data in its scores, a checkpoint only in its weights."""
        dtype = self.parameters.get(
            "dtype", "float32"
        )  # that is asked for: a training may go on where another is chosen
        return self.identity | {
            "data": self.registered.data["id"],
            "splits": self.registered.splits["sha256"],
            "dtype": dtype,
        }

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of this task."""
        folders = self.folder, self.attempt_folder
        return Checkpoints(
            self.store,
            folders,
            self.checkpoint_s,
            self._checkpoint_identity,
            provenance.machine,
            self.attempt.durable,
        )

    @cached_property
    def reports(self) -> Outbox:
        """The epochs on their way to the database."""
        return Outbox(lambda epoch: self.attempt.report(*epoch))

    @cached_property
    def decided(self) -> dict[int, bool]:
        """The epochs that earlier attempts reported, and whether the pruner ended the trial there."""
        return (
            {row["epoch"]: row["pruned"] for row in self.attempt.epochs()}
            if self.attempt.number > 1
            else {}
        )

    def report(self, epoch: int, metrics: dict, value: float | None, rule: dict = UNJUDGED) -> bool:
        """Report an epoch, in the background unless a pruner judges it; return whether to prune."""
        if epoch in self.decided:
            return self.decided[epoch]
        if rule["pruner"]:
            self.reports.flush()  # it looks at those before, too
            return self.attempt.report(epoch, metrics, value, rule)
        self.reports.post((epoch, metrics, value))
        return False

    @contextmanager
    def clock(self, part: str):
        """Count the seconds of one part of the worker's life."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.attempt.seconds[part] = round(
                self.attempt.seconds.get(part, 0.0) + time.monotonic() - started, 3
            )

    def check(self) -> None:
        """Stop between two steps: for a signal, a lost lease, or an outage that lasted too long."""
        INTERRUPT.check()
        self.attempt.check()
        self.reports.check()
        self.checkpoints.check()
