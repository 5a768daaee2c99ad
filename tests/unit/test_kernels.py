"""How a step computes: faster kernels and bfloat16 change the rounding, not the net."""

import logging

import numpy as np
import pytest

from job.experiment.experiment import NEWEST
from job.learning import kernels
from job.learning.backend import keras, tf
from job.learning.kernels import leaves, training_kernels
from job.learning.models import cnn
from job.learning.train import Examples, Hooks, train

pytestmark = pytest.mark.slow
SHAPE = {"blocks": 2, "width": 8, "units": 16, "dropout": 0.0}
PARAMETERS = SHAPE | {
    "learning_rate": 0.003,
    "batch_size": 32,
    "epochs": 2,
    "schedule": "cosine",
    "weight_decay": 0.01,
    "label_smoothing": 0.0,
    "augment": {"shift": 0.1, "flip": True, "rotation": 15, "zoom": 0.1, "shear": 0.1},
}
IMAGES = np.random.default_rng(0).uniform(0, 1, (32, 16, 16, 3)).astype(np.float32)


def net_of(seed=3):
    """Return a small net with weights drawn by a seed."""
    keras.utils.set_random_seed(seed)
    return cnn.build(SHAPE, (16, 16, 3), 10)


def gradients(net):
    """Return probabilities, gradients and moving statistics of one step without an optimizer."""
    with tf.GradientTape() as tape:
        probabilities = net(IMAGES, training=True)
        loss = tf.reduce_mean(probabilities[:, 0] ** 2)
    found = tape.gradient(loss, net.trainable_variables)
    return [np.asarray(a) for a in (probabilities, *found, *net.non_trainable_variables)]


def train_net(compiled=False, **parameters):
    """Train a small net on colors; return it and its outcome."""
    labels = np.arange(160) % 10
    colors = (labels * 25).astype(np.uint8)
    images = np.zeros((160, 16, 16, 3), np.uint8) + colors[:, None, None, None]
    net = net_of()
    examples = Examples(images, labels, np.arange(160))
    hooks = Hooks(score=lambda labels, p: float((p.argmax(1) == labels).mean()))
    parameters = PARAMETERS | parameters
    options = {"compiled": compiled, "method": NEWEST}
    return net, train(net, parameters, examples, examples, 1, hooks, **options)


def test_one_kernel_does_what_keras_does():
    """Outputs, gradients and moving statistics of a step are Keras' own except for rounding."""
    plain = gradients(net_of())
    net = net_of()
    with training_kernels(net, "float32"):
        ours = gradients(net)
    assert len(plain) == len(ours)
    for a, b in zip(plain, ours, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_net_stays_plain(dtype):
    """After a step a net saves, predicts and counts as one that never trained this way."""
    net = net_of()
    before = (net.to_json(), np.asarray(net(IMAGES, training=False)).tobytes())
    with pytest.raises(ZeroDivisionError), training_kernels(net, dtype):
        calls = [vars(layer).get("call") for layer in leaves(net)]
        assert calls.count(None) == len(calls) - 4
        raise ZeroDivisionError
    assert (net.to_json(), np.asarray(net(IMAGES, training=False)).tobytes()) == before
    assert not any("call" in vars(layer) for layer in leaves(net))


def test_other_normalizations_stay_as_they_are():
    """Normalizations of vectors, without a scale, frozen or of another axis are left to Keras."""
    layers = [
        keras.layers.BatchNormalization(scale=False),
        keras.layers.BatchNormalization(trainable=False),
        keras.layers.BatchNormalization(axis=1),
        keras.layers.Flatten(),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(2),
    ]
    net = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    with training_kernels(net, "float32"):
        assert not any("call" in vars(layer) for layer in net.layers)


def test_bfloat16_keeps_float32_variables(monkeypatch):
    """All layers but the last compute in bfloat16, variables are float32, and the net learns."""
    monkeypatch.setattr(kernels, "cpu_flags", lambda: {"avx512_bf16"})
    kernels.chosen_dtype.cache_clear()
    seen = {}

    def call(self, x):
        seen.setdefault(self.name, x.dtype)
        return tf.nn.relu(x)

    monkeypatch.setattr(keras.layers.ReLU, "call", call)
    net, outcome = train_net(dtype="mixed_bfloat16", epochs=6)
    kernels.chosen_dtype.cache_clear()
    assert tf.bfloat16 in seen.values()
    assert {v.dtype for v in net.variables if "seed" not in v.path} == {"float32"}
    assert outcome.probabilities.dtype == np.float32
    assert np.allclose(outcome.probabilities.sum(1), 1, atol=1e-5)
    assert outcome.history[-1]["loss"] < outcome.history[0]["loss"]


@pytest.mark.parametrize(
    ("flags", "chosen"), [({"avx512_bf16", "fma"}, "mixed_bfloat16"), ({"fma"}, "float32")]
)
def test_bfloat16_where_the_device_has_it(flags, chosen, monkeypatch, caplog):
    """On a processor without bfloat16 units a net trains in float32, and the log says why."""
    monkeypatch.setattr(kernels, "cpu_flags", lambda: flags)
    kernels.chosen_dtype.cache_clear()
    with caplog.at_level(logging.INFO):
        assert kernels.chosen_dtype("mixed_bfloat16") == chosen
    kernels.chosen_dtype.cache_clear()
    (record,) = caplog.records
    assert record.getMessage().partition(", because")[0] == f"dtype: {chosen}"


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_xla_compiles_a_whole_step(dtype):
    """XLA compiles a whole step in either dtype; the numbers are the same except for rounding."""
    _, plain = train_net(dtype=dtype, epochs=1)
    _, ours = train_net(compiled=True, dtype=dtype, epochs=1)
    assert ours.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], rel=0.05)


def test_xla_is_kept_from_what_it_cannot_compile():
    """A net that shrinks images with antialiasing trains without XLA, which cannot compile it.

    That is known before the training, and bfloat16 works too.
    """
    images = np.random.default_rng(0).integers(0, 255, (8, 12, 12, 3), np.uint8)
    examples = Examples(images, np.arange(8) % 3, np.arange(8))
    hooks = Hooks(score=lambda *_: 0.0)
    for antialias in (False, True):
        layers = [
            keras.layers.Resizing(8, 8, antialias=antialias),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax"),
        ]
        net = keras.Sequential([keras.Input((12, 12, 3)), *layers])
        assert kernels.resizes_with_antialiasing(net) == antialias
    with training_kernels(net, "mixed_bfloat16"):
        assert np.isfinite(np.asarray(net(images / np.float32(255)))).all()
    train(net, PARAMETERS, examples, examples, 1, hooks, method=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="ScaleAndTranslate"):
        train(net, PARAMETERS, examples, examples, 1, hooks, compiled=True, method=2)


def test_no_xla_on_a_cpu():
    """XLA is not used on a CPU, where it makes convolutions slower, however long the training."""
    assert not kernels.should_compile(10**9, cnn.build(SHAPE, (16, 16, 3), 10))
