"""Where the batches of a training come from: its part in the GPU's memory, or in the node's."""

import logging
from collections.abc import Callable
from functools import partial

import numpy as np

from job.learning.backend import tf
from job.mapped import read_rows

# An eighth of a GPU of 8 GB: the net has the rest. TensorFlow has no public way to the size of a
# GPU's memory.
MOST_BYTES = 1 << 30

log = logging.getLogger(__name__)


def reader(inputs: np.ndarray) -> Callable[[np.ndarray], np.ndarray | tf.Tensor]:
    """Return a function from rows, int64 [n], to their inputs, of the dtype of `inputs`.

    On a GPU a part that `fits` is copied to its memory once, and its rows are gathered there. The
    decision and its reason are logged. This was not run on a GPU: by design.

    Args:
        inputs: [m, ...], in memory or mapped.
    """
    if not tf.config.list_physical_devices("GPU"):
        return partial(read_rows, inputs)
    # Not covered by tests from here on: they run on CPUs.
    stays, reason = fits(inputs.nbytes)
    read = partial(read_rows, inputs)
    if stays:
        try:
            read = gather_on("GPU:0", inputs)
        except tf.errors.OpError as exc:
            stays, reason = False, f"it cannot be gathered there: {type(exc).__name__}"
    place = "the GPU's memory" if stays else "the node's memory"
    log.info("training part: read from %s, because %s", place, reason)
    return read


def fits(part_bytes: int) -> tuple[bool, str]:
    """Return whether a part stays in the GPU's memory, and the fact that says so."""
    size = part_bytes / (1 << 20)
    return part_bytes <= MOST_BYTES, f"it has {size:,.0f} MiB and {MOST_BYTES >> 20:,} MiB may stay"


def gather_on(device: str, inputs: np.ndarray) -> Callable[[np.ndarray], tf.Tensor]:
    """Copy a part to a device, and return a function that gathers rows of it there.

    Raises:
        tf.errors.OpError: the device lacks the memory, or gathers no rows of this dtype.
    """

    def gather(rows: np.ndarray) -> tf.Tensor:
        with tf.device(device):
            return tf.gather(part, rows)

    with tf.device(device):
        part = tf.identity(inputs)
    # Where a device lacks an operation, TensorFlow copies the whole part back for each batch.
    used = gather(np.zeros(1, np.int64)).device
    if not used.endswith(device):
        raise tf.errors.UnimplementedError(None, None, f"rows are gathered on {used}")
    return gather
