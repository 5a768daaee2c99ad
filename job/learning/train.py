"""The one training loop: a fixed number of epochs, resumable at any step, bit for bit.

It knows nets and snapshots, but not Optuna, S3, signals or Slurm. Every random number is a function
of the seed, the epoch and the step. State that changes otherwise, such as the counter of dropout,
is in the checkpoint.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from job.errors import DIVERGED, Infeasible
from job.experiment.parameters import with_implied
from job.learning.averages import Averages
from job.learning.backend import keras, tf
from job.learning.checkpoint import Damaged, Snapshot
from job.learning.draws import step_seed
from job.learning.feed import Feed
from job.learning.interface import (
    FROM_NOTHING,
    Examples,
    Hooks,
    Outcome,
    Start,
    history_row,
    metrics_of,
    proceed,
)
from job.learning.kernels import chosen_dtype
from job.learning.optimizer import build_optimizer
from job.learning.resident import reader
from job.learning.scores import row_losses
from job.learning.step import build_step, class_weights, scale
from job.learning.views import averaged
from job.mapped import read_rows
from job.randomness import generator

PREDICT_BATCH = 256

log = logging.getLogger(__name__)


def _no_sums() -> np.ndarray:
    return np.zeros(3, np.float32)


@dataclass
class _State:
    """Where a training is, apart from the variables of net and optimizer.

    Attributes:
        epoch: the current one, from 0 or where the training started.
        batch: the next one of this epoch, from 0.
        step: how many are trained, counted as epochs are.
        sums: of loss, hits and images in this epoch, float32 [3].
        history: the metrics of each epoch before.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: np.ndarray | tf.Tensor = field(default_factory=_no_sums)
    history: list[dict] = field(default_factory=list)


def set_up(threads: int) -> None:
    """Set the number of intra-op threads, which changes the bits; call before any operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.get_logger().addFilter(_is_unexpected)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Return whether we do not expect a note of TensorFlow: each repeat has a net to trace."""
    return "triggered tf.function retracing" not in str(record.msg)


def out_of_memory(exc: Exception) -> bool:
    """Return whether Python or TensorFlow ran out of memory.

    For a constant in a graph it then says that the constant cannot be parsed. No other cause makes
    it say so of our constants.
    """
    if isinstance(exc, tf.errors.InvalidArgumentError):
        return "Cannot parse tensor from proto" in str(exc)
    return isinstance(exc, (MemoryError, tf.errors.ResourceExhaustedError))


def train(
    net: keras.Model,
    parameters: dict,
    training: Examples,
    validation: Examples | None,
    seed: int,
    hooks: Hooks,
    snapshot: Snapshot | None = None,
    fixed: Sequence[keras.Variable] = (),
    compiled: bool = False,
    start: Start = FROM_NOTHING,
    *,
    method: int,
) -> Outcome:
    """Train for `parameters["epochs"]` epochs, and score the validation rows after each.

    Args:
        net: inputs (images of 0-1, or features of one view) to probabilities.
        parameters: of the model (see COMMON in job.experiment.parameters), perhaps with augment.
        training: the rows to train on.
        validation: the rows to score, or None.
        seed: of order, augmentation and dropout; the caller seeds the initial weights.
        hooks: what to call after steps and epochs.
        snapshot: of this very training, to resume from. Its epochs are reported again, as some
            reports may not have arrived.
        fixed: variables of the net that no step changes; snapshots leave them out.
        compiled: let XLA compile the step.
        start: the first epoch and step; all numbers of epochs and steps count on from it.
        method: of the experiment (see METHODS in job.experiment.experiment); it decides which
            variables decay, and whether the validation loss is smoothed.

    Raises:
        Infeasible: a loss is not finite.
        Damaged: the snapshot is of another net.
        Exception: whatever a hook raises.
    """
    # --- the step and what it changes ---
    parameters = with_implied(parameters)
    batch = parameters["batch_size"]
    dtype = chosen_dtype(parameters["dtype"])
    steps_per_epoch = math.ceil(len(training) / batch)
    total = steps_per_epoch * parameters["epochs"]
    optimizer = build_optimizer(parameters, total, net, method)
    optimizer.build(net.trainable_variables)
    weights = class_weights(training.labels[training.rows], net.output_shape[-1], parameters)
    fixed_ids = {id(v) for v in fixed}
    changing = [v for v in net.variables if id(v) not in fixed_ids]
    averages = Averages(changing, parameters["ema"])
    scored = averaged(net, parameters)
    step = build_step(net, optimizer, parameters, weights, averages, dtype, compiled)
    read = reader(training.inputs)
    variables = changing + optimizer.variables + averages.values
    # The validation loss is smoothed like the training loss, so that one curve can show both.
    smoothing = parameters["label_smoothing"] if method >= 2 else 0.0

    # --- the start, or the snapshot ---
    state = _restore(snapshot, variables) if snapshot else _State(start.epoch, step=start.step)
    epochs = start.epoch + parameters["epochs"]
    began = state.step
    pruned_at = None
    value = None
    probabilities = None
    steps_s = 0.0
    waited_s = 0.0
    if snapshot:
        log.info("resuming from the checkpoint at step %d", state.step)
    for past in state.history:
        if hooks.report(past["epoch"], metrics_of(past), past.get("value")):
            pruned_at = past["epoch"]

    def take() -> Snapshot:
        sums = np.array(state.sums).tolist()
        arrays = [np.array(v.numpy()) for v in variables]
        return arrays, vars(state) | {"sums": sums, "history": list(state.history)}

    while state.epoch < epochs and pruned_at is None:
        # --- one epoch: its steps ---
        epoch_began_s = time.perf_counter()
        order = generator(seed, "order", state.epoch).permutation(training.rows)
        with Feed(read, order[state.batch * batch :], batch, hooks.check) as feed:
            while state.batch < steps_per_epoch:
                rows = order[state.batch * batch : (state.batch + 1) * batch]
                labels = training.labels[rows]
                state.sums = step(next(feed), labels, step_seed(seed, state.step), state.sums)
                state.batch += 1
                state.step += 1
                if state.step == began + 1:
                    log.info("training: at step %d of %d", state.step, start.step + total)
                hooks.offer(take)
                hooks.check()

        # --- one epoch: its metrics ---
        loss, hits, images = np.array(state.sums).tolist()  # waits for a GPU's last steps
        steps_s += time.perf_counter() - epoch_began_s
        waited_s += feed.waited_s
        metrics = {
            "loss": loss / images,
            "accuracy": hits / images,
            "learning_rate": float(optimizer.learning_rate),
        }
        _check_finite(loss, "loss", state.epoch, parameters)
        if validation is not None:
            if hooks.score is None:
                raise TypeError("a validation part needs hooks.score")
            with hooks.evaluating(), averages.applied():
                labels = validation.labels[validation.rows]
                probabilities = predict(scored, validation.inputs, validation.rows, hooks.check)
                metrics |= {
                    "val_loss": float(row_losses(labels, probabilities, smoothing).mean()),
                    "val_accuracy": float((probabilities.argmax(1) == labels).mean()),
                }
                _check_finite(metrics["val_loss"], "validation loss", state.epoch, parameters)
                value = hooks.score(labels, probabilities)

        # --- one epoch: its report ---
        if hooks.report(state.epoch, metrics, value):
            pruned_at = state.epoch
        shown = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items())
        log.info("epoch %d of %d: %s", state.epoch + 1, epochs, shown)
        state.history.append(history_row(state.epoch, metrics, value))
        state.epoch += 1
        state.batch = 0
        state.sums = _no_sums()

    # --- the outcome ---
    averages.settle()
    if validation is not None and probabilities is None:  # resumed after the last epoch
        with hooks.evaluating():
            probabilities = predict(scored, validation.inputs, validation.rows, hooks.check)
        value = state.history[-1]["value"]
    ended = (state.history, state.step, pruned_at, value, probabilities, dtype)
    return Outcome(*ended, steps_s=steps_s, waited_s=waited_s)


def predict(
    net: keras.Model,
    inputs: np.ndarray,
    rows: np.ndarray | None = None,
    check: Callable[[], None] = proceed,
) -> np.ndarray:
    """Return the output of a net, float32 [n, k].

    Args:
        net: inputs to k numbers.
        inputs: images, uint8, scaled to 0-1 here, or features, float32.
        rows: the n of them to use, int64; None for all.
        check: called after each batch, and while one is late; raises to stop.
    """
    parts = []
    for part in batches(net, inputs, np.arange(len(inputs)) if rows is None else rows, check):
        parts.append(part)
        check()
    return np.concatenate(parts)


def batches(
    net: keras.Model,
    inputs: np.ndarray,
    rows: np.ndarray,
    check: Callable[[], None] = proceed,
) -> Iterator[np.ndarray]:
    """Yield the output of a net batch by batch.

    A start at any multiple of PREDICT_BATCH rows gives the same bits as the whole.

    Args:
        net: inputs to k numbers.
        inputs: as of `predict`.
        rows: which of them to use, int64.
        check: called while a batch is late; raises to stop.
    """
    function = _predict_function(net, inputs)
    with Feed(partial(read_rows, inputs), rows, PREDICT_BATCH, check) as feed:
        for batch in feed:
            yield function(batch).numpy()


def _predict_function(net: keras.Model, inputs: np.ndarray):
    """Return the graph of a net's inference for any number of such inputs, traced once per net."""
    if not hasattr(net, "_job_predict"):

        def infer(x):
            return net(scale(x), training=False)

        signature = [tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)]
        net._job_predict = tf.function(infer, input_signature=signature, autograph=False)
    return net._job_predict


def _check_finite(loss: float, name: str, epoch: int, parameters: dict) -> None:
    """Raise `Infeasible` for a loss that is NaN or infinite."""
    if not math.isfinite(loss):
        raise Infeasible(
            f"{DIVERGED}: the {name} is not finite in epoch {epoch}"
            f" (learning rate {parameters['learning_rate']:g},"
            f" batch size {parameters['batch_size']})"
        )


def _restore(snapshot: Snapshot, variables: list) -> _State:
    """Assign the arrays of a snapshot to the variables, and return its state.

    Raises:
        Damaged: the shapes are those of another net.
    """
    arrays, state = snapshot
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise Damaged("its arrays do not have the shapes of this net's variables")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    restored: dict[str, Any] = {**state, "sums": np.array(state["sums"], np.float32)}
    return _State(**restored)
