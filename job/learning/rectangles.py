"""Random rectangles in images, for Cutout and CutMix."""

from job.learning.backend import tf


def rectangle(images, center, half):
    """Return which pixels of each image lie in its rectangle, bool [n, height, width].

    Args:
        images: [n, height, width, channels].
        center: row and column as fractions of the image, float32 [2, n].
        half: half of each side as a fraction of the image's, float32 [n]; what lies outside of the
            image is cut off.
    """
    rows = _within(tf.shape(images)[1], center[0], half)
    columns = _within(tf.shape(images)[2], center[1], half)
    return rows[:, :, None] & columns[:, None, :]


def _within(size, center, half):
    """Return which of `size` pixels lie within an interval of 0-1, bool [n, size]."""
    size = tf.cast(size, tf.float32)
    place = (tf.range(size) + 0.5) / size
    return tf.abs(place[None] - center[:, None]) < half[:, None]
