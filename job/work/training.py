"""Train one task, from its inputs to a net. Nothing here commits or opens the test part.

Imports TensorFlow. `stages` trains an attempt with it, `replay` a decided task.
"""

import logging
import math
from collections.abc import Callable, Iterator
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
from job.learning.train import (
    PREDICT_BATCH,
    Examples,
    Hooks,
    Outcome,
    batches,
    out_of_memory,
    train,
)
from job.learning.views import averaged
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
        rows, scored = _rows(assignment, len(labels))
    with assignment.clock("build"), _memory_decides(assignment):
        net = _net(assignment, inputs.shape[1:])
    training = Examples(inputs, labels, rows)
    validation = None if scored is None else Examples(inputs, labels, scored)
    hooks = replace(hooks, evaluating=lambda: assignment.clock("evaluate"))
    assignment.begin()
    with assignment.clock("train"), _memory_decides(assignment):
        outcome = _train(assignment, net, training, validation, hooks)
    return Learned(net, outcome, _scored(validation, outcome))


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


def _scored(validation: Examples | None, outcome: Outcome) -> Scored | None:
    if validation is None or outcome.probabilities is None:
        return None
    rows = validation.rows
    return Scored(rows, validation.labels[rows], outcome.probabilities)


def _net(assignment: Assignment, input_shape: tuple[int, ...]) -> keras.Model:
    """Return this task's net with its initial weights."""
    experiment = assignment.experiment
    model = assignment.key.model
    keras.utils.set_random_seed(assignment.seed)
    weights = None if experiment.frozen(model) else _weights(assignment)
    classes = len(assignment.registered.data.classes)
    return build(experiment, model, assignment.parameters, input_shape, classes, weights)


def _train(
    assignment: Assignment,
    net: keras.Model,
    training: Examples,
    validation: Examples | None,
    hooks: Hooks,
) -> Outcome:
    """Train from the newest whole checkpoint, or from the start."""
    fixed = (
        transfer.fixed_variables(net)
        if assignment.key.model in assignment.registered.weights
        else ()
    )
    compiled = kernels.should_compile(_expected_steps(assignment, len(training)), net)

    def train_from(snapshot: Snapshot | None) -> Outcome:
        if snapshot is None:
            adapt(assignment.key.model, net, training, assignment.seed)
        return train(
            net,
            assignment.parameters,
            training,
            validation,
            assignment.seed,
            hooks,
            snapshot,
            fixed,
            compiled,
            method=assignment.experiment.method,
        )

    for snapshot in assignment.snapshots():
        try:
            return train_from(snapshot)
        except Damaged as exc:
            log.warning("a checkpoint is skipped: %s", exc)
    return train_from(None)


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
        for part in batches(base, images, rows[done:]):
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


def _rows(assignment: Assignment, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the rows this task trains on, and those it is scored on: int64."""
    if assignment.key.stage == "final":
        return np.arange(n), None
    splits = assignment.registered.splits
    validation, folds = staging.frozen_splits(assignment.cache, splits)
    is_trial = assignment.key.stage == "trial"
    scored = validation if is_trial else folds == assignment.key.index
    return np.flatnonzero(~scored), np.flatnonzero(scored)


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
