"""The optimizers of the recipe, and how their learning rate rises and falls."""

import numpy as np
import pytest

from job.experiment.parameters import with_implied
from job.learning.backend import keras, tf
from job.learning.models import transfer
from job.learning.optimizer import apply, build_optimizer, learning_rate

pytestmark = pytest.mark.slow
RECIPE = {"learning_rate": 0.1, "schedule": "constant", "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1, 1, 1, 1, 1, 1]),
        ("linear", 0.0, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ("constant", 0.4, [0.5, 1, 1, 1, 1, 1]),
        ("linear", 0.4, [0.5, 1, 1, 3 / 4, 2 / 4, 1 / 4]),
        ("cosine", 0.4, [0.5, 1, 1, *((1 + np.cos(np.pi * np.arange(1, 4) / 4)) / 2)]),
        ("linear", 0.01, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),  # not a step long
    ],
)
def test_the_rate_of_each_step(schedule, warmup, expected):
    """The rate rises in the first steps, and the schedule begins at its highest value."""
    parameters = RECIPE | {"schedule": schedule, "warmup": warmup}
    rate = learning_rate(with_implied(parameters), 6)
    rates = [float(rate(tf.constant(i))) if callable(rate) else rate for i in range(6)]
    assert rates == pytest.approx([0.1 * e for e in expected])


def moved(parameters: dict, gradients: list[float]) -> float:
    """Return how far one weight of 1, of two equal ones, goes by these gradients in turn."""
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    optimizer = build_optimizer(with_implied(RECIPE | parameters), 10, net, 2)
    kernel = net.trainable_variables[0]
    kernel.assign(tf.ones_like(kernel))
    for gradient in gradients:
        optimizer.apply([tf.fill(kernel.shape, gradient)], [kernel])
    return 1 - float(np.asarray(kernel)[0, 0])


@pytest.mark.parametrize(
    ("parameters", "gradients", "expected"),
    [
        ({"optimizer": "adam"}, [2.0], 0.1),
        ({"optimizer": "adamw"}, [2.0], 0.1),
        ({"optimizer": "sgd", "momentum": 0.0}, [2.0], 0.2),
        # Nesterov: v = 0.5 v - 0.1 g, and the weight goes by 0.5 v - 0.1 g.
        ({"optimizer": "sgd", "momentum": 0.5}, [2.0], 0.3),
        ({"optimizer": "sgd", "momentum": 0.5}, [2.0, 2.0], 0.3 + 0.35),
        # Two gradients of 3 have a norm of 3 * sqrt(2).
        ({"optimizer": "sgd", "momentum": 0.0, "clip_norm": 1.0}, [3.0], 0.1 / np.sqrt(2)),
        ({"optimizer": "sgd", "momentum": 0.0, "clip_norm": 9.0}, [3.0], 0.3),
        ({"optimizer": "adam", "weight_decay": 0.5}, [0.0], 0.1 * 0.5),
        ({"optimizer": "adamw", "weight_decay": 0.5}, [0.0], 0.1 * 0.5),
        ({"optimizer": "sgd", "weight_decay": 0.5}, [0.0], 0.1 * 0.5),
    ],
)
def test_a_step_of_each_optimizer(parameters, gradients, expected):
    """A weight moves by the formula of its optimizer; decay is by learning rate x weight_decay."""
    assert moved(parameters, gradients) == pytest.approx(expected, rel=1e-5)


def test_muon_makes_updates_of_kernels_orthogonal():
    """The update of a kernel, as a matrix, has nearly equal singular values, of Adam's size.

    Biases and the output layer get Adam.
    """
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(16, 3), keras.layers.Flatten()]
    net = keras.Sequential([*layers, keras.layers.Dense(4)])
    kernel, bias, last, _ = net.trainable_variables
    before = {v.path: np.array(v.numpy()) for v in net.trainable_variables}
    parameters = RECIPE | {"optimizer": "muon", "weight_decay": 0.0}
    optimizer = build_optimizer(with_implied(parameters), 10, net, 2)
    rng = np.random.default_rng(0)
    gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in net.trainable_variables]
    optimizer.apply(gradients, net.trainable_variables)

    def update(variable) -> np.ndarray:
        return (before[variable.path] - variable.numpy()) / RECIPE["learning_rate"]

    sizes = np.linalg.svd(update(kernel).reshape(27, 16), compute_uv=False) / (0.2 * np.sqrt(27))
    assert 0.6 < sizes.min() < sizes.max() < 1.3
    assert np.abs(update(bias)) == pytest.approx(1, abs=0.01)
    assert np.abs(update(last)) == pytest.approx(1, abs=0.01)


def test_a_base_moves_less_than_its_head():
    """With `base_rate` a variable of the base changes by that fraction, decay included."""
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    inputs = keras.Input((3,))
    bottom = keras.Model(inputs, network(inputs), name="bottom")
    features = keras.Input((4,))
    head = keras.Model(features, keras.layers.Dense(2)(features), name="head")
    net = transfer.join(bottom, head)
    parameters = with_implied(RECIPE | {"weight_decay": 0.5})
    changes = {}
    start = [np.asarray(v.value) for v in net.variables]
    for rate in (1.0, 0.1):
        for variable, value in zip(net.variables, start, strict=True):
            variable.assign(value)
        optimizer = build_optimizer(parameters, 10, net, 2)
        gradients = [tf.ones_like(v) for v in net.trainable_variables]
        apply(optimizer, gradients, net, rate)
        now = [np.asarray(v.value) for v in net.variables]
        changes[rate] = [b - a for a, b in zip(start, now, strict=True)]
    for i, share in enumerate((0.1, 0.1, 1, 1)):
        assert changes[0.1][i] == pytest.approx(share * changes[1.0][i], abs=1e-6)
