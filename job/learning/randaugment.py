"""RandAugment: two random operations per image, all of one strength.

Source: Cubuk et al. 2020, "RandAugment: Practical automated data augmentation with a reduced search
space". The operations are its 14; strength 1 is the end of the ranges of AutoAugment (Cubuk et al.
2019, table 6). Keras' layer of this name draws one operation for a whole batch.
"""

import numpy as np

from job.learning.backend import tf

PER_IMAGE = 2  # operations
ROTATION = np.pi / 6  # radians
SHEAR = 0.3
TRANSLATION = 150 / 331  # of height or width
BLEND = 0.9  # how far a factor goes from 1
BITS = 4  # that posterize takes of 8
LUMA = (0.299, 0.587, 0.114)
# The weights of 3 x 3 pixels that PIL's filter SMOOTH takes a mean with.
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
OPERATIONS = (
    "identity",
    "autocontrast",
    "equalize",
    "rotate",
    "solarize",
    "color",
    "posterize",
    "contrast",
    "brightness",
    "sharpness",
    "shear x",
    "shear y",
    "translate x",
    "translate y",
)


def randaugment(images, strength: float, seed):
    """Return a batch, each image changed by two operations that it draws.

    Args:
        images: float32 [n, height, width, 3], of 0-255.
        strength: of all operations, 0-1.
        seed: int32 [2]; the same seed gives the same batch.

    Returns:
        float32, same shape and scale.
    """
    n = tf.shape(images)[0]
    drawn = tf.random.stateless_uniform(tf.stack([PER_IMAGE, 2, n]), seed)
    for i in range(PER_IMAGE):
        chosen = tf.cast(drawn[i, 0] * len(OPERATIONS), tf.int32)
        direction = tf.where(drawn[i, 1] < 0.5, -1.0, 1.0)
        images = operate(images, chosen, strength * direction)
    return images


def operate(images, chosen, strength):
    """Return a batch, each image changed by one operation.

    Args:
        images: float32 [n, height, width, 3], of 0-255.
        chosen: which of OPERATIONS, int32 [n].
        strength: of each, float32 [n], from -1 to 1; those without a direction take its size.

    Returns:
        float32, same shape and scale.
    """
    factor = (1 + BLEND * strength)[:, None, None, None]
    size = tf.abs(strength)[:, None, None, None]
    gray = tf.reduce_sum(images * tf.constant(LUMA), axis=-1, keepdims=True)
    changed = {
        "autocontrast": _stretched(images),
        "equalize": _equalized(images),
        "solarize": tf.where(images < 255 * (1 - size), images, 255 - images),
        "color": gray + factor * (images - gray),
        "posterize": _posterized(images, size),
        "contrast": _blended(images, tf.reduce_mean(gray, axis=[1, 2], keepdims=True), factor),
        "brightness": images * factor,
        "sharpness": _blended(images, _smoothed(images), factor),
    }
    result = _warped(images, chosen, strength)
    for name, other in changed.items():
        is_chosen = (chosen == OPERATIONS.index(name))[:, None, None, None]
        result = tf.where(is_chosen, tf.clip_by_value(other, 0.0, 255.0), result)
    return result


def _blended(images, other, factor):
    """Return images for a factor of 1, the other ones for 0, and beyond for more."""
    return other + factor * (images - other)


def _stretched(images):
    """Return images whose channels reach from 0 to 255; one of a single value stays."""
    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    width = tf.reduce_max(images, axis=[1, 2], keepdims=True) - low
    return tf.where(width > 0, (images - low) * tf.math.divide_no_nan(255.0, width), images)


def _equalized(images):
    """Return images whose channels have every value about as often."""
    n, height, width, channels = tf.unstack(tf.shape(images))
    rows = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), tf.stack([-1, height * width]))
    values = tf.cast(rows, tf.int32)
    below = tf.cumsum(tf.math.bincount(values, minlength=256, maxlength=256, axis=-1), axis=-1)
    below = tf.cast(below, tf.float32)
    first = tf.reduce_min(tf.where(below > 0, below, np.inf), axis=-1, keepdims=True)
    places = tf.math.divide_no_nan(below - first, below[:, -1:] - first)
    equal = 255 * tf.gather(places, values, batch_dims=1)
    # A channel of a single value stays.
    equal = tf.where(below[:, -1:] > first, tf.round(equal), rows)
    shape = tf.stack([n, channels, height, width])
    return tf.transpose(tf.reshape(equal, shape), [0, 2, 3, 1])


def _posterized(images, size):
    step = 2 ** tf.round(BITS * size)
    return tf.floor(images / step) * step


def _smoothed(images):
    kernel = tf.constant(np.repeat(SMOOTH[:, :, None, None], 3, axis=2), tf.float32)
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    return tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")


def _warped(images, chosen, strength):
    """Return the images, those that drew a rotation, shear or translation resampled."""

    def amount(name: str):
        return tf.where(chosen == OPERATIONS.index(name), strength, 0.0)

    height = tf.cast(tf.shape(images)[1], tf.float32)
    width = tf.cast(tf.shape(images)[2], tf.float32)
    angle = ROTATION * amount("rotate")
    a0 = tf.cos(angle)
    a1 = SHEAR * amount("shear x") - tf.sin(angle)
    b0 = SHEAR * amount("shear y") + tf.sin(angle)
    # About the center.
    cx = (width - 1) / 2
    cy = (height - 1) / 2
    a2 = cx - a0 * cx - a1 * cy + TRANSLATION * width * amount("translate x")
    b2 = cy - b0 * cx - a0 * cy + TRANSLATION * height * amount("translate y")
    zero = tf.zeros_like(angle)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a0, a1, a2, b0, a0, b2, zero, zero], axis=1),
        output_shape=tf.shape(images)[1:3],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )
