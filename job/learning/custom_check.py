"""The checks of a custom model: it builds, trains, resumes, saves and loads.

They run before anything is stored.
"""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from job.errors import Interrupted, Invalid, JobError
from job.experiment.experiment import Experiment
from job.experiment.kinds import Range
from job.experiment.parameters import corner
from job.learning import provenance
from job.learning.backend import keras
from job.learning.checkpoint import Snapshot, hash_arrays
from job.learning.models import custom
from job.learning.train import Examples, Hooks, predict, train
from job.sentences import first_line
from job.storage import paths

SEED = 7
STEPS = 3
BATCH = 4
TOLERANCE = 1e-5  # how far a loaded model may predict from the one that was saved


def prove(
    experiment: Experiment, model: str, image_shape: tuple[int, int, int], classes: int
) -> None:
    """Prove that a custom model works, or raise.

    Build it at both ends of every range and at every listed value of its keys. Then train, resume,
    save and load it at its smallest point.

    Raises:
        Invalid: the model fails at any of these.
    """
    log = logging.getLogger("job.learning.train")
    level = log.level
    try:
        for point in _points(experiment, model):
            custom.build(point, image_shape, classes)
        log.setLevel(logging.WARNING)  # the epochs of a proof would only confuse
        _prove_training(corner(experiment, model), image_shape, classes, experiment.method)
    except Invalid:
        raise
    except JobError as exc:
        raise Invalid(f"models.{model}: {exc}") from exc
    finally:
        log.setLevel(level)


def _points(experiment: Experiment, model: str) -> list[dict]:
    """Return the smallest point of the search, and copies of it that differ in one value."""
    smallest = corner(experiment, model)
    points = [smallest]
    for key, domain in experiment.space(model).items():
        if key in ("learning_rate", "batch_size"):
            continue
        values = (domain.low, domain.high) if isinstance(domain, Range) else domain.values
        points += [smallest | {key: value} for value in values if value != smallest[key]]
    return points


def _prove_training(
    parameters: dict, image_shape: tuple[int, int, int], classes: int, method: int
) -> None:
    """Train, stop, resume, save and load a model on random images.

    Raises:
        JobError: bits or predictions come out different, or one of these fails.
    """
    parameters = parameters | {"batch_size": BATCH, "epochs": 1}
    images = np.random.default_rng(SEED).integers(0, 256, (STEPS * BATCH, *image_shape), np.uint8)
    factory = parameters["factory"]
    whole, _ = _trained(parameters, images, classes, method)
    _, snapshot = _trained(parameters, images, classes, method, stop_at=STEPS - 1)
    resumed, _ = _trained(parameters, images, classes, method, snapshot=snapshot)
    if provenance.device() == "cpu" and _bits(whole) != _bits(resumed):
        raise JobError(
            f"{factory}: stopped after two steps and resumed from the checkpoint, it gives other"
            " bits: part of its state is neither a weight (add_weight) nor drawn by a"
            " keras.random.SeedGenerator that its layer holds"
        )
    probabilities = predict(whole, images)
    custom.check_probabilities(probabilities, factory)
    worst = float(np.abs(_predict_reloaded(whole, factory, images) - probabilities).max())
    if not worst <= TOLERANCE:  # not `>`: NaN must fail, too
        raise JobError(
            f"{factory}: saved and loaded, it gives other predictions, by up to {worst:.2g}:"
            " check get_config of its layers"
        )


def _trained(
    parameters: dict,
    images: np.ndarray,
    classes: int,
    method: int,
    stop_at: int | None = None,
    snapshot: Snapshot | None = None,
) -> tuple[keras.Model, Snapshot]:
    """Train a new net and return it with its last snapshot.

    Args:
        parameters: of the model and of the training.
        images: uint8 [STEPS * BATCH, height, width, channels]; labels are made up.
        classes: how many there are.
        method: the method of the experiment.
        stop_at: the step, from 1, after which to stop; None for the last.
        snapshot: to resume from.

    Raises:
        JobError: the training fails.
    """
    keras.utils.set_random_seed(SEED)
    height, width, channels = images.shape[1:]
    net = custom.build(parameters, (height, width, channels), classes)
    snapshots: list[Snapshot] = []

    def offer(take: Callable[[], Snapshot]) -> None:
        snapshots.append(take())
        if len(snapshots) == stop_at:
            raise Interrupted("stopped")

    examples = Examples(images, np.arange(len(images)) % classes, np.arange(len(images)))
    try:
        train(net, parameters, examples, None, SEED, Hooks(offer), snapshot, method=method)
    except Interrupted:
        pass
    except JobError:
        raise
    except Exception as exc:
        raise JobError(
            f"{parameters['factory']}: it cannot be trained:"
            f" {type(exc).__name__}: {first_line(exc)}"
        ) from exc
    return net, snapshots[-1]


def _bits(net: keras.Model) -> str:
    return hash_arrays([np.asarray(v) for v in net.variables])


def _predict_reloaded(net: keras.Model, factory: str, images: np.ndarray) -> np.ndarray:
    """Save and load a net, and return what the loaded one predicts: float32 [n, classes].

    Raises:
        JobError: it cannot be saved or loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / paths.MODEL
        try:
            net.save(path)
            loaded = keras.saving.load_model(path, compile=False)
            if not isinstance(loaded, keras.Model):
                raise TypeError(f"it loads as {type(loaded).__name__}, not as a keras.Model")
        except Exception as exc:
            cause = _root_cause(exc)
            raise JobError(
                f"{factory}: it cannot be saved and loaded as a .keras file:"
                f" {type(cause).__name__}: {first_line(cause)}; a custom layer needs"
                " @keras.saving.register_keras_serializable() and get_config;"
                " a Lambda layer cannot be saved"
            ) from cause
        return predict(loaded, images)


def _root_cause(exc: Exception) -> Exception:
    """Return the exception that others came from: Keras wraps it in sentences of its own."""
    while isinstance(exc.__context__, Exception):
        exc = exc.__context__
    return exc
