"""A convolutional net whose first layer whitens the patches of its training images.

Sources: Page 2019, "How to Train Your ResNet", part 8, "Bag of Tricks", for the whitening; Jordan
2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", for whitening by a patch and its negative;
He et al. 2016, "Deep Residual Learning for Image Recognition", for its blocks.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from job.learning.backend import keras
from job.learning.interface import Examples
from job.learning.models.layers import convolve, normalize_and_activate
from job.randomness import generator

PATCH = 2  # pixels per side
# Enough for a stable covariance: 5,000 images of 32 px, or 100 of 224 px.
PIXELS = 5_000_000
BATCH = 100  # images at a time, for the memory
FLOOR = 5e-4  # added to each variance: directions of less are mostly noise
NOTHING = 1e-9  # a fraction of the largest variance; gray images have directions of less
LEAST_BLOCKS = 3
POOLED_FROM = 4  # pixels per side: a smaller map is not pooled
LARGEST_MAP = 7  # pixels per side of the last map


def build(parameters: dict, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the net: images of 0-1 to probabilities. Before training, `adapt` it.

    Args:
        parameters: `width` (filters of the first block, doubled by each further one), `dropout`,
            0-1, and perhaps `blocks`; without it, as many as `blocks_for` says.
        input_shape: of an image, (height, width, channels).
        classes: how many there are.

    Returns:
        A net from float32 [n, height, width, channels] to float32 [n, classes].
    """
    inputs = keras.Input(input_shape, name="image")
    directions = PATCH * PATCH * input_shape[-1]
    whitening = keras.layers.Conv2D(2 * directions, PATCH, use_bias=False, name="whitening")
    whitening.trainable = False
    x = whitening(inputs)
    for block in range(parameters.get("blocks") or blocks_for(input_shape)):
        filters = parameters["width"] * 2**block
        x = convolve(x, filters)
        if min(x.shape[1:3]) >= POOLED_FROM:
            # The pool comes first, so that the normalization has a quarter of the work.
            x = keras.layers.MaxPooling2D()(x)
        x = normalize_and_activate(x)
        x = keras.layers.Add()([x, normalize_and_activate(convolve(x, filters))])
    x = keras.layers.GlobalMaxPooling2D()(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    x = keras.layers.Rescaling(1 / 3)(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="whitenet")


def blocks_for(input_shape: tuple[int, ...]) -> int:
    """Return how many blocks leave a map of at most 7 pixels per side, at least 3.

    That is 3 for images of up to 64 px, 4 up to 128 px, and 5 for 224 px.

    Args:
        input_shape: of an image, (height, width, channels).
    """
    blocks = LEAST_BLOCKS
    while (max(input_shape[:2]) - PATCH + 1) >> blocks > LARGEST_MAP:
        blocks += 1
    return blocks


def adapt(net: keras.Model, training: Examples, seed: int) -> None:
    """Give the first layer its weights, from the training images of this very task.

    Args:
        net: as `build` returned it.
        training: the images, uint8, and which of them are trained on.
        seed: of the task; it decides which images are used where there are many.
    """
    layer = net.get_layer("whitening")
    filters = whitening_filters(training, seed)
    layer.set_weights([np.concatenate([filters, -filters], axis=-1).astype(np.float32)])


def whitening_filters(training: Examples, seed: int) -> np.ndarray:
    """Return filters whose answers to the training images' patches are uncorrelated.

    Their second moments are 1, less where a direction has little variance. Directions without any
    get a filter of zeros.

    Args:
        training, seed: as of `adapt`.

    Returns:
        float64 [2, 2, channels, 4 * channels], for pixels of 0-1.
    """
    height, width, channels = training.inputs.shape[1:]
    n = min(len(training), max(BATCH, PIXELS // (height * width)))
    rows = np.sort(generator(seed, "whitening").choice(training.rows, n, replace=False))
    values = PATCH * PATCH * channels
    moments = np.zeros((values, values))
    for start in range(0, n, BATCH):
        images = training.inputs[rows[start : start + BATCH]] / 255.0
        windows = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
        patches = np.moveaxis(windows, 3, 5).reshape(-1, values)
        moments += patches.T @ patches / len(patches) * len(images) / n
    variances, directions = np.linalg.eigh(moments)
    # The sign of an eigenvector is arbitrary: its largest value becomes positive.
    largest = np.abs(directions).argmax(axis=0)
    directions *= np.sign(directions[largest, np.arange(values)])
    scale = np.where(variances > NOTHING * variances[-1], 1.0, 0.0)
    scale /= np.sqrt(np.maximum(variances, 0.0) + FLOOR)
    return (directions * scale).reshape(PATCH, PATCH, channels, values)
