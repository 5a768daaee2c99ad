"""What a task leaves as files: predictions, the most confident mistakes, the trained model, what augmentation did.

TensorFlow comes with it, as with `runs`.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from job.data import pictures, staging
from job.errors import JobError
from job.learning import evaluate
from job.learning.backend import keras, tf
from job.learning.train import predict
from job.randomness import derive
from job.work.context import Run

SAME = 1e-5  # an end-to-end model's predictions are the stored ones, within this
SHOWN_IMAGES = 8
SHOWN_MISTAKES, SHOWN_SIDE = 16, 96  # images; pixels


def predictions(probabilities: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> bytes:
    """Return predictions.npz: probabilities float32 [n, k], labels int64 [n], rows int64 [n]."""
    return _npz(
        probabilities=probabilities.astype(np.float32),
        labels=labels.astype(np.int64),
        rows=rows.astype(np.int64),
    )


def mistakes(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> bytes:
    """Return mistakes.npz, the most confident of them with their images: the report never opens the test part.

    images uint8 [m, height, width, 3], m <= 16; rows, labels, predictions int64 [m]; confidence float32 [m].
    """
    rows = evaluate.mistakes(labels, probabilities, SHOWN_MISTAKES)
    return _npz(
        images=pictures.thumbnails(np.asarray(images[rows]), SHOWN_SIDE),
        rows=rows.astype(np.int64),
        labels=labels[rows].astype(np.int64),
        predictions=probabilities[rows].argmax(1).astype(np.int64),
        confidence=probabilities[rows].max(1).astype(np.float32),
    )


def model_file(r: Run, model: keras.Model, images: np.ndarray, stored: np.ndarray) -> bytes:
    """Return the .keras file, checked against the stored predictions."""
    with r.cache.scratch() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        content = path.read_bytes()
        again = predict(keras.saving.load_model(path, compile=False), np.asarray(images))
    worst = float(np.abs(again - stored).max())
    if worst > SAME:
        raise JobError(
            f"{r.key}: the saved model predicts otherwise than the trained one, by up to {worst:.2g}"
        )
    return content


def augmentation(r: Run) -> bytes:
    """Return 8 training images with 8 variants each, for the report."""
    from job.learning.augment import warp

    images = np.asarray(staging.training_part(r.cache, r.registered.data)[0][:SHOWN_IMAGES])
    variants = [
        warp(
            images, r.parameters["augment"], tf.constant([derive(r.seed, "shown"), i], tf.int32)
        ).numpy()
        for i in range(SHOWN_IMAGES)
    ]
    return _npz(originals=images, variants=np.stack(variants, 1).round().astype(np.uint8))


def _npz(**arrays) -> bytes:
    """Return arrays as .npz, the same bytes under every Python: np.savez's changed with 3.11.4 (github.com/python/cpython/issues/103861)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), staging.npy(array))
    return buffer.getvalue()
