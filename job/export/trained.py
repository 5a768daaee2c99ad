"""A trained model to use: the published one of an experiment, or one that `job export` wrote. Images in, probabilities out."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.coordination import status
from job.coordination.database import Database, queries
from job.coordination.tasks import Registered
from job.data import decoding
from job.errors import Impossible, Invalid, NotReady, UsageError
from job.experiment.experiment import Experiment
from job.learning import custom_source
from job.sentences import first_line, nearest, show
from job.storage.cache import Cache
from job.storage.store import sha256_of

SQL = queries("trained")
ABOUT = "model.json"  # what an exported folder says of itself, for programs
FORMATS = {
    "keras": "model.keras",
    "saved_model": "saved_model",
}  # format -> what holds the model in an exported folder


@dataclass(frozen=True)
class Trained:
    """A model and what it needs to be asked."""

    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, 3
    probabilities: Callable[[np.ndarray], np.ndarray]  # uint8 [n, h, w, 3] -> float32 [n, k]
    bits: int = 16  # that 16-bit images held which it has learnt from


def published(database: Database, registered: Registered, model: str) -> dict:
    """Return state, parameters and artifact of a model's published final, the one of seed 0.

    Raises: UsageError for an unknown model; NotReady before its final is complete; Impossible when it never will be.
    """
    models = registered.experiment.models
    if model not in models:
        raise UsageError(
            f"there is no model {model!r}{nearest(model, models)} in {registered.experiment.name}: it has {', '.join(models)}"
        )
    row = database.rows(SQL["published"], experiment=registered.id, model=model)[0]
    if row["state"] == "failed":
        raise Impossible(
            f"final 0 of {model} has failed for good ({row['reason']}): `job retry final --model {model} --index 0`"
        )
    if row["state"] != "complete" and not status.may_be_decided(
        database, registered, model, "final"
    ):
        raise Impossible(
            f"{model} will have no trained model: its features or all of its trials failed or were pruned (`job status`)"
        )
    if row["state"] != "complete":
        raise NotReady(
            f"final 0 of {model} is {row['state']}: its model is there when it is complete (`job status`)"
        )
    return row


def of_experiment(cache: Cache, registered: Registered, model: str, row: dict) -> Trained:
    """Return a published model, its file from the store."""
    entry = row["artifact"]["model.keras"]
    if own := registered.experiment.factories().get(model):
        custom_source.check(model, own)
    net = load(cache.file(entry["key"], entry["sha256"]), factory_of(registered.experiment, model))
    from job.learning.train import predict

    data = registered.data
    return Trained(
        model,
        tuple(data["classes"]),
        tuple(data["image_shape"]),
        lambda images: predict(net, images),
        data.get("bits", 16),
    )


def of_folder(folder: Path, factory: str | None = None, trust: bool = False) -> Trained:
    """Return the model that `job export` wrote into a folder.

    A folder may come from elsewhere, and its sha256 stands in it: it tells a copy that went wrong, and nothing of who made it.

    Args:
        factory: of an own model, given by whoever trusts its code: what a folder from elsewhere names is not imported.
        trust: a SavedModel may be run. Its graph reads and writes files as this user, which nothing in TensorFlow prevents;
            Source: "Using TensorFlow Securely", in TensorFlow's SECURITY.md.

    Raises: Invalid when it is not what it was then, is an own model and no factory is given, or a SavedModel without trust.
    """
    about = _about(folder)
    path = folder / FORMATS[about["format"]]
    if about["format"] == "saved_model" and not trust:
        raise Invalid(
            f"{path} is a SavedModel, a program that reads and writes files as this user:"
            " if you trust whoever made it, say so by --trust, else ask for the model as .keras (`job export --format keras`)"
        )
    if not path.exists() or digest(path) != about["sha256"]:
        raise Invalid(
            f"{path} is not the one `job export` wrote (missing, or other sha256 than in {ABOUT}): export it again"
        )
    if about["format"] == "keras":
        if about["factory"] and not factory:
            raise Invalid(
                f"{path} has layers of its own, made by {about['factory']}: if you trust that module here, give it by --factory"
                f" {about['factory']}"
            )
        net = load(path, factory)
        ask = _compiled(net, about["image_shape"])
    else:
        from job.learning.backend import tf

        loaded = tf.saved_model.load(str(path))
        ask = lambda images: loaded.serve(images)["probabilities"].numpy()  # noqa: E731
    shape, classes = tuple(about["image_shape"]), tuple(about["classes"])
    return Trained(
        about["model"], classes, shape, _answering(ask, path, len(classes)), about.get("bits", 16)
    )


def _answering(
    ask: Callable[[np.ndarray], np.ndarray], path: Path, k: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what is asked as a function that is `Invalid` unless it answers with k probabilities an image."""

    def probabilities(images: np.ndarray) -> np.ndarray:
        try:
            found = ask(images)
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise Invalid(
                f"{path} cannot be asked ({first_line(exc)}): expected a model that `job export` wrote"
            ) from exc
        if found.shape != (len(images), k):
            seen = f"{len(images)} images with {found.shape}"
            raise Invalid(f"{path} answers {seen}: expected a probability for each of {k} classes")
        return found

    return probabilities


def _compiled(net, image_shape: list[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return an exported net as a function, one graph for any number of images; layer by layer, every layer's output stays in memory."""
    from job.learning.backend import tf

    taken = [tf.TensorSpec((None, *image_shape), tf.uint8)]
    function = tf.function(
        lambda images: net(images, training=False)["probabilities"], taken, autograph=False
    )
    return lambda images: function(images).numpy()


def is_export(path: Path) -> bool:
    """Tell whether a path is a folder that `job export` wrote."""
    return (path / ABOUT).is_file()


def _about(folder: Path) -> dict:
    try:
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] in FORMATS and about["schema"] == 1:
            return _sound(about)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise Invalid(
            f"{folder / ABOUT} cannot be read ({first_line(exc)}): expected a folder written by `job export`"
        ) from exc
    raise Invalid(f"{folder / ABOUT} is of another version of `job export`: export the model again")


def _sound(about: dict) -> dict:
    """Return what a folder says of itself. Raises: ValueError unless each value is of its kind."""
    (height, width, channels), classes = about["image_shape"], about["classes"]
    kinds = {
        "model": isinstance(about["model"], str),
        "sha256": isinstance(about["sha256"], str),
        "factory": isinstance(about["factory"], str | None),
        "classes": isinstance(classes, list)
        and len(classes) > 1
        and all(isinstance(name, str) for name in classes),
        "image_shape": min(height, width) > 0
        and 0 < height * width <= decoding.MAX_PIXELS
        and channels == 3,
        "bits": about.get("bits", 16) in decoding.DEPTHS,
    }
    if wrong := [key for key, right in kinds.items() if not right]:
        raise ValueError(f"{wrong[0]} = {show(about.get(wrong[0]))}")
    return about


def factory_of(experiment: Experiment, model: str) -> str | None:
    """Return the factory of an own model, or None."""
    return experiment.factories().get(model, {}).get("factory")


def load(path: Path, factory: str | None):
    """Return the keras.Model of a .keras file; an own model's module is imported before, which registers its layers. Raises: Invalid."""
    from job.learning.backend import keras

    if factory:
        custom_source.function(factory)
    try:
        return keras.saving.load_model(
            path, compile=False, safe_mode=True
        )  # no code of the file's is run
    except (ValueError, TypeError, OSError, KeyError) as exc:
        why = first_line(exc).partition(" If you trust")[
            0
        ]  # Keras goes on with how to run the code all the same
        raise Invalid(f"{path} cannot be loaded as a Keras model: {why}") from exc


def digest(path: Path) -> str:
    """Return the sha256 of a file, or over names and sha256 of all files below a folder."""
    if path.is_file():
        return sha256_of(path)
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    return hashlib.sha256(
        "".join(f"{name} {sha256_of(path / name)}\n" for name in names).encode()
    ).hexdigest()
