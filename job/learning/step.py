"""One training step: its loss, and the graph that runs it and the optimizer."""

from collections.abc import Callable

import numpy as np

from job.learning.augment import augment
from job.learning.averages import Averages
from job.learning.backend import keras, tf
from job.learning.draws import reseed
from job.learning.kernels import training_kernels
from job.learning.mixing import mix
from job.learning.optimizer import apply
from job.learning.views import any_view

FEATURES_OF_VIEWS = 3  # dimensions: [n, v, d]


def class_weights(labels: np.ndarray, classes: int, parameters: dict) -> np.ndarray | None:
    """Return the weight in the loss of an image of each class: n / (classes * images of the class).

    Source: scikit-learn's class_weight="balanced".

    Args:
        labels: int64 [n], of the rows trained on only, so that no split learns from another.
        classes: how many there are.
        parameters: `class_weights`: "balanced" or "none".

    Returns:
        float32 [classes], or None where all weigh the same.
    """
    if parameters["class_weights"] == "none":
        return None
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def build_step(
    net: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    parameters: dict,
    weights: np.ndarray | None,
    averages: Averages,
    dtype: str,
    compiled: bool,
) -> Callable:
    """Return a function that trains the net on one batch.

    It takes inputs, labels, a seed and sums of earlier batches. It returns these sums of loss, hits
    and images, float32 [3], plus those of the batch. The loss in them is without class weights:
    curves show it beside the validation loss.

    Args:
        net: inputs to probabilities.
        optimizer: built for the net.
        parameters: `label_smoothing`, what `mix` needs, perhaps `augment` and `base_rate`.
        weights: what `class_weights` returned.
        averages: of the net's variables.
        dtype: what `kernels.chosen_dtype` returned.
        compiled: let XLA compile all of the step but augmentation and mixing.
    """
    classes = net.output_shape[-1]
    amounts = parameters.get("augment") or {}
    smoothing = parameters["label_smoothing"]

    # One graph per shape, whatever came before: with relaxed shapes a resumed process would compute
    # other bits. One graph for all sizes would save a second tracing, but then a step too large for
    # the memory ends the process; now it is an error. Autograph would leave a file in the temporary
    # folder if the process is killed.
    @tf.function(autograph=False)
    def step(x, labels, seed, sums):
        # XLA does not support the operation of the warp, so `learn` is compiled without it.
        x = augment(x, amounts, seed) / 255.0 if amounts else scale(x)
        if x.shape.rank == FEATURES_OF_VIEWS:
            x = any_view(x, reseed(seed, "view"))
        return learn(*mix(x, tf.one_hot(labels, classes), parameters, seed), sums)

    def learn(x, truth, sums):
        with tf.GradientTape() as tape, training_kernels(net, dtype):
            probabilities = net(x, training=True)
            losses = _cross_entropy(truth, probabilities, smoothing)
            weighted = losses
            if weights is not None:
                weighted = losses * tf.linalg.matvec(truth, tf.constant(weights))
            # net.losses are a custom model's regularizers, which no curve shows.
            loss = sum(net.losses, tf.reduce_mean(weighted))
        gradients = tape.gradient(loss, net.trainable_variables)
        apply(optimizer, gradients, net, parameters.get("base_rate", 1.0))
        averages.update(optimizer.iterations)
        right = tf.argmax(probabilities, axis=1) == tf.argmax(truth, axis=1)
        hits = tf.cast(right, tf.float32)
        return sums + tf.stack(
            [tf.reduce_sum(losses), tf.reduce_sum(hits), tf.cast(tf.size(hits), tf.float32)]
        )

    if compiled:
        learn = tf.function(learn, autograph=False, jit_compile=True)
    return step


def _cross_entropy(truth, probabilities, smoothing: float) -> tf.Tensor:
    """Return the loss of each image, float32 [n]."""
    # Keras' inferred type is the union of all its backends.
    return keras.losses.categorical_crossentropy(  # pyright: ignore[reportReturnType]
        truth, probabilities, label_smoothing=smoothing
    )


def scale(x):
    """Return uint8 pixels as float32 of 0-1, and features unchanged."""
    return tf.cast(x, tf.float32) / 255.0 if x.dtype == tf.uint8 else x
