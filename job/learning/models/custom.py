"""Custom models: what a user's factory returns, checked against what every net here must be."""

from pathlib import Path

import numpy as np

from job.errors import JobError
from job.learning import custom_source
from job.learning.backend import keras
from job.sentences import show

# Keys that are ours: a factory does not get them.
OUR_KEYS = ("factory", "source")


def build(parameters: dict, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the net of a factory: images of 0-1 to probabilities.

    Args:
        parameters: of the model, with `factory`; the factory gets all but the keys that are ours.
        input_shape: of an image, (height, width, channels).
        classes: how many there are.

    Returns:
        A net from float32 [n, height, width, channels] to float32 [n, classes].

    Raises:
        Invalid: there is no such module or function, or importing the module fails.
        JobError: the function raises, or what it returns does not fit.
    """
    factory = parameters["factory"]
    function = custom_source.function(factory)
    file = custom_source.file_of(factory)
    arguments = {k: v for k, v in parameters.items() if k not in OUR_KEYS}
    call = f"{factory}({show(arguments, 300)}, {tuple(input_shape)}, {classes})"
    try:
        net = function(dict(arguments), tuple(input_shape), classes)
    except (MemoryError, JobError):
        raise
    except Exception as exc:
        raise JobError(f"{call} raised {custom_source.describe(exc, file)}") from exc
    if not isinstance(net, keras.Model):
        raise JobError(f"{call} returned {type(net).__name__}: expected a keras.Model")
    return _with_known_input(net, call, file, tuple(input_shape), classes)


def _with_known_input(
    net: keras.Model, call: str, file: Path, input_shape: tuple[int, ...], classes: int
) -> keras.Model:
    """Return the net as a model that takes exactly our images.

    Raises:
        JobError: the net does not take images, or does not return one number per class.
    """
    try:
        inputs = keras.Input(input_shape, name="image")
        outputs = net(inputs)
    except Exception as exc:
        raise JobError(
            f"{call} returned a model that does not take images"
            f" [n, {', '.join(map(str, input_shape))}]: {custom_source.describe(exc, file)}"
        ) from exc
    shape = getattr(outputs, "shape", None)
    if shape is None or tuple(shape) != (None, classes):
        returned = show(outputs) if shape is None else tuple(shape)
        raise JobError(f"{call} returned a model with output {returned}: expected [n, {classes}]")
    if _takes(net, input_shape):
        return net
    return keras.Model(inputs, outputs, name="own")


def _takes(net: keras.Model, input_shape: tuple[int, ...]) -> bool:
    """Return whether a net names one input, of this shape."""
    inputs = getattr(net, "inputs", None)
    if not inputs:
        return False
    return len(inputs) == 1 and tuple(inputs[0].shape) == (None, *input_shape)


def check_probabilities(probabilities: np.ndarray, factory: str) -> None:
    """Raise `JobError` unless every row of [n, classes] holds numbers of 0-1 that sum to 1."""
    sums = probabilities.sum(axis=1)
    valid = np.isfinite(probabilities).all() and (probabilities >= 0).all()
    if not (valid and np.allclose(sums, 1, atol=1e-3)):
        raise JobError(
            f"{factory}: its outputs are not probabilities (they range from"
            f" {probabilities.min():.3g} to {probabilities.max():.3g}, and rows sum to"
            f" {sums.min():.3g} to {sums.max():.3g}): expected a softmax at the end"
        )
