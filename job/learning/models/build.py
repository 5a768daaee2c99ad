"""Building what a task trains: by model, on features or from images."""

from pathlib import Path

from job.experiment.backbones import BACKBONES
from job.experiment.experiment import Experiment
from job.experiment.parameters import with_implied
from job.learning.backend import keras
from job.learning.interface import Examples
from job.learning.models import cnn, custom, transfer, whitenet
from job.learning.views import stacked

BUILT_IN = {"cnn": cnn, "whitenet": whitenet}


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
    Of several views, the net sees one at a time; `views.averaged` answers for all.

    Args:
        experiment: decides whether the base is frozen, and how its images are resized.
        model: its name in the experiment.
        parameters: of the model.
        input_shape: of one input: (d,), of all views (v, d), or (height, width, channels).
        classes: how many there are.
        weights: the file of a base that is fine-tuned; None for random weights, to measure.

    Raises:
        Invalid: the weights are of another architecture, `unfreeze` is too large, or the factory of
            a custom model cannot be imported.
        JobError: the factory fails.
    """
    if experiment.frozen(model):
        return transfer.head(parameters, input_shape[-1], classes)
    height, width, channels = input_shape
    image_shape = (height, width, channels)
    if model in BACKBONES:
        return transfer.fine_tuning_model(
            model, parameters, image_shape, classes, weights, method=experiment.method
        )
    if "factory" in parameters:
        return custom.build(parameters, image_shape, classes)
    return BUILT_IN[model].build(parameters, image_shape, classes)


def build_base(
    experiment: Experiment, model: str, image_shape: tuple[int, ...], weights: Path | None
) -> keras.Model:
    """Return a frozen base, which maps images to what the features stage stores of them.

    Args:
        experiment: decides about depths and views, and how images are resized.
        model: one with a frozen base.
        image_shape: of a staged image, (height, width, channels).
        weights: the file of its ImageNet weights; None for random weights, to measure.

    Returns:
        A net from images of 0-1, float32 [n, height, width, channels], to features, float32 [n, d]
        or of each view [n, v, d].

    Raises:
        Invalid: the weights are of another architecture.
    """
    fixed = with_implied(experiment.fixed(model))
    height, width, channels = image_shape
    base = transfer.base(
        model,
        fixed,
        (height, width, channels),
        weights,
        method=experiment.method,
        depths=experiment.depths(model),
    )
    return stacked(base, fixed)


def adapt(model: str, net: keras.Model, training: Examples, seed: int) -> None:
    """Let a net take from its training rows what it takes from them before the first step.

    Args:
        model: its name in the experiment.
        net: as `build` returned it.
        training: the rows that this very task trains on.
        seed: of the task.
    """
    if model == "whitenet":
        whitenet.adapt(net, training, seed)
