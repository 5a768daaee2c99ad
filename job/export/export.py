"""A trained model as a folder to share: labels and preprocessing inside, a model card beside it."""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from job.data.decoding import STRETCH
from job.errors import Invalid, JobError, UsageError
from job.export.card import card
from job.export.trained import ABOUT, FORMATS, Trained, digest, factory_of, from_folder
from job.files import settle
from job.report.report_format import Report
from job.report.results import Collected
from job.storage import paths
from job.storage.cache import Cache
from job.text import printable

if TYPE_CHECKING:
    from job.learning.backend import keras

SAME = 1e-5  # the exported model's probabilities differ from the stored one's by no more
OUT_OF_VOCABULARY = "\x00"  # never predicted; a class may well be called Keras' own "[UNK]"

log = logging.getLogger(__name__)


def export(
    cache: Cache,
    collected: Collected,
    summary: Report,
    model: str,
    artifact: dict,
    form: str,
    out: Path,
) -> None:
    """Write the published model of an experiment and its card into a new folder.

    The folder appears whole, or not at all.

    Args:
        summary: the content of report.json.
        artifact: of the published final.
        form: one of `FORMATS`.
        out: a folder that does not exist yet, or an empty one.

    Raises:
        UsageError: `out` is not empty.
        Invalid: `out` cannot be written.
        JobError: the exported model predicts something else than the stored one.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"--out {out} already exists: name a new folder, or remove it")
    entry = artifact[paths.MODEL]
    stored = cache.file(entry["key"], entry["sha256"])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            partial = Path(folder) / out.name
            partial.mkdir()
            with _temporary_files_in(folder):
                _fill(partial, stored, collected, summary, model, form)
            if out.exists():
                out.rmdir()
            settle(partial, out)
    except OSError as exc:
        raise Invalid(
            f"--out {out} cannot be written: {exc.strerror or exc};"
            " expected a folder that this user may create"
        ) from exc


@contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Let temporary files go into a folder that is removed afterwards.

    TensorFlow's autograph leaves some to its exit handlers, which `job` never runs.
    """
    before = tempfile.tempdir
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _fill(
    folder: Path, stored: Path, collected: Collected, summary: Report, model: str, form: str
) -> None:
    from job.export.trained import load
    from job.learning.train import predict

    data = collected.data
    factory = factory_of(collected.experiment, model)
    net = load(stored, factory)
    path = folder / FORMATS[form]
    _write(path, wrap(net, data.image_shape, data.classes), form)
    about = _about(collected, model, factory, form, digest(path))
    (folder / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    (folder / "labels.txt").write_text("".join(f"{printable(name)}\n" for name in data.classes))
    (folder / "README.md").write_text(card(collected, summary, model, about))
    if collected.samples is None:
        log.warning(
            "the samples of the data set are not in the store:"
            " the exported model was not compared with the stored one"
        )
        return
    images = collected.samples.reshape(-1, *data.image_shape)
    _check(from_folder(folder, factory, trust=True), images, predict(net, images))


def _about(collected: Collected, model: str, factory: str | None, form: str, sha256: str) -> dict:
    """Return the content of model.json, which describes the folder to programs."""
    data = collected.data
    return {
        "schema": 1,
        "format": form,
        "sha256": sha256,
        "experiment": collected.experiment.name,
        "experiment_id": collected.id,
        "fingerprint": collected.fingerprint,
        "model": model,
        "factory": factory,
        "classes": data.classes,
        "image_shape": data.image_shape,
        "bits": data.bits,
        "fit": collected.experiment.data.fit or STRETCH,
    }


def wrap(net: "keras.Model", image_shape: tuple[int, ...], classes: list[str]) -> "keras.Model":
    """Return a model that takes pixels as they are and names the most probable class.

    Args:
        net: takes float images, 0..1.
        image_shape: height, width, 3.

    Returns:
        A model from uint8 images 0..255 [n, h, w, 3] to `probabilities`, float32 [n, k], and
        `label`, text [n].
    """
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
    outputs = {"probabilities": probabilities, "label": names(best)}
    return keras.Model(images, outputs, name=net.name)


def _write(path: Path, model: "keras.Model", form: str) -> None:
    if form == "keras":
        model.save(path)
        return
    from job.learning.backend import keras, tf

    def serve(image):
        return model(image, training=False)

    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8, name="image")]
    archive.add_endpoint("serve", serve, input_signature=signature)
    # Keras chooses its archive by the backend; TensorFlow's has write_out.
    archive.write_out(path, verbose=False)  # pyright: ignore[reportAttributeAccessIssue]


def _check(exported: Trained, images: np.ndarray, stored: np.ndarray) -> None:
    """Compare the written folder with the stored model, on the training images of the report.

    Raises:
        JobError: their probabilities differ.
    """
    worst = float(np.abs(exported.probabilities(images) - stored).max())
    if worst > SAME:
        raise JobError(
            f"the exported model's probabilities differ from the stored one's by up to {worst:.2g},"
            f" expected {SAME:.1g} at most: nothing was written"
        )
    log.info("%d training images: same as the stored model, within %.1g", len(images), SAME)
