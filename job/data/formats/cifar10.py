"""CIFAR-10: its official archive, where Keras and this job keep it, and its content."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

import numpy as np

from job import errors
from job.data import archives, downloads
from job.data.dataset import Part
from job.data.formats import foreign, pickles
from job.data.images import Images

log = logging.getLogger(__name__)

NAME = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{NAME}"
# From keras/src/datasets/cifar10.py.
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
IN_KERAS = ("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz")  # Keras 3, Keras 2
FOLDER = "cifar-10-batches-py"
SIDE = 32
CLASSES = 10
TRAIN_IMAGES = 50_000
TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST = "test_batch"
META = "batches.meta"


@dataclass
class _Content:
    """What was read from an archive so far."""

    batches: dict[str, Part] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None


def cached(cache: Path | None = None) -> Path | None:
    """Return the official CIFAR-10 archive where Keras or this job keeps it.

    Looks where `keras.datasets.cifar10` does (KERAS_HOME, ~/.keras, /tmp/.keras), without
    importing Keras. Reads the 170 MB to compare the hash: Keras may have been killed while it
    downloaded.

    Args:
        cache: the node's cache.

    Returns:
        The archive; None if there is none with the official SHA-256.
    """
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    folders = (home, Path("/tmp/.keras"))
    candidates = [folder / "datasets" / name for folder in folders for name in IN_KERAS]
    if cache:
        candidates.append(cache / NAME)
    return next((path for path in candidates if _is_official(path)), None)


def official(cache: Path) -> Path:
    """Return the official archive, downloaded into the cache if it is nowhere yet.

    Raises:
        errors.Unreachable: the download failed, or the disk is full.
        errors.Invalid: the server has another file.
    """
    if archive := cached(cache):
        return archive
    path = downloads.make_place(cache, NAME)
    log.info("downloading %s (170 MB) to %s", URL, path)
    return downloads.download(URL, path, SHA256)


def _is_official(path: Path) -> bool:
    is_readable = path.is_file() and os.access(path, os.R_OK)
    return is_readable and downloads.has_hash(path.resolve(), SHA256)


def read(path: Path) -> tuple[tuple[str, ...], Part, Part]:
    """Read the official archive; its batches may have any length.

    Returns:
        The class names, the training part, the test part.

    Raises:
        errors.Invalid: damaged, unsafe, or another archive.
    """
    content = _Content()
    names = []
    for member in archives.members(path):
        names.append(member.name)
        folder, _, name = member.name.rpartition("/")
        if folder == FOLDER and name in (*TRAIN, TEST):
            content.batches[name] = _part(pickles.unpickle(member.read(), member.name), member.name)
        elif folder == FOLDER and name == META:
            content.classes = _classes(pickles.unpickle(member.read(), member.name))
    for name in (*TRAIN, TEST):
        if name not in content.batches:
            raise _missing(path, name, content, names)
    if content.classes is None:
        raise _missing(path, META, content, names)
    train = [content.batches[name] for name in TRAIN]
    images = np.concatenate([part.images[:] for part in train])
    labels = np.concatenate([part.labels for part in train])
    return content.classes, Part(Images.of(images), labels), content.batches[TEST]


def _missing(path: Path, name: str, content: _Content, names: list[str]) -> errors.Invalid:
    is_empty = not content.batches and content.classes is None
    hint = foreign.looks_like(names) if is_empty else None
    besides = f", {hint}" if hint else ""
    return errors.Invalid(
        f"{path} has no member {FOLDER}/{name}{besides}: expected the archive of {URL}"
    )


def _part(batch: object, name: str) -> Part:
    """Return a batch, its images turned from [n, 3072] (channel, row, column) to [n, 32, 32, 3]."""
    values = None
    labels = None
    if isinstance(batch, dict):
        values = batch.get(b"data")
        labels = batch.get(b"labels")
    if not isinstance(values, pickles.Array) or not _are_labels(labels):
        raise _not_a_batch(name)
    pixels = values.values
    if pixels.shape != (len(labels), 3 * SIDE * SIDE):
        raise _not_a_batch(name)
    images = np.ascontiguousarray(pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))
    return Part(Images.of(images), np.array(labels, np.int64))


def _are_labels(labels: object) -> TypeGuard[list[int]]:
    if not isinstance(labels, list) or not labels:
        return False
    return all(isinstance(label, int) and 0 <= label < CLASSES for label in labels)


def _not_a_batch(name: str) -> errors.Invalid:
    return errors.Invalid(
        f"member {name!r} is not a CIFAR-10 batch: "
        "expected data, uint8 [n, 3072], and n labels 0..9"
    )


def _are_names(names: object) -> TypeGuard[list[bytes]]:
    if not isinstance(names, list) or len(names) != CLASSES:
        return False
    return all(isinstance(name, bytes) for name in names)


def _classes(meta: object) -> tuple[str, ...]:
    names = meta.get(b"label_names") if isinstance(meta, dict) else None
    if not _are_names(names):
        raise errors.Invalid(
            f"member '{FOLDER}/{META}' has no label_names: expected {CLASSES} names"
        )
    return tuple(name.decode("utf-8", "replace") for name in names)
