"""The one training loop: a fixed number of epochs, resumable at any step, bit for bit.

Knows nets and snapshots; not Optuna, S3, signals or Slurm. Every random number is a function
of the seed, the epoch and the step; what has a state of its own (dropout's counter) is in the checkpoint.
"""

import logging
import math
import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from job.errors import Diverged
from job.learning.augment import warp
from job.learning.backend import keras, tf
from job.learning.checkpoint import Damaged, Snapshot
from job.learning.evaluate import row_losses
from job.learning.kernels import chosen_dtype, training_kernels
from job.randomness import derive, generator

PREDICT_BATCH = 256
MAPPED_BYTES = 1 << 26  # of a mapped file that may stay in this process's memory as it is read

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examples:
    """What a net sees: images (uint8) or features (float32), [n, ...], maybe mapped; labels int64 [n]."""

    inputs: np.ndarray
    labels: np.ndarray
    rows: np.ndarray  # which of them, int64

    def __len__(self) -> int:
        return len(self.rows)


@dataclass
class Hooks:
    """What the loop tells the world, and asks it."""

    offer: Callable[[Callable[[], Snapshot]], None] = lambda take: (
        None
    )  # after each step: how to take a snapshot, now or later
    check: Callable[[], None] = lambda: None  # after that; raises to stop between two steps
    report: Callable[[int, dict, float | None], bool] = lambda epoch, metrics, value: (
        False
    )  # tells whether to prune
    score: Callable[[np.ndarray, np.ndarray], float] | None = None  # labels, probabilities -> value


@dataclass
class Outcome:
    """How a training ended: complete unless `pruned_at` names the epoch (from 0) it was pruned after."""

    history: list[dict]
    step: int
    pruned_at: int | None = None
    value: float | None = None
    probabilities: np.ndarray | None = None  # of the validation rows, after the last epoch
    evaluate_s: float = 0.0
    dtype: str = "float32"  # what the steps computed in


@dataclass
class _State:
    """Where a training is: all that is not in the net's and the optimizer's variables."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: np.ndarray | tf.Tensor = field(
        default_factory=lambda: np.zeros(3, np.float32)
    )  # loss, hits, images of this epoch
    history: list[dict] = field(default_factory=list)


def set_up(threads: int) -> None:
    """Fix what changes the bits: the number of intra-op threads. To be called before any operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def out_of_memory(exc: Exception) -> bool:
    """Tell whether TensorFlow found no memory. Of a constant in a graph it then says that it cannot be parsed, which nothing else makes of ours."""
    unparsed = isinstance(
        exc, tf.errors.InvalidArgumentError
    ) and "Cannot parse tensor from proto" in str(exc)
    return unparsed or isinstance(exc, tf.errors.ResourceExhaustedError)


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
    *,
    method: int,
) -> Outcome:
    """Train `parameters["epochs"]` epochs under one schedule; score the validation rows after each.

    Args:
        net: inputs (images of 0-1, or features) to probabilities.
        parameters: learning_rate, batch_size, epochs, schedule, weight_decay, label_smoothing, and perhaps augment, class_weights and dtype.
        seed: of order, augmentation and dropout; initial weights are the caller's.
        snapshot: of this very training, to go on from. Its epochs are reported again, for those that did not arrive.
        fixed: variables of the net that no step changes: they stay out of snapshots.
        compiled: let XLA compile the step.
        method: the experiment's, see job.experiment.experiment.METHODS: what weight decay leaves out, and which validation loss is told.

    Raises: Diverged when the loss is not finite; Damaged when the snapshot is another net's; what `hooks.check` raises.
    """
    batch, dtype = parameters["batch_size"], chosen_dtype(parameters.get("dtype", "float32"))
    steps_per_epoch = math.ceil(len(training) / batch)
    optimizer = _optimizer(parameters, steps_per_epoch * parameters["epochs"], net, method)
    optimizer.build(net.trainable_variables)
    weights = class_weights(training, net.output_shape[-1], parameters)
    step = _step_function(net, optimizer, parameters, weights, dtype, compiled)
    smoothing = (
        parameters["label_smoothing"] if method >= 2 else 0.0
    )  # so that both losses of a picture are of one kind
    kept = {id(v) for v in fixed}
    variables = [v for v in net.variables if id(v) not in kept] + optimizer.variables
    state = _restore(snapshot, variables) if snapshot else _State()
    total, began, pruned_at = steps_per_epoch * parameters["epochs"], state.step, None
    evaluate_s, value, probabilities = 0.0, None, None
    if snapshot:
        log.info("going on from the checkpoint at step %d", state.step)
    for past in state.history:
        metrics = {k: v for k, v in past.items() if k not in ("epoch", "value")}
        if hooks.report(past["epoch"], metrics, past.get("value")):
            pruned_at = past["epoch"]

    def take() -> Snapshot:
        sums = np.array(state.sums).tolist()
        return [np.array(v.numpy()) for v in variables], state.__dict__ | {
            "sums": sums,
            "history": list(state.history),
        }

    while state.epoch < parameters["epochs"] and pruned_at is None:
        order = generator(seed, "order", state.epoch).permutation(training.rows)
        while state.batch < steps_per_epoch:
            rows = order[state.batch * batch : (state.batch + 1) * batch]
            state.sums = step(
                taken(training.inputs, rows),
                training.labels[rows],
                _step_seed(seed, state.step),
                state.sums,
            )
            state.batch, state.step = state.batch + 1, state.step + 1
            if state.step == began + 1:
                log.info("training: at step %d of %d", state.step, total)
            hooks.offer(take)
            hooks.check()
        loss, hits, images = np.array(state.sums).tolist()
        metrics = {
            "loss": loss / images,
            "accuracy": hits / images,
            "learning_rate": float(optimizer.learning_rate),
        }
        _check_finite(loss, "loss", state.epoch, parameters)
        if validation is not None:
            started = time.monotonic()
            labels = validation.labels[validation.rows]
            probabilities = predict(net, validation.inputs, validation.rows, hooks.check)
            metrics |= {
                "val_loss": float(row_losses(labels, probabilities, smoothing).mean()),
                "val_accuracy": float((probabilities.argmax(1) == labels).mean()),
            }
            _check_finite(metrics["val_loss"], "validation loss", state.epoch, parameters)
            value = hooks.score(labels, probabilities)
            evaluate_s += time.monotonic() - started
        if hooks.report(state.epoch, metrics, value):
            pruned_at = state.epoch
        log.info(
            "epoch %d of %d: %s",
            state.epoch + 1,
            parameters["epochs"],
            ", ".join(f"{k} {v:.4g}" for k, v in metrics.items()),
        )
        state.history.append(
            {"epoch": state.epoch, **metrics, **({} if value is None else {"value": value})}
        )
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, np.zeros(3, np.float32)
    log.info("training: over at step %d%s", state.step, "" if pruned_at is None else ", pruned")
    if validation is not None and probabilities is None:  # resumed behind the last epoch
        probabilities = predict(net, validation.inputs, validation.rows, hooks.check)
        value = state.history[-1]["value"]
    return Outcome(state.history, state.step, pruned_at, value, probabilities, evaluate_s, dtype)


def predict(
    net: keras.Model,
    inputs: np.ndarray,
    rows: np.ndarray | None = None,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Return the net's output for rows of images (uint8, scaled to 0-1 here) or features, float32 [n, k]."""
    parts = []
    for part in batches(net, inputs, np.arange(len(inputs)) if rows is None else rows):
        parts.append(part)
        check()
    return np.concatenate(parts)


def batches(net: keras.Model, inputs: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the net's output batch by batch; from any multiple of PREDICT_BATCH on, the bits are those of the whole."""
    function = _predict_function(net, inputs)
    for start in range(0, len(rows), PREDICT_BATCH):
        yield function(taken(inputs, rows[start : start + PREDICT_BATCH])).numpy()


def taken(inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows of inputs. The pages of a large mapped file go back at once to the node's cache, where all its tasks have them.

    Without that each task would seem to need the whole file: Slurm counts what is mapped as the task's memory.
    """
    found = inputs[rows]
    if isinstance(inputs, np.memmap) and inputs.nbytes > MAPPED_BYTES:
        inputs._mmap.madvise(mmap.MADV_DONTNEED)
    return found


def _predict_function(net: keras.Model, inputs: np.ndarray):
    if not hasattr(net, "_job_predict"):
        net._job_predict = tf.function(
            lambda x: net(_scaled(x), training=False),
            input_signature=[_spec(inputs)],
            autograph=False,
        )
    return net._job_predict


def _spec(inputs: np.ndarray) -> tf.TensorSpec:
    """Return what a graph is to take: any number of such inputs."""
    return tf.TensorSpec((None, *inputs.shape[1:]), inputs.dtype)


def _scaled(x):
    """Pixels become 0-1; features stay as they are."""
    return tf.cast(x, tf.float32) / 255.0 if x.dtype == tf.uint8 else x


def class_weights(training: Examples, classes: int, parameters: dict) -> np.ndarray | None:
    """Return what an image of each class weighs in the loss, float32 [k], n / (k * images of the class); None: all the same.

    Of the rows trained on only, so that no split learns from another. Source: scikit-learn's class_weight="balanced".
    """
    if parameters.get("class_weights", "none") == "none":
        return None
    counts = np.bincount(training.labels[training.rows], minlength=classes)
    return (len(training) / (classes * np.maximum(counts, 1))).astype(np.float32)


def _step_function(
    net: keras.Model,
    optimizer,
    parameters: dict,
    weights: np.ndarray | None,
    dtype: str,
    compiled: bool,
):
    """Return the compiled step: inputs, labels, seed, sums -> the sums of loss, hits and images with the batch's.

    The loss returned is without the weights of classes: it stands beside the validation loss in one picture.
    """
    classes, amounts, smoothing = (
        net.output_shape[-1],
        parameters.get("augment") or {},
        parameters["label_smoothing"],
    )

    # One graph a shape, whatever came before: a relaxed shape would give a resumed process other bits. One graph for all sizes would
    # save a second tracing, but a step too large for the memory then ends the process, where now it is an error.
    @tf.function(autograph=False)  # autograph leaves a file in the temporary folder when killed
    def step(x, labels, seed, sums):
        return learn(
            warp(x, amounts, seed) / 255.0 if amounts else _scaled(x), labels, sums
        )  # XLA does not know the warp

    def learn(x, labels, sums):
        truth = tf.one_hot(labels, classes)
        with tf.GradientTape() as tape, training_kernels(net, dtype):
            probabilities = net(x, training=True)
            losses = keras.losses.categorical_crossentropy(
                truth, probabilities, label_smoothing=smoothing
            )
            weighted = (
                losses if weights is None else losses * tf.gather(tf.constant(weights), labels)
            )
            loss = sum(
                net.losses, tf.reduce_mean(weighted)
            )  # of an own model's regularisers, which no curve shows
        optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        hits = tf.cast(tf.argmax(probabilities, axis=1) == labels, tf.float32)
        return sums + tf.stack(
            [tf.reduce_sum(losses), tf.reduce_sum(hits), tf.cast(tf.size(labels), tf.float32)]
        )

    if compiled:
        learn = tf.function(learn, autograph=False, jit_compile=True)
    return step


def _check_finite(loss: float, name: str, epoch: int, parameters: dict) -> None:
    """Raise `Diverged` for a loss that is no number or infinite."""
    if not math.isfinite(loss):
        raise Diverged(
            f"the {name} is not finite in epoch {epoch} (learning rate {parameters['learning_rate']:g}, batch size {parameters['batch_size']})"
        )


def _optimizer(
    parameters: dict, total_steps: int, net: keras.Model, method: int
) -> keras.optimizers.Optimizer:
    """Return Adam, or with weight decay AdamW, which decays kernels and embeddings only: no biases, and no scale or shift of a normalisation.

    Those are the variables of rank 0 and 1, whatever their names, also of a model of one's own. By method 1 all decay.
    Source: He et al. 2019, "Bag of Tricks for Image Classification", 3.1, "no bias decay".
    """
    rate = parameters["learning_rate"]
    if parameters["schedule"] == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, total_steps)
    if parameters["weight_decay"]:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=parameters["weight_decay"])
        if method >= 2:
            optimizer.exclude_from_weight_decay(
                var_list=[v for v in net.trainable_variables if len(v.shape) < 2]
            )
        return optimizer
    return keras.optimizers.Adam(rate)


def _step_seed(seed: int, step: int):
    return tf.constant([derive(seed, "step", step), step], tf.int32)


def _restore(snapshot: Snapshot, variables: list) -> _State:
    arrays, state = snapshot
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise Damaged("its arrays are not this net's")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return _State(**state | {"sums": np.array(state["sums"], np.float32)})
