"""Groups of layers that the convolutional nets share."""

from job.learning.backend import keras


def convolve(x, filters: int):
    """Return a convolution by 3 x 3, without a bias, as a normalization follows."""
    return keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)


def normalize_and_activate(x):
    """Return the batch normalization of x, and ReLU of it."""
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
