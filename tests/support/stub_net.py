"""A net that needs no TensorFlow: a linear classifier in numpy, for tests of all around a training.

`install` puts it behind the functions by which `job` builds, steps, scores and saves a net. The
loop, the checkpoints, the reports and the results are those of `job`. Tracing a real step costs a
second of a processor per attempt. A step of this one mostly waits, `STUB_STEP_S` seconds, so that
there is time to disturb it. tests/acceptance/test_resume.py and the storm disturb real nets.
"""

import io
import math
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np

MOMENTUM = 0.5


class Variable:
    """An array that a checkpoint saves and restores."""

    def __init__(self, value):
        self.value = np.asarray(value, np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.value.shape

    def numpy(self) -> np.ndarray:
        """Return the array."""
        return self.value

    def assign(self, value) -> None:
        """Replace the array."""
        self.value = np.array(value, np.float32)

    def __array__(self, *_, **__):
        return self.value


class Net:
    """A linear classifier of images: what `job` asks of a Keras model."""

    name = "linear"
    layers = ()

    def __init__(self, input_shape: tuple[int, ...], classes: int):
        # The caller has seeded numpy's own generator, as it does for Keras.
        self.kernel = Variable(np.random.normal(0, 0.01, (math.prod(input_shape), classes)))
        self.bias = Variable(np.zeros(classes))
        self.variables = self.trainable_variables = self.weights = [self.kernel, self.bias]
        self.output_shape = (None, classes)

    def count_params(self) -> int:
        """Return how many parameters there are."""
        return sum(v.value.size for v in self.variables)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the class probabilities of inputs [n, m] of 0-1, float32 [n, k]."""
        logits = x @ self.kernel.value + self.bias.value
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)


class Optimizer:
    """Gradient descent with momentum, whose state a checkpoint must have."""

    def __init__(self, rate: float):
        self.learning_rate = rate
        self.variables: list[Variable] = []

    def build(self, variables: list[Variable]) -> None:
        """Make the state for these variables."""
        self.variables = [Variable(np.zeros(v.shape)) for v in variables]

    def apply(self, gradients: list[np.ndarray], variables: list[Variable]) -> None:
        """Move the variables."""
        for gradient, variable, speed in zip(gradients, variables, self.variables, strict=True):
            speed.assign(MOMENTUM * speed.value - self.learning_rate * gradient)
            variable.assign(variable.value + speed.value)


def build(experiment, model, parameters, input_shape, classes, weights) -> Net:
    """Return a net, as `job.learning.models.build` does."""
    return Net(input_shape, classes)


def build_step(net: Net, optimizer: Optimizer, *_):
    """Return a function that trains the net on one batch, as `job.learning.step` does."""

    seconds = float(os.environ.get("STUB_STEP_S", "0.002"))

    def step(x, labels, seed, sums):
        time.sleep(seconds)
        noise = np.random.default_rng(seed).uniform(0.9, 1.1, (len(x), 1))  # an augmentation
        inputs = (flat(x) * noise).astype(np.float32)
        probabilities = net.probabilities(inputs)
        truth = np.eye(probabilities.shape[1], dtype=np.float32)[labels]
        errors = (probabilities - truth) / len(x)
        optimizer.apply([inputs.T @ errors, errors.sum(0)], net.trainable_variables)
        losses = -np.log(np.maximum((probabilities * truth).sum(1), 1e-7))
        hits = probabilities.argmax(1) == labels
        return sums + np.array([losses.sum(), hits.sum(), len(x)], np.float32)

    return step


def predict_function(keras_function: Callable, net, inputs: np.ndarray) -> Callable:
    """Return the inference of a net; a frozen base is a Keras model still."""
    if not isinstance(net, Net):
        return keras_function(net, inputs)
    return lambda x: Variable(net.probabilities(flat(x)))


def model_file(assignment, model: Net, images, stored) -> bytes:
    """Return the bytes that stand for the .keras file, which nothing can load."""
    buffer = io.BytesIO()
    np.savez(buffer, *(v.value for v in model.variables))
    return buffer.getvalue()


def flat(x: np.ndarray) -> np.ndarray:
    """Return images uint8 [n, ...] as float32 [n, m] of 0-1."""
    return x.reshape(len(x), -1).astype(np.float32) / 255


def install() -> None:
    """Let this process train such nets, and no others."""
    from threadpoolctl import threadpool_limits

    from job.learning import kernels, train
    from job.work import artifacts, training

    threadpool_limits(1)  # for so small products, threads of numpy only cost
    training.build = build
    kernels.should_compile = lambda steps, net: False
    train.build_optimizer = lambda parameters, *_: Optimizer(parameters["learning_rate"])
    train.build_step = build_step
    train.step_seed = lambda seed, step: [seed % 2**32, step]
    train._predict_function = partial(predict_function, train._predict_function)
    artifacts.model_file = model_file
