"""What a user's own model must be able to do, tried before anything is stored; imported only for one."""

import logging
import tempfile
from pathlib import Path

import numpy as np

from job.errors import Interrupted, Invalid, JobError
from job.experiment.experiment import Experiment
from job.experiment.parameters import Range, corner
from job.learning import provenance
from job.learning.backend import keras
from job.learning.checkpoint import hash_arrays
from job.learning.models import custom
from job.learning.train import Examples, Hooks, predict, train
from job.sentences import first_line

SEED, STEPS, BATCH = 7, 3, 4
SAME = 1e-5  # a loaded model predicts what the saved one did, within this


def prove(
    experiment: Experiment, model: str, image_shape: tuple[int, int, int], classes: int
) -> None:
    """Build an own model at every end and listed value of its own keys; train, resume, save and load it at its smallest point.

    Raises: Invalid for a model that fails at any of these.
    """
    log, level = (
        logging.getLogger("job.learning.train"),
        logging.getLogger("job.learning.train").level,
    )
    try:
        for point in _points(experiment, model):
            custom.build(point, image_shape, classes)
        log.setLevel(logging.WARNING)  # its epochs are no news
        _prove(corner(experiment, model), image_shape, classes, experiment.method)
    except Invalid:
        raise
    except JobError as exc:
        raise Invalid(f"models.{model}: {exc}") from exc
    finally:
        log.setLevel(level)


def _points(experiment: Experiment, model: str) -> list[dict]:
    """Return the smallest point of the search, and it with each other value of one key."""
    least = corner(experiment, model)
    space = {
        k: v for k, v in experiment.space(model).items() if k not in ("learning_rate", "batch_size")
    }
    values = {k: (v.low, v.high) if isinstance(v, Range) else v.values for k, v in space.items()}
    return [least, *(least | {k: v} for k, found in values.items() for v in found if v != least[k])]


def _prove(parameters: dict, image_shape: tuple, classes: int, method: int) -> None:
    parameters = parameters | {"batch_size": BATCH, "epochs": 1}
    images = np.random.default_rng(SEED).integers(0, 256, (STEPS * BATCH, *image_shape), np.uint8)
    factory = parameters["factory"]
    whole, _ = _trained(parameters, images, classes, method)
    _, snapshot = _trained(parameters, images, classes, method, stop_at=STEPS - 1)
    resumed, _ = _trained(parameters, images, classes, method, snapshot=snapshot)
    if provenance.device() == "cpu" and _bits(whole) != _bits(resumed):
        raise JobError(
            f"{factory}: stopped after two steps and gone on from the checkpoint, it comes out with other bits: something of it is neither a"
            " weight (add_weight) nor drawn by a keras.random.SeedGenerator that its layer holds"
        )
    probabilities = predict(whole, images)
    custom.check_probabilities(probabilities, factory)
    worst = float(np.abs(_saved_and_loaded(whole, factory, images) - probabilities).max())
    if not worst <= SAME:
        raise JobError(
            f"{factory}: saved and loaded, it predicts otherwise, by up to {worst:.2g}: see get_config of its layers"
        )


def _trained(
    parameters: dict,
    images: np.ndarray,
    classes: int,
    method: int,
    stop_at: int | None = None,
    snapshot=None,
):
    """Return the net after its steps, and the snapshot where it was stopped."""
    keras.utils.set_random_seed(SEED)
    net, taken = custom.build(parameters, images.shape[1:], classes), []

    def offer(take):
        taken.append(take())
        if len(taken) == stop_at:
            raise Interrupted("stopped")

    labels = np.arange(len(images)) % classes
    try:
        train(
            net,
            parameters,
            Examples(images, labels, np.arange(len(images))),
            None,
            SEED,
            Hooks(offer),
            snapshot,
            method=method,
        )
    except Interrupted:
        pass
    except JobError:
        raise
    except Exception as exc:
        raise JobError(
            f"{parameters['factory']}: it cannot be trained: {type(exc).__name__}: {first_line(exc)}"
        ) from exc
    return net, taken[-1]


def _bits(net: keras.Model) -> str:
    return hash_arrays([np.asarray(v) for v in net.variables])


def _saved_and_loaded(net: keras.Model, factory: str, images: np.ndarray) -> np.ndarray:
    """Return what the net predicts after it was saved and loaded. Raises: JobError when it cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            net.save(path)
            loaded = keras.saving.load_model(path, compile=False)
        except Exception as exc:
            while exc.__context__:  # Keras wraps the reason in sentences of its own
                exc = exc.__context__
            raise JobError(
                f"{factory}: it cannot be saved and loaded as a .keras file: {type(exc).__name__}: {first_line(exc)}; a layer of your own needs"
                " @keras.saving.register_keras_serializable() and get_config; a Lambda layer cannot be"
            ) from exc
        return predict(loaded, images)
