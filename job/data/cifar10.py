"""CIFAR-10: its official archive, where other programs and we keep it, and what is in it."""

import logging
import os
from pathlib import Path

import numpy as np

from job import errors
from job.data import archives, downloads, foreign
from job.data.dataset import Part

log = logging.getLogger(__name__)

NAME = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{NAME}"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"  # from keras/src/datasets/cifar10.py
IN_KERAS = ("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz")  # Keras 3, Keras 2
FOLDER = "cifar-10-batches-py"
SIDE, CLASSES, TRAIN_IMAGES = 32, 10, 50_000
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))


def cached(cache: Path | None = None) -> Path | None:
    """The official CIFAR-10 archive where Keras keeps it or we do, or None; one whose SHA-256 differs does not count.

    Looks where `keras.datasets.cifar10` does (KERAS_HOME, ~/.keras, /tmp/.keras), without importing Keras.
    Reads the 170 MB to compare the hash: Keras may have been killed while it downloaded.
    """
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    ours = [cache / NAME] if cache else []
    for path in [
        *(
            folder / "datasets" / name
            for folder in (home, Path("/tmp/.keras"))
            for name in IN_KERAS
        ),
        *ours,
    ]:
        if _is_official(path):
            return path
    return None


def official(cache: Path) -> Path:
    """Return the official archive, downloaded if it is nowhere yet."""
    if found := cached(cache):
        return found
    path = downloads.place(cache, NAME)
    log.info("downloading %s (170 MB) to %s", URL, path)
    return downloads.download(URL, path, SHA256)


def _is_official(path: Path) -> bool:
    return (
        path.is_file() and os.access(path, os.R_OK) and downloads.has_hash(path.resolve(), SHA256)
    )


def read(path: Path) -> tuple[tuple[str, ...], Part, Part]:
    """Read the official archive; its batches may have any length."""
    found, seen = {}, []
    for member in archives.members(path):
        seen.append(member.name)
        folder, _, name = member.name.rpartition("/")
        if folder == FOLDER and name in (*TRAIN, "test_batch", "batches.meta"):
            content = archives.unpickle(member.read(), member.name)
            found[name] = (
                _classes(content) if name == "batches.meta" else _part(content, member.name)
            )
    for name in (*TRAIN, "test_batch", "batches.meta"):
        if name not in found:
            other = foreign.looks_like(seen) if not found else None
            raise errors.Invalid(
                f"{path} has no member {FOLDER}/{name}{f', {other}' if other else ''}: expected the archive of {URL}"
            )
    train = [found.pop(name) for name in TRAIN]
    joined = Part(
        np.concatenate([part.images for part in train]),
        np.concatenate([part.labels for part in train]),
    )
    return found["batches.meta"], joined, found["test_batch"]


def _part(batch: object, name: str) -> Part:
    """A batch, its images turned from [n, 3072] (channel, row, column) to [n, 32, 32, 3]."""
    data, labels = (
        (batch.get(b"data"), batch.get(b"labels")) if isinstance(batch, dict) else (None, None)
    )
    values = data.values if isinstance(data, archives.Array) else np.empty(0, np.uint8)
    ints = isinstance(labels, list) and all(
        isinstance(label, int) and 0 <= label < 10 for label in labels
    )
    if not ints or not labels or values.shape != (len(labels), 3072):
        raise errors.Invalid(
            f"member {name!r} is no CIFAR-10 batch: expected data, uint8 [n, 3072], and n labels 0..9"
        )
    images = np.ascontiguousarray(values.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Part(images, np.array(labels, np.int64))


def _classes(meta: object) -> tuple[str, ...]:
    names = meta.get(b"label_names") if isinstance(meta, dict) else None
    if (
        not isinstance(names, list)
        or len(names) != 10
        or not all(isinstance(name, bytes) for name in names)
    ):
        raise errors.Invalid(
            f"member '{FOLDER}/batches.meta' has no label_names: expected ten names"
        )
    return tuple(name.decode("utf-8", "replace") for name in names)
