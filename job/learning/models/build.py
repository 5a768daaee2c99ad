"""What a task trains: by model, on features or from images."""

from pathlib import Path

from job.experiment.backbones import BACKBONES
from job.experiment.experiment import Experiment
from job.learning.backend import keras
from job.learning.models import cnn, custom, transfer


def build(
    experiment: Experiment,
    model: str,
    parameters: dict,
    input_shape: tuple[int, ...],
    classes: int,
    weights: Path | None,
) -> keras.Model:
    """Return a model's net: a head on features [n, d] of a frozen base, else a net from images of 0-1 [n, h, w, c].

    Args: weights: the file of a base that is fine-tuned; None: random ones, to measure.
    Raises: Invalid, JobError.
    """
    if experiment.frozen(model):
        return transfer.head(parameters, input_shape[0], classes)
    if model in BACKBONES:
        return transfer.tuned(
            model, parameters, input_shape, classes, weights, method=experiment.method
        )
    if "factory" in parameters:
        return custom.build(parameters, input_shape, classes)
    return cnn.build(parameters, input_shape, classes)
