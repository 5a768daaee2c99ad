"""Moving averages of a net's weights, which are scored and published in their place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from job.learning.backend import keras, tf


class Averages:
    """The moving average of each floating-point variable, batch statistics among them.

    The decay of a step is min(decay, (1 + step) / (10 + step)), so that the first averages are not
    those of the initial weights.
    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; the
    rising decay is that of TensorFlow's ExponentialMovingAverage.

    Attributes:
        decay: 0-1, per step; 0 for no averages at all.
        values: the averages, for checkpoints.
    """

    def __init__(self, variables: Sequence[keras.Variable], decay: float):
        averaged = [v for v in variables if decay and "float" in str(v.dtype)]
        self._variables = averaged
        self.decay = decay
        self.values = [keras.Variable(v, trainable=False, dtype=v.dtype) for v in averaged]

    def update(self, step: keras.Variable) -> None:
        """Move the averages toward the variables, after this many steps, within the graph."""
        if not self.values:
            return
        done = tf.cast(step.value, tf.float32)
        decay = tf.minimum(self.decay, (1 + done) / (10 + done))
        for average, variable in zip(self.values, self._variables, strict=True):
            average.assign(average.value + (variable.value - average.value) * (1 - decay))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the variables their averages within a block."""
        kept = [tf.identity(v.value) for v in self._variables]
        self.settle()
        try:
            yield
        finally:
            for variable, value in zip(self._variables, kept, strict=True):
                variable.assign(value)

    def settle(self) -> None:
        """Give the variables their averages for good."""
        for variable, average in zip(self._variables, self.values, strict=True):
            variable.assign(average.value)
