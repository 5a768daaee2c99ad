"""A trained model as a folder to give away: labels and preprocessing inside, a model card beside it."""

import json
import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from job.errors import Invalid, JobError, UsageError
from job.export.card import card
from job.export.trained import ABOUT, FORMATS, Trained, digest, factory_of, of_folder
from job.files import settle
from job.report.results import Collected
from job.storage.cache import Cache
from job.text import printable

SAME = 1e-5  # an exported model predicts what the stored one does, within this
OUT_OF_VOCABULARY = "\x00"  # never comes out; a class may well be called Keras' own "[UNK]"

log = logging.getLogger(__name__)


def export(
    cache: Cache,
    collected: Collected,
    summary: dict,
    model: str,
    artifact: dict,
    form: str,
    out: Path,
) -> None:
    """Write the published model of an experiment and its card into a new folder: whole, or not at all.

    Args:
        artifact: of the published final.
        form: one of `FORMATS`.
        out: not there yet, or empty.

    Raises: UsageError for a folder that is not empty, Invalid for one that cannot be written.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"--out {out} is there already: name a new folder, or remove it")
    entry = artifact["model.keras"]
    stored = cache.file(entry["key"], entry["sha256"])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            half = Path(folder) / out.name
            half.mkdir()
            with _scratch(folder):
                _fill(half, stored, collected, summary, model, form)
            if out.exists():
                out.rmdir()
            settle(half, out)
    except OSError as exc:
        raise Invalid(
            f"--out {out} cannot be written: {exc.strerror or exc}; expected a folder this user may make"
        ) from exc


@contextmanager
def _scratch(folder: str):
    """Let temporary files go into a folder that is removed: TensorFlow's autograph leaves some for its exit handlers, which `job` never runs."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _fill(
    folder: Path, stored: Path, collected: Collected, summary: dict, model: str, form: str
) -> None:
    from job.export.trained import load
    from job.learning.train import predict

    factory, data = factory_of(collected.experiment, model), collected.data
    net = load(stored, factory)
    _write(folder / FORMATS[form], whole(net, tuple(data["image_shape"]), data["classes"]), form)
    about = {
        "schema": 1,
        "format": form,
        "sha256": digest(folder / FORMATS[form]),
        "experiment": collected.experiment.name,
        "experiment_id": collected.id,
        "fingerprint": collected.fingerprint,
        "model": model,
        "factory": factory,
        "classes": data["classes"],
        "image_shape": data["image_shape"],
        "bits": data.get("bits", 16),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    (folder / "labels.txt").write_text("".join(f"{printable(name)}\n" for name in data["classes"]))
    (folder / "README.md").write_text(card(collected, summary, model, about))
    if collected.samples is not None:
        images = collected.samples.reshape(-1, *data["image_shape"])
        _check(of_folder(folder, factory, trust=True), images, predict(net, images))
    else:
        log.warning(
            "the samples of the data are not in the store: the exported model was not compared with the stored one"
        )


def whole(net, image_shape: tuple[int, int, int], classes: list[str]):
    """Return a model from uint8 images 0..255 [n, h, w, 3] to {"probabilities": float32 [n, k], "label": text [n]}."""
    from job.learning.backend import keras

    images = keras.Input(image_shape, dtype="uint8", name="image")
    probabilities = net(keras.layers.Rescaling(1 / 255, name="zero_to_one")(images))
    names = keras.layers.StringLookup(
        vocabulary=classes,
        num_oov_indices=0,
        oov_token=OUT_OF_VOCABULARY,
        invert=True,
        name="names",
    )
    best = keras.ops.argmax(probabilities, axis=-1)
    return keras.Model(
        images, {"probabilities": probabilities, "label": names(best)}, name=net.name
    )


def _write(path: Path, model, form: str) -> None:
    if form == "keras":
        model.save(path)
        return
    from job.learning.backend import keras, tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8, name="image")]
    archive.add_endpoint(
        "serve", lambda image: model(image, training=False), input_signature=signature
    )
    archive.write_out(path, verbose=False)


def _check(exported: Trained, images: np.ndarray, stored: np.ndarray) -> None:
    """Raise `JobError` unless the written folder predicts what the stored model does, on training images that the report shows."""
    worst = float(np.abs(exported.probabilities(images) - stored).max())
    if worst > SAME:
        raise JobError(
            f"the exported model predicts otherwise than the stored one, by up to {worst:.2g}: nothing was written"
        )
    log.info("%d training images: as the stored model, within %.1g", len(images), SAME)
