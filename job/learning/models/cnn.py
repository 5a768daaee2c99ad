"""The convolutional net of the original work: blocks of convolutions, then dense layers."""

from job.learning.backend import keras
from job.learning.models.layers import convolve, normalize_and_activate


def build(parameters: dict, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the net: images of 0-1 to probabilities.

    Args:
        parameters: `blocks` (each of two convolutions with batch normalization, and a pool),
            `width` (filters of the first block, doubled by each further one), `units` of the dense
            layer (0 for none) and `dropout`, 0-1.
        input_shape: of an image, (height, width, channels).
        classes: how many there are.

    Returns:
        A net from float32 [n, height, width, channels] to float32 [n, classes].
    """
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for block in range(parameters["blocks"]):
        filters = parameters["width"] * 2**block
        x = normalize_and_activate(convolve(x, filters))
        x = convolve(x, filters)
        if min(x.shape[1:3]) > 1:
            # The pool comes first, so that the normalization has a quarter of the work.
            x = keras.layers.MaxPooling2D()(x)
        x = normalize_and_activate(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if parameters["units"]:
        x = keras.layers.Dense(parameters["units"], activation="relu")(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="cnn")
