"""A user's own model: what their factory returns, held to what every net here is."""

import numpy as np

from job.errors import JobError
from job.learning import custom_source
from job.learning.backend import keras
from job.sentences import show

NOT_THEIRS = ("factory", "source")


def build(parameters: dict, input_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Return the net of a factory: images of 0-1, float32 [n, h, w, c], to probabilities [n, classes].

    Raises: Invalid for a module or function that is not there or was changed; JobError for what the function raises or returns.
    """
    factory = parameters["factory"]
    function, file = custom_source.function(factory), custom_source.file_of(factory)
    given = {k: v for k, v in parameters.items() if k not in NOT_THEIRS}
    called = f"{factory}({show(given, 300)}, {tuple(input_shape)}, {classes})"
    try:
        net = function(dict(given), tuple(input_shape), classes)
    except (MemoryError, JobError):
        raise
    except Exception as exc:
        raise JobError(f"{called} raised {custom_source.told(exc, file)}") from exc
    if not isinstance(net, keras.Model):
        raise JobError(f"{called} returned {type(net).__name__}: expected a keras.Model")
    return _fitting(net, called, file, tuple(input_shape), classes)


def _fitting(net: keras.Model, called: str, file, input_shape: tuple, classes: int) -> keras.Model:
    """Return the net with a known input, or raise `JobError` when images do not go in or class scores do not come out."""
    try:
        inputs = keras.Input(input_shape, name="image")
        outputs = net(inputs)
    except Exception as exc:
        raise JobError(
            f"{called} returned a model that does not take images [n, {', '.join(map(str, input_shape))}]: {custom_source.told(exc, file)}"
        ) from exc
    shape = getattr(outputs, "shape", None)
    if shape is None or tuple(shape) != (None, classes):
        raise JobError(
            f"{called} returned a model with output {show(outputs) if shape is None else tuple(shape)}: expected [n, {classes}]"
        )
    functional = (
        getattr(net, "inputs", None)
        and len(net.inputs) == 1
        and tuple(net.inputs[0].shape) == (None, *input_shape)
    )
    return net if functional else keras.Model(inputs, outputs, name="own")


def check_probabilities(probabilities: np.ndarray, factory: str) -> None:
    """Raise `JobError` unless every row holds numbers of 0-1 that sum to 1."""
    sums = probabilities.sum(axis=1)
    if not (
        np.isfinite(probabilities).all()
        and (probabilities >= 0).all()
        and np.allclose(sums, 1, atol=1e-3)
    ):
        raise JobError(
            f"{factory}: its outputs are no probabilities (from {probabilities.min():.3g} to {probabilities.max():.3g}, the rows sum to"
            f" {sums.min():.3g} to {sums.max():.3g}): expected a softmax at the end"
        )
