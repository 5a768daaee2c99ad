"""The convolutional net of the original work: Conv-BN-pool blocks, then dense layers with dropout."""

from job.learning.backend import keras


def build(parameters: dict, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the net: images of 0-1, float32 [n, h, w, c], to probabilities [n, classes].

    Args:
        parameters: `blocks` (two convolutions, each with batch normalisation, and a pool), `width` (filters of
            the first block; doubles with each), `units` of the dense layer, `dropout`.
    """
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for block in range(parameters["blocks"]):
        filters = parameters["width"] * 2**block
        x = _activated(_convolution(x, filters))
        x = _convolution(x, filters)
        if min(x.shape[1:3]) > 1:
            x = keras.layers.MaxPooling2D()(
                x
            )  # before the normalisation, which then has a quarter to do
        x = _activated(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if parameters["units"]:
        x = keras.layers.Dense(parameters["units"], activation="relu")(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    return keras.Model(
        inputs,
        keras.layers.Dense(classes, activation="softmax", name="probabilities")(x),
        name="cnn",
    )


def _convolution(x, filters: int):
    return keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)


def _activated(x):
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
