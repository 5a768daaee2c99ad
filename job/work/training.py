"""Train one task, from its inputs to a net. Nothing here commits or opens the test part.

Imports TensorFlow. `stages` trains an attempt with it, `replay` a decided task.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from job.coordination import study
from job.data import staging
from job.errors import OUT_OF_MEMORY, Infeasible, NotReady
from job.experiment.parameters import with_implied
from job.learning import evaluate, kernels
from job.learning.backend import keras, tf
from job.learning.checkpoint import Damaged, Snapshot
from job.learning.models import transfer
from job.learning.models.build import adapt, build, build_base
from job.learning.repeats import train_repeats
from job.learning.train import (
    PREDICT_BATCH,
    Examples,
    Hooks,
    Outcome,
    Start,
    batches,
    out_of_memory,
    train,
)
from job.learning.views import averaged
from job.randomness import derive
from job.sentences import first_line
from job.storage import paths
from job.work import artifacts
from job.work.context import Assignment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """The rows of the training part that a net was scored on after its last epoch."""

    rows: np.ndarray  # int64 [n]
    labels: np.ndarray  # of these rows, int64 [n]
    probabilities: np.ndarray  # float32 [n, k]

    @property
    def predictions(self) -> bytes:
        """These rows as predictions.npz."""
        return artifacts.predictions(self.probabilities, self.labels, self.rows)


@dataclass(frozen=True)
class Learned:
    """A trained net, how its training ended, and what it was scored on."""

    net: keras.Model
    outcome: Outcome
    held_out: Scored | None  # None for a final, which trains on all rows

    @property
    def scored(self) -> Scored:
        """What a trial or fold was scored on. Raises: ValueError for a final."""
        if self.held_out is None:
            raise ValueError("a net that trains on all rows is not scored on any of them")
        return self.held_out


def learn(assignment: Assignment, hooks: Hooks) -> Learned:
    """Train this task's net on its rows of the training part, from the newest checkpoint on.

    Validation is timed as a part of its own, within the training.

    Args:
        assignment: the task; of a trial, its parameters are chosen.
        hooks: what the training loop reports to and asks.

    Raises:
        NotReady: a feature shard is missing.
        Invalid: staged data, weights or features are missing or damaged.
        Infeasible: the loss is not finite, or the memory does not suffice.
    """
    with assignment.clock("stage"):
        inputs = _inputs(assignment)
        labels = np.asarray(staging.training_part(assignment.cache, assignment.registered.data)[1])
        left_out = _left_out(assignment)
    trainings = _Trainings(assignment, inputs, labels, left_out)
    hooks = replace(hooks, evaluating=lambda: assignment.clock("evaluate"))
    of_left_out = [labels[rows] for rows in left_out]

    def train_from(snapshot: Snapshot | None) -> Outcome:
        return train_repeats(trainings.train, of_left_out, hooks, snapshot)

    outcome = _resume(train_from, assignment.snapshots())
    pruned = "" if outcome.pruned_at is None else ", pruned"
    log.info("training: over at step %d%s", outcome.step, pruned)
    return Learned(trainings.net, outcome, _scored(labels, left_out, outcome))


def _resume(
    train_from: Callable[[Snapshot | None], Outcome], snapshots: Iterator[Snapshot]
) -> Outcome:
    """Train from the newest whole checkpoint, or from the start."""
    for snapshot in snapshots:
        try:
            return train_from(snapshot)
        except Damaged as exc:
            log.warning("a checkpoint is skipped: %s", exc)
    return train_from(None)


def _scored(labels: np.ndarray, left_out: list[np.ndarray], outcome: Outcome) -> Scored | None:
    """Return what was scored; a trial that was pruned has not begun its last repeats."""
    if outcome.probabilities is None:
        return None
    rows = np.concatenate(left_out)[: len(outcome.probabilities)]
    return Scored(rows, labels[rows], outcome.probabilities)


@contextmanager
def _memory_decides(assignment: Assignment) -> Iterator[None]:
    """Raise `Infeasible` where the net or its step does not fit into the memory."""
    try:
        yield
    except (MemoryError, tf.errors.OpError) as exc:
        if not out_of_memory(exc):
            raise
        batch = assignment.parameters["batch_size"]
        raise Infeasible(f"{OUT_OF_MEMORY} with batches of {batch}: {first_line(exc)}") from exc


class _Trainings:
    """The trainings of one task: one, or as many as a trial has repeats.

    Attributes:
        net: of the training that began last.
    """

    net: keras.Model

    def __init__(
        self,
        assignment: Assignment,
        inputs: np.ndarray,
        labels: np.ndarray,
        left_out: list[np.ndarray],
    ):
        self.assignment = assignment
        self.inputs = inputs
        self.labels = labels
        self.left_out = left_out

    def train(self, number: int, start: Start, hooks: Hooks, snapshot: Snapshot | None) -> Outcome:
        """Train one of them on all rows that it does not leave out, perhaps from a snapshot."""
        assignment = self.assignment
        seed = derive(assignment.seed, "repeat", number) if number else assignment.seed
        rows = np.setdiff1d(np.arange(len(self.labels)), self.left_out[number])
        training = Examples(self.inputs, self.labels, rows)
        validation = None
        if len(self.left_out[number]):
            validation = replace(training, rows=self.left_out[number])
        with assignment.clock("build"), _memory_decides(assignment):
            if number:
                keras.utils.clear_session()  # of the training before
            self.net = self._build(seed)
        assignment.begin()
        with assignment.clock("train"), _memory_decides(assignment):
            if snapshot is None:
                adapt(assignment.key.model, self.net, training, seed)
            return train(
                self.net,
                assignment.parameters,
                training,
                validation,
                seed,
                hooks,
                snapshot,
                self._fixed(),
                kernels.should_compile(_expected_steps(assignment, len(training)), self.net),
                start,
                method=assignment.experiment.method,
            )

    def _build(self, seed: int) -> keras.Model:
        """Return a net with its initial weights."""
        assignment = self.assignment
        model = assignment.key.model
        keras.utils.set_random_seed(seed)
        weights = None if assignment.experiment.frozen(model) else _weights(assignment)
        classes = len(assignment.registered.data.classes)
        shape = self.inputs.shape[1:]
        return build(assignment.experiment, model, assignment.parameters, shape, classes, weights)

    def _fixed(self) -> Sequence[keras.Variable]:
        """Return the variables that no step changes."""
        is_pretrained = self.assignment.key.model in self.assignment.registered.weights
        return transfer.fixed_variables(self.net) if is_pretrained else ()


def _expected_steps(assignment: Assignment, images: int) -> int:
    """Return how many steps a task with these parameters takes on average.

    A pruner ends most trials early.
    """
    parameters = assignment.parameters
    share = 1.0
    if assignment.key.stage == "trial":
        share = study.EXPECTED_SHARE[assignment.experiment.search.pruner]
    return round(share * parameters["epochs"] * math.ceil(images / parameters["batch_size"]))


def shard(assignment: Assignment, hooks: Hooks) -> np.ndarray:
    """Return the features of this task's shard, from the newest checkpoint on.

    They are float32 [n, d], or of each view [n, v, d].

    Raises:
        Invalid: staged images or weights are missing or damaged.
    """
    with assignment.clock("stage"):
        images, _ = staging.training_part(assignment.cache, assignment.registered.data)
        shards = assignment.experiment.features.shards
        rows = np.array_split(np.arange(len(images)), shards)[assignment.key.index]
    with assignment.clock("build"):
        base = _base(assignment)
    snapshot = next(assignment.snapshots(), None)
    parts = [] if snapshot is None else [snapshot[0][0]]
    done = began = sum(len(part) for part in parts)

    def take() -> Snapshot:
        return [np.concatenate(parts)], {"step": done}

    assignment.begin()
    with assignment.clock("train"):
        for part in batches(base, images, rows[done:], hooks.check):
            parts.append(part)
            done += len(part)
            if done - began <= PREDICT_BATCH:
                log.info("training: at step %d of %d", done, len(rows))
            hooks.offer(take)
            hooks.check()
    log.info("training: over at step %d", done)
    return np.concatenate(parts)


def scorer(assignment: Assignment) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the experiment's metric as a function of labels and probabilities."""
    metric = assignment.experiment.search.metric
    method = assignment.experiment.method

    def score(labels: np.ndarray, probabilities: np.ndarray) -> float:
        return evaluate.score(metric, labels, probabilities, method=method)

    return score


def _left_out(assignment: Assignment) -> list[np.ndarray]:
    """Return the rows that each training of this task leaves out and is scored on, int64.

    A final leaves none out; a trial has a training per repeat.
    """
    if assignment.key.stage == "final":
        return [np.array([], np.int64)]
    splits = staging.frozen_splits(assignment.cache, assignment.registered.splits)
    if assignment.key.stage == "fold":
        return [np.flatnonzero(splits.folds == assignment.key.index)]
    return [np.flatnonzero(part) for part in splits.validation]


def _inputs(assignment: Assignment) -> np.ndarray:
    """Return what the net trains on: mapped images, or mapped features of a frozen base."""
    experiment = assignment.experiment
    if not experiment.frozen(assignment.key.model):
        return staging.training_part(assignment.cache, assignment.registered.data)[0]
    shards = assignment.attempt.artifacts("features")
    if len(shards) != experiment.features.shards:
        raise NotReady(
            f"{assignment.key}: {len(shards)} of {experiment.features.shards} feature shards"
            " exist; the others run again"
        )
    files = [artifact[paths.FEATURES] for artifact in shards]
    with staging.needed("`job repair` lets its task run again"):
        return assignment.cache.join({file["key"]: file["sha256"] for file in files})


def _weights(assignment: Assignment) -> Path | None:
    """Return the file of ImageNet weights this model starts from; None for other models."""
    entry = assignment.registered.weights.get(assignment.key.model)
    with staging.needed(staging.STAGED_AGAIN):
        return assignment.cache.file(entry["key"], entry["sha256"]) if entry else None


def _base(assignment: Assignment) -> keras.Model:
    """Return the frozen base with its ImageNet weights, for all views."""
    model = assignment.key.model
    shape = assignment.registered.data.image_shape
    return build_base(assignment.experiment, model, shape, _weights(assignment))


def whole(assignment: Assignment, net: keras.Model) -> keras.Model:
    """Return the end-to-end model of a net: with its frozen base, and for all views."""
    net = averaged(net, with_implied(assignment.parameters))
    if assignment.experiment.frozen(assignment.key.model):
        return transfer.join(_base(assignment), net)
    return net
