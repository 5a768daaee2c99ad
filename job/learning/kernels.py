"""How the layers of a net compute in a training step: fused kernels, bfloat16 and XLA.

The net itself stays as it is, plain layers with float32 variables. That net is scored, saved in
checkpoints and published.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

from job.learning.backend import keras, tf
from job.learning.processor import cpu_flags

BFLOAT16_CPU = {"avx512_bf16", "amx_bf16", "bf16"}  # flags in /proc/cpuinfo; the last one is Arm's
BFLOAT16_GPU = (8, 0)  # compute capability: Ampere
# The largest input of a fused layer. Without memory for its output, oneDNN's kernel ends the
# process, where Keras' own operations raise an error.
FUSED_BYTES = 1 << 30
# An estimate, not measured: compiling takes half a minute, and a step saves one or two ms.
XLA_STEPS = 20_000

T = TypeVar("T")

log = logging.getLogger(__name__)


@contextmanager
def training_kernels(net: keras.Model, dtype: str) -> Iterator[None]:
    """Let the layers of a net compute as in a training step, within the block that traces one.

    Batch normalization over images runs as one kernel per direction. As Keras writes it, each of a
    dozen operations reads and writes the whole batch. In "mixed_bfloat16" all layers but the last
    compute in bfloat16; their variables stay float32.

    Args:
        net: restored after the block, also after an error.
        dtype: what `chosen_dtype` returned.
    """
    layers = list(leaves(net))
    policies = [layer.dtype_policy for layer in layers]
    fused = [layer for layer in layers if _is_fusible(layer)]
    try:
        for layer in fused:
            layer.call = partial(_normalize, layer)
        for layer in layers[:-1]:
            if dtype != "float32":
                layer.dtype_policy = dtype
        yield
    finally:
        for layer in fused:
            del layer.call
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def leaves(net: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a network in order, including those of the models in it."""
    for layer in net.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def _is_fusible(layer: keras.layers.Layer) -> bool:
    """Return whether the fused kernel can replace a layer.

    It supports batch normalization of images with channels last, plain statistics and no mask.
    """
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.trainable
        and _of_built(layer.input_spec).ndim == 4
        and layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not layer.renorm
        and not layer.synchronized
    )


def _of_built(value: T | None) -> T:
    """Return an attribute that every built layer has.

    Raises:
        ValueError: the layer is not built.
    """
    if value is None:
        raise ValueError("a layer of batch normalization is not built")
    return value


def _normalize(layer: keras.layers.BatchNormalization, inputs, training=None, mask=None):
    """Do what BatchNormalization.call does while training, in one kernel.

    Source: Keras 3, layers/normalization/batch_normalization.py.
    """
    if not training or (inputs.shape.num_elements() or 0) * inputs.dtype.size > FUSED_BYTES:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    # Scale and offset are float32, whatever the inputs are.
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=_of_built(layer.gamma).value,
        offset=_of_built(layer.beta).value,
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The kernel divides the variance by one less than the number of values, Keras by all of them.
    values = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    population_variance = variance * ((values - 1) / values)
    _update(layer.moving_mean, mean, layer.momentum)
    _update(layer.moving_variance, population_variance, layer.momentum)
    return outputs


def _update(moving, batch, momentum: float) -> None:
    """Move a moving statistic toward that of the batch."""
    moving.assign(moving * momentum + batch * (1.0 - momentum))


@cache
def chosen_dtype(wanted: str) -> str:
    """Return the dtype a net trains in on this device, and log the reason if bfloat16 is wanted.

    Args:
        wanted: "float32" or "mixed_bfloat16". On a device without bfloat16 units that would be
            slower than float32 and no more precise.

    Returns:
        "float32" or "mixed_bfloat16".
    """
    if wanted == "float32":
        return wanted
    supported, reason = _bfloat16_support()
    chosen = wanted if supported else "float32"
    log.info("dtype: %s, because %s", chosen, reason)
    return chosen


def _bfloat16_support() -> tuple[bool, str]:
    """Return whether this device has bfloat16 units, and the fact that says so."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:  # not covered by tests: they run on CPUs
        details = tf.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
        version = ".".join(map(str, capability))
        needed = ".".join(map(str, BFLOAT16_GPU))
        return (
            capability >= BFLOAT16_GPU,
            f"the GPU's compute capability is {version} and bfloat16 needs {needed}",
        )
    flags = BFLOAT16_CPU & cpu_flags()
    if flags:
        return True, f"the processor has {', '.join(sorted(flags))}"
    return False, f"the processor has none of {', '.join(sorted(BFLOAT16_CPU))}"


def resizes_with_antialiasing(net: keras.Model) -> bool:
    """Return whether a layer of a net resizes images with antialiasing."""
    return any(
        isinstance(layer, keras.layers.Resizing) and layer.antialias for layer in leaves(net)
    )


def should_compile(expected_steps: int, net: keras.Model) -> bool:
    """Return whether XLA is to compile the step, and log the reason on a GPU.

    It is on a GPU if the training is long enough to repay the compilation. On a CPU a step compiled
    by XLA took four times as long, as its convolutions do not use oneDNN. XLA cannot shrink images
    with antialiasing: "No registered 'ScaleAndTranslate' OpKernel".
    """
    if not tf.config.list_physical_devices("GPU"):
        return False
    # Not covered by tests from here on: they run on CPUs.
    if resizes_with_antialiasing(net):
        log.info("XLA: off, because it cannot compile the way this net shrinks its images")
        return False
    pays = expected_steps >= XLA_STEPS
    log.info(
        "XLA: %s, because %d steps are expected and compiling pays from %d steps",
        "on" if pays else "off",
        expected_steps,
        XLA_STEPS,
    )
    return pays
