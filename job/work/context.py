"""What a task trains on, and what an attempt at it writes to. Without TensorFlow."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from job.background import Background
from job.coordination.attempt import UNJUDGED, Attempt
from job.coordination.registered import Registered
from job.experiment.experiment import Experiment
from job.experiment.parameters import with_implied
from job.experiment.task import Key
from job.interrupt import INTERRUPT
from job.learning import provenance
from job.learning.checkpoint import Checkpoints, Snapshot
from job.learning.result_format import Identity
from job.patience import Patience
from job.randomness import derive
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store

Epoch = tuple[int, dict, float | None]  # its number from 0, metrics, value


class TaskRecord(Protocol):
    """What training needs of an attempt. A decided task that is replayed has no more."""

    key: Key
    parameters: dict | None  # those chosen for this task, once they are
    seconds: dict[str, float]  # of each part of the worker's life

    def artifacts(self, stage: str) -> list[dict]:
        """Return the committed artifacts of a stage of this task's model, by index."""
        ...


@dataclass(frozen=True)
class Assignment:
    """A task to train: its parameters, its seed and where it reads. It writes nothing."""

    attempt: TaskRecord
    registered: Registered
    store: Store
    cache: Cache

    @property
    def experiment(self) -> Experiment:
        """The experiment as its file describes it."""
        return self.registered.experiment

    @property
    def key(self) -> Key:
        """Which task it is."""
        return self.attempt.key

    @property
    def seed(self) -> int:
        """The seed of all random numbers of this task."""
        return derive(self.experiment.seed, self.key.model, self.key.stage, self.key.index)

    @property
    def parameters(self) -> dict:
        """All parameters: the experiment's fixed ones and those chosen for the task."""
        return self.experiment.fixed(self.key.model) | (self.attempt.parameters or {})

    def begin(self) -> None:
        """Note that everything is read and the training begins."""

    def snapshots(self) -> Iterator[Snapshot]:
        """Return the snapshots to resume from, newest first: none."""
        return iter(())

    @contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Count the seconds of one part of the worker's life, without those of parts within it."""
        seconds = self.attempt.seconds
        counted = sum(seconds.values())
        started = time.monotonic()
        try:
            yield
        finally:
            within = sum(seconds.values()) - counted
            own = time.monotonic() - started - within
            seconds[part] = round(seconds.get(part, 0.0) + max(own, 0.0), 3)


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Context(Assignment):
    """One attempt at a task: what it trains on, and where it writes."""

    attempt: Attempt
    checkpoint_s: float  # seconds between two checkpoints
    patience: Patience  # of the store
    progressed: Callable[[], None] = _nothing  # called when more than before is durable

    @property
    def folder(self) -> str:
        """The store's folder of this task, for all its attempts."""
        return paths.task_folder(self.registered.id, self.key)

    @property
    def attempt_folder(self) -> str:
        """The store's folder that only this attempt writes to."""
        attempt = self.attempt
        return paths.attempt_folder(self.registered.id, self.key, attempt.number, attempt.owner)

    @property
    def identity(self) -> Identity:
        """What ties a result to this task alone. A trial has it once its parameters are chosen."""
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
        """Return what ties a checkpoint to this task and its data.

        The scores of a result depend on the data's bits; a checkpoint has them only in its weights.
        """
        # The requested type: a training may resume on a machine that computes in another one.
        dtype = with_implied(self.parameters)["dtype"]
        return self.identity | {
            "data": self.registered.data.id,
            "splits": self.registered.splits["sha256"],
            "dtype": dtype,
        }

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of this task."""
        return Checkpoints(
            self.store,
            (self.folder, self.attempt_folder),
            self.checkpoint_s,
            self._checkpoint_identity,
            provenance.machine,
            self._durable,
        )

    def _durable(self, step: int) -> None:
        """Record that a checkpoint of this step has arrived."""
        if step > self.attempt.step:
            self.progressed()
        self.attempt.record_step(step)

    def snapshots(self) -> Iterator[Snapshot]:
        """Return what earlier attempts saved, newest first; the first attempt does not look."""
        return self.checkpoints.newest() if self.attempt.number > 1 else iter(())

    def begin(self) -> None:
        """Note that everything is read and the training begins."""
        self.patience.begin_work()

    @cached_property
    def reports(self) -> Background[Epoch]:
        """The epochs on their way to the database."""
        return Background(self._send)

    def _send(self, epoch: Epoch) -> None:
        number, metrics, value = epoch
        self.attempt.report(number, metrics, value)

    @cached_property
    def decided(self) -> dict[int, bool]:
        """The epochs that earlier attempts reported, and whether the pruner ended the trial."""
        if self.attempt.number == 1:
            return {}
        return {row["epoch"]: row["pruned"] for row in self.attempt.epochs()}

    def report(self, epoch: int, metrics: dict, value: float | None, rule: dict = UNJUDGED) -> bool:
        """Report an epoch, in the background unless a pruner judges it; return whether to prune."""
        if epoch in self.decided:
            return self.decided[epoch]
        if rule["pruner"]:
            self.reports.flush()  # the pruner also looks at the epochs before
            return self.attempt.report(epoch, metrics, value, rule)
        self.reports.post((epoch, metrics, value))
        return False

    def check(self) -> None:
        """Stop between two steps: for a signal, a lost lease, or an outage that lasted too long."""
        INTERRUPT.check()
        self.attempt.check()
        self.reports.check()
        self.checkpoints.check()
