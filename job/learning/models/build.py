"""Building what a task trains: by model, on features or from images."""

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
    """Return a model's net, which maps its inputs to probabilities, float32 [n, classes].

    Inputs are features [n, d] of a frozen base, else images of 0-1, [n, height, width, channels].

    Args:
        experiment: decides whether the base is frozen, and how its images are resized.
        model: its name in the experiment.
        parameters: of the model.
        input_shape: of one input: (d,), or (height, width, channels).
        classes: how many there are.
        weights: the file of a base that is fine-tuned; None for random weights, to measure.

    Raises:
        Invalid: the weights are of another architecture, `unfreeze` is too large, or the factory of
            a custom model cannot be imported.
        JobError: the factory fails.
    """
    if experiment.frozen(model):
        return transfer.head(parameters, input_shape[0], classes)
    height, width, channels = input_shape
    image_shape = (height, width, channels)
    if model in BACKBONES:
        return transfer.fine_tuning_model(
            model, parameters, image_shape, classes, weights, method=experiment.method
        )
    if "factory" in parameters:
        return custom.build(parameters, image_shape, classes)
    return cnn.build(parameters, image_shape, classes)
