"""Seeds of the random numbers of a step: a function of the task's seed and the step alone."""

from job.learning.backend import tf
from job.randomness import derive

# Each purpose has random numbers of its own. The order never changes, for the sake of the bits.
PURPOSES = (
    "partner",
    "part",
    "place",
    "method",
    "crop",
    "brightness",
    "contrast",
    "cutout",
    "view",
    "randaugment",
)


def step_seed(seed: int, step: int) -> tf.Tensor:
    """Return the seed of a step, int32 [2]."""
    return tf.constant([derive(seed, "step", step), step], tf.int32)


def reseed(seed, purpose: str):
    """Return the seed of one of the purposes in a step, int32 [2], from that of the step."""
    seeds = tf.random.stateless_uniform([len(PURPOSES), 2], seed, 0, tf.int32.max, tf.int32)
    return seeds[PURPOSES.index(purpose)]
