"""The files a task leaves: predictions, confident mistakes, the trained model, augmented images.

Imports TensorFlow, as `stages` does.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from job.data import pictures, staging
from job.errors import JobError
from job.learning import evaluate
from job.learning.augment import augment
from job.learning.backend import keras, tf
from job.learning.train import predict
from job.randomness import derive
from job.storage import paths
from job.work.context import Assignment

SAME = 1e-5  # how far the saved model's predictions may differ from the stored ones
SHOWN_IMAGES = 8
SHOWN_MISTAKES = 16
SHOWN_SIDE = 96  # pixels


def predictions(probabilities: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> bytes:
    """Return predictions.npz: probabilities float32 [n, k], labels int64 [n], rows int64 [n]."""
    return _npz(
        probabilities=probabilities.astype(np.float32),
        labels=labels.astype(np.int64),
        rows=rows.astype(np.int64),
    )


def mistakes(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> bytes:
    """Return mistakes.npz: the most confident mistakes, with their images.

    The report shows them without opening the test part.

    Args:
        images: uint8 [n, height, width, 3].
        labels: the true classes, int64 [n].
        probabilities: float32 [n, k].

    Returns:
        images uint8 [m, h, w, 3] with m <= 16; rows, labels and predictions int64 [m];
        confidence float32 [m].
    """
    rows = evaluate.mistakes(labels, probabilities, SHOWN_MISTAKES)
    return _npz(
        images=pictures.thumbnails(np.asarray(images[rows]), SHOWN_SIDE),
        rows=rows.astype(np.int64),
        labels=labels[rows].astype(np.int64),
        predictions=probabilities[rows].argmax(1).astype(np.int64),
        confidence=probabilities[rows].max(1).astype(np.float32),
    )


def model_file(
    assignment: Assignment, model: keras.Model, images: np.ndarray, stored: np.ndarray
) -> bytes:
    """Return the .keras file, checked against the stored predictions.

    Args:
        assignment: the task it is the model of.
        model: from images to probabilities.
        images: uint8 [n, height, width, 3].
        stored: what `model` predicted for them, float32 [n, k].

    Raises:
        JobError: the file, loaded again, predicts something else.
    """
    with assignment.cache.scratch() as folder:
        path = Path(folder) / paths.MODEL
        model.save(path)
        content = path.read_bytes()
        loaded = keras.saving.load_model(path, compile=False)
        # Keras does not annotate what it returns: here always a model.
        again = predict(loaded, np.asarray(images))  # pyright: ignore[reportArgumentType]
    worst = float(np.abs(again - stored).max())
    if worst > SAME:
        raise JobError(
            f"{assignment.key}: the saved model's predictions differ from the trained one's,"
            f" by up to {worst:.2g}"
        )
    return content


def augmentation(assignment: Assignment) -> bytes:
    """Return augmentation.npz for the report: 8 training images, each with 8 variants."""
    training = staging.training_part(assignment.cache, assignment.registered.data)[0]
    images = np.asarray(training[:SHOWN_IMAGES])
    amounts = assignment.parameters["augment"]
    seed = derive(assignment.seed, "shown")
    variants = [
        augment(images, amounts, tf.constant([seed, i], tf.int32)).numpy()
        for i in range(SHOWN_IMAGES)
    ]
    return _npz(originals=images, variants=np.stack(variants, 1).round().astype(np.uint8))


def _npz(**arrays: np.ndarray) -> bytes:
    """Return arrays as .npz, with the same bytes under every Python.

    The bytes of np.savez changed with Python 3.11.4: github.com/python/cpython/issues/103861.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            file.writestr(zipfile.ZipInfo(f"{name}.npy"), staging.npy(array))
    return buffer.getvalue()
