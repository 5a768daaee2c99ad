"""How a net's layers compute in a training step: in one kernel where Keras takes many, in bfloat16 where asked, by XLA where it pays.

The net itself stays as it is, plain layers on float32 variables: that is what is scored, checkpointed and published.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from job.learning.backend import keras, tf

BFLOAT16_CPU = {"avx512_bf16", "amx_bf16", "bf16"}  # flags in /proc/cpuinfo; the last one is Arm's
BFLOAT16_GPU = (8, 0)  # compute capability: Ampere
FUSED_BYTES = (
    1 << 30
)  # of a layer's input; oneDNN's kernel ends the process when there is no memory for its output, Keras' way is an error
XLA_STEPS = (
    20_000  # by estimate, not run here: half a minute to compile, one or two ms saved a step
)

log = logging.getLogger(__name__)


@contextmanager
def training_kernels(net: keras.Model, dtype: str) -> Iterator[None]:
    """Within the block, in which a step is traced, let the layers of a net compute as a step does.

    Batch normalisation over images runs as one kernel each way: as Keras writes it, its dozen operations read and write the
    whole batch each. In "mixed_bfloat16" all layers but the last compute in bfloat16; their variables stay float32.

    Args: dtype: what `chosen_dtype` returned.
    """
    layers = list(leaves(net))
    policies = [layer.dtype_policy for layer in layers]
    fused = [layer for layer in layers if _fusible(layer)]
    try:
        for layer in fused:
            layer.call = partial(_normalise, layer)
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
    """Yield the layers of a network in order, those of models in it too."""
    for layer in net.layers:
        yield from leaves(layer) if isinstance(layer, keras.Model) else (layer,)


def _fusible(layer: keras.layers.Layer) -> bool:
    """Tell whether the kernel does what a layer does: it knows images with channels last, plain statistics, and no mask."""
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.trainable
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not layer.renorm
        and not layer.synchronized
    )


def _normalise(layer: keras.layers.BatchNormalization, inputs, training=None, mask=None):
    """Do what BatchNormalization.call does while training. Source: keras 3, layers/normalization/batch_normalization.py."""
    if not training or (inputs.shape.num_elements() or 0) * inputs.dtype.size > FUSED_BYTES:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    gamma, beta = layer.gamma.value, layer.beta.value  # float32, whatever the inputs are
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=gamma,
        offset=beta,
        mean=[],
        variance=[],
        epsilon=layer.epsilon,
        is_training=True,
    )
    values = tf.cast(
        tf.size(inputs) // inputs.shape[-1], tf.float32
    )  # the kernel divides by one less than there are; Keras by all
    for moving, now in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance * ((values - 1) / values)),
    ):
        moving.assign(moving * layer.momentum + now * (1.0 - layer.momentum))
    return outputs


@cache
def chosen_dtype(wanted: str) -> str:
    """Return in what a net trains on this device, "float32" or "mixed_bfloat16", and log why if that was asked for.

    Args: wanted: one of the two; bfloat16 without units for it would be slower than float32, and no more precise.
    """
    if wanted == "float32":
        return wanted
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:  # not run here
        capability = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        has, why = (
            capability >= BFLOAT16_GPU,
            f"the GPU's compute capability is {'.'.join(map(str, capability))}, 8.0 has it",
        )
    else:
        flags = BFLOAT16_CPU & cpu_flags()
        has, why = (
            bool(flags),
            f"the processor has {', '.join(sorted(flags)) or 'none of ' + ', '.join(sorted(BFLOAT16_CPU))}",
        )
    chosen = wanted if has else "float32"
    log.info("dtype: %s, because %s", chosen, why)
    return chosen


def antialiases(net: keras.Model) -> bool:
    """Tell whether a layer of a net resizes images with antialiasing."""
    return any(
        isinstance(layer, keras.layers.Resizing) and layer.antialias for layer in leaves(net)
    )


def cpu_flags() -> set[str]:
    """Return the features of this processor, empty where Linux does not tell."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next(
        (
            set(line.partition(":")[2].split())
            for line in lines
            if line.startswith(("flags", "Features"))
        ),
        set(),
    )


def compiles(expected_steps: int, net: keras.Model) -> bool:
    """Tell whether XLA compiles the step, and log why: on a GPU, of a training long enough to earn back the compiling.

    On a CPU a step by XLA took four times as long (convolutions without oneDNN). Shrinking with antialiasing it refuses: "No
    registered 'ScaleAndTranslate' OpKernel".
    """
    if not tf.config.list_physical_devices("GPU"):
        return False
    if antialiases(net):  # not run here
        log.info("XLA: off, because it cannot compile how this net shrinks its images")
        return False
    pays = expected_steps >= XLA_STEPS  # not run here
    log.info(
        "XLA: %s, because %d steps are expected and it pays from %d on",
        "on" if pays else "off",
        expected_steps,
        XLA_STEPS,
    )
    return pays
