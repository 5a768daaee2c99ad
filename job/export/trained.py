"""A trained model to use: images in, probabilities out.

It is the published model of an experiment, or one that `job export` wrote.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from job.coordination import status
from job.coordination.database import Database
from job.coordination.registered import Registered
from job.coordination.statements import queries
from job.data import decoding, depths
from job.errors import Impossible, Invalid, NotReady, UsageError
from job.experiment.experiment import Experiment
from job.experiment.manifest import ALL_BITS
from job.learning import custom_source
from job.sentences import first_line, nearest, show
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import sha256_of

if TYPE_CHECKING:
    from job.learning.backend import keras

SQL = queries("trained")
ABOUT = "model.json"  # describes an exported folder to programs
# format -> what holds the model in an exported folder
FORMATS = {"keras": paths.MODEL, "saved_model": "saved_model"}

Predict = Callable[[np.ndarray], np.ndarray]  # uint8 [n, h, w, 3] -> float32 [n, k]


@dataclass(frozen=True)
class Trained:
    """A model, and what a caller needs to know to use it."""

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, 3
    probabilities: Predict
    bits: int = ALL_BITS  # used bits of the 16-bit images it was trained on
    fit: str = decoding.STRETCH  # how those images got their shape


def published_final(database: Database, registered: Registered, model: str) -> dict:
    """Return state, parameters and artifact of a model's published final, the one of seed 0.

    Raises:
        UsageError: the experiment has no such model.
        NotReady: its final is not complete yet.
        Impossible: its final will never be complete.
    """
    models = registered.experiment.models
    if model not in models:
        raise UsageError(
            f"there is no model {model!r}{nearest(model, models)} in {registered.experiment.name}:"
            f" it has {', '.join(models)}"
        )
    row = database.rows(SQL["published"], experiment=registered.id, model=model)[0]
    if row["state"] == "failed":
        raise Impossible(
            f"final 0 of {model} has failed for good ({row['reason']}):"
            f" run `job retry final --model {model} --index 0`"
        )
    if row["state"] == "complete":
        return row
    if not status.may_be_decided(database, registered, model, "final"):
        raise Impossible(
            f"{model} will have no trained model:"
            " its features or all of its trials failed or were pruned (`job status`)"
        )
    raise NotReady(
        f"final 0 of {model} is {row['state']}:"
        " its model exists once the final is complete (`job status`)"
    )


def from_experiment(cache: Cache, registered: Registered, model: str, row: dict) -> Trained:
    """Return the published model of an experiment; its file comes from the store."""
    entry = row["artifact"][paths.MODEL]
    if parameters := registered.experiment.factories().get(model):
        custom_source.check(model, parameters)
    net = load(cache.file(entry["key"], entry["sha256"]), factory_of(registered.experiment, model))
    from job.learning.train import predict

    data = registered.data
    return Trained(
        model,
        tuple(data.classes),
        data.image_shape,
        partial(predict, net),
        data.bits,
        registered.experiment.data.fit or decoding.STRETCH,
    )


def from_folder(folder: Path, factory: str | None = None, trust: bool = False) -> Trained:
    """Return the model that `job export` wrote into a folder.

    A folder may come from anywhere, and it holds its own sha256: that reveals a damaged copy, but
    says nothing about who made it.

    Args:
        factory: of a custom model, from a user who trusts its code. The factory that a folder
            names is not imported.
        trust: allow a SavedModel to run. Its graph can read and write files as this user, which
            TensorFlow does not prevent. Source: "Using TensorFlow Securely", in TensorFlow's
            SECURITY.md.

    Raises:
        Invalid: the folder is not as it was written, holds a custom model and no factory is
            given, or holds a SavedModel without trust.
    """
    about = _about(folder)
    path = folder / FORMATS[about["format"]]
    _refuse_program(path, about, trust)
    if not path.exists() or digest(path) != about["sha256"]:
        raise Invalid(
            f"{path} is not the one that `job export` wrote"
            f" (missing, or its sha256 is not the one in {ABOUT}): export it again"
        )
    _refuse_custom_layers(path, about, factory)
    if about["format"] == "keras":
        ask = _compile(load(path, factory), about["image_shape"])
    else:
        ask = _saved_model(path)
    classes = tuple(about["classes"])
    ask = _guard(ask, path, len(classes))
    # The first versions wrote neither bits nor fit.
    bits = about.get("bits", ALL_BITS)
    fit = about.get("fit", decoding.STRETCH)
    return Trained(about["model"], classes, tuple(about["image_shape"]), ask, bits, fit)


def _refuse_program(path: Path, about: dict, trust: bool) -> None:
    if about["format"] == "saved_model" and not trust:
        raise Invalid(
            f"{path} is a SavedModel, a program that reads and writes files as this user:"
            " if you trust its maker, give --trust;"
            " otherwise ask for the model as .keras (`job export --format keras`)"
        )


def _refuse_custom_layers(path: Path, about: dict, factory: str | None) -> None:
    if about["format"] == "keras" and about["factory"] and not factory:
        raise Invalid(
            f"{path} has custom layers, made by {about['factory']}:"
            f" if you trust that module on this machine, give --factory {about['factory']}"
        )


def _guard(ask: Predict, path: Path, k: int) -> Predict:
    """Return `ask` so that it raises `Invalid` unless it answers k probabilities per image."""

    def probabilities(images: np.ndarray) -> np.ndarray:
        try:
            answer = ask(images)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise Invalid(
                f"{path} cannot be used ({first_line(exc)}):"
                " expected a model that `job export` wrote"
            ) from exc
        if answer.shape != (len(images), k):
            raise Invalid(
                f"{path} answers {len(images)} images with {answer.shape}:"
                f" expected a probability for each of {k} classes"
            )
        return answer

    return probabilities


def _compile(net: "keras.Model", image_shape: list[int]) -> Predict:
    """Return an exported net as one graph for any number of images.

    Called layer by layer, a net keeps every layer's output in memory.
    """
    from job.learning.backend import tf

    def probabilities(images):
        return net(images, training=False)["probabilities"]

    signature = [tf.TensorSpec((None, *image_shape), tf.uint8)]
    graph = tf.function(probabilities, signature, autograph=False)
    return lambda images: graph(images).numpy()


def _saved_model(path: Path) -> Predict:
    """Return the function that an exported SavedModel serves."""
    from job.learning.backend import tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images)["probabilities"].numpy()


def is_export(path: Path) -> bool:
    """Tell whether a path is a folder that `job export` wrote."""
    return (path / ABOUT).is_file()


def _about(folder: Path) -> dict:
    """Return the content of a folder's model.json. Raises: Invalid."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] in FORMATS and about["schema"] == 1:
            _validate(about)
            return about
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise Invalid(
            f"{folder / ABOUT} cannot be read ({first_line(exc)}):"
            " expected a folder written by `job export`"
        ) from exc
    raise Invalid(f"{folder / ABOUT} is of another version of `job export`: export the model again")


def _validate(about: dict) -> None:
    """Raise ValueError unless each value of a model.json has its type and range."""
    height, width, channels = about["image_shape"]
    classes = about["classes"]
    valid = {
        "model": isinstance(about["model"], str),
        "sha256": isinstance(about["sha256"], str),
        "factory": isinstance(about["factory"], str | None),
        "classes": isinstance(classes, list)
        and len(classes) > 1
        and all(isinstance(name, str) for name in classes),
        "image_shape": min(height, width) > 0
        and 0 < height * width <= decoding.MAX_PIXELS
        and channels == 3,
        "bits": about.get("bits", ALL_BITS) in depths.DEPTHS,
        "fit": about.get("fit", decoding.STRETCH) in decoding.FITS,
    }
    if wrong := [key for key, is_valid in valid.items() if not is_valid]:
        raise ValueError(f"{wrong[0]} = {show(about.get(wrong[0]))}")


def factory_of(experiment: Experiment, model: str) -> str | None:
    """Return the factory of a custom model, or None."""
    return experiment.factories().get(model, {}).get("factory")


def load(path: Path, factory: str | None) -> "keras.Model":
    """Return the model of a .keras file, without running code that the file holds.

    Args:
        factory: of a custom model; importing its module registers its layers.

    Raises:
        Invalid: the factory cannot be imported, or the file holds no model.
    """
    from job.learning.backend import keras

    if factory:
        custom_source.function(factory)
    try:
        # Keras has no type stubs, and what is inferred for load_model is not a model.
        net: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as exc:
        # Keras continues with advice on how to run the code nevertheless.
        why = first_line(exc).partition(" If you trust")[0]
        raise Invalid(f"{path} cannot be loaded as a Keras model: {why}") from exc
    return net


def digest(path: Path) -> str:
    """Return the sha256 of a file, or one over names and sha256 of all files below a folder."""
    if path.is_file():
        return sha256_of(path)
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    lines = "".join(f"{name} {sha256_of(path / name)}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()
