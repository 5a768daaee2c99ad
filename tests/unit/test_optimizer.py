"""The optimizers of the recipe, and how their learning rate rises and falls."""

import numpy as np
import pytest

from job.experiment.parameters import with_implied
from job.learning.backend import keras, tf
from job.learning.optimizer import build_optimizer, learning_rate

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
