"""Staged data: from a source into the store once, and the parts of it that a task may see."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from job.data.dataset import Part, Source, groups_of
from job.data.downloads import writing
from job.data.images import Images
from job.data.parts import Related, Splits, relate
from job.data.staged import put_whole
from job.errors import Invalid, Missing
from job.experiment.kinds import Table
from job.experiment.manifest import Manifest
from job.interrupt import INTERRUPT
from job.sentences import UNREADABLE
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store

# What a manifest takes from the source's name and form: its data id does not depend on it.
NAMED = ("source", "notes", "damaged")
SAMPLES_PER_CLASS = 8
SAMPLE_CLASSES = 20
STAGED_AGAIN = "`job prepare` stages it again"


class Opener(Protocol):
    """An attempt that may open the test part."""

    def record_opening(self) -> None:
        """Record that the attempt opens the test part."""


@dataclass(frozen=True)
class Staged:
    """A data set as it goes into the store: its manifest and each file, as bytes or on disk."""

    manifest: Manifest
    files: dict[str, bytes | Path]
    groups: np.ndarray  # int64 [n] of the training part, equal for images that stay together


# --- into the store ---


def stage(source: Source, train: Part, test: Part, folder: Path) -> Staged:
    """Return the staged form: arrays as .npy, and one id by the content of classes and pixels.

    Args:
        source: what the parts were cut from.
        train: the training part.
        test: the test part.
        folder: for the images, on the cache's disk.

    Raises:
        errors.Unreachable: the disk is full or broken.
    """
    related = relate(train, test)
    files: dict[str, bytes | Path] = {}
    hashes = {}
    for name, part in ((paths.TRAIN_IMAGES, train), (paths.TEST_IMAGES, test)):
        files[name] = folder / name
        hashes[name] = _write_images(part.images, folder / name)
    for name, array in _arrays(train, test, related).items():
        files[name] = content = npy(array)
        hashes[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    identity = json.dumps([source.classes, hashes], sort_keys=True)
    k = len(source.classes)
    files[paths.SAMPLES] = _samples(train, k)
    height, width, channels = train.images.shape[1:]
    manifest = Manifest(
        id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        source=source.name,
        classes=list(source.classes),
        image_shape=(height, width, channels),
        train=len(train.labels),
        test=len(test.labels),
        train_counts=np.bincount(train.labels, minlength=k).tolist(),
        test_counts=np.bincount(test.labels, minlength=k).tolist(),
        duplicates={"train": related.repeated, "train_test": int(related.copies.sum())},
        files=hashes,
        notes=list(source.notes),
        bits=source.bits,
        groups=_count_groups(train, test),
        damaged=list(source.damaged),
    )
    return Staged(manifest, files, related.train)


def _count_groups(train: Part, test: Part) -> dict[str, int] | None:
    """Return the number of groups of each part, None where no image belongs to one."""
    groups = groups_of(train, test)
    if groups is None:
        return None
    of_train, of_test = groups
    return {"train": len(np.unique(of_train)), "test": len(np.unique(of_test))}


def _arrays(train: Part, test: Part, related: Related) -> dict[str, np.ndarray]:
    """Return the arrays of a data set but its images by the names of their files."""
    arrays = {
        paths.TRAIN_LABELS: train.labels.astype(np.int64),
        paths.TRAIN_GROUPS: related.train,
        paths.TEST_LABELS: test.labels.astype(np.int64),
        paths.TEST_COPIES: related.copies,
    }
    if related.test is not None:
        arrays[paths.TEST_GROUPS] = related.test
    return arrays


def _write_images(images: Images, path: Path) -> dict:
    """Write images as a .npy file, block by block; return its sha256 and size."""
    header = io.BytesIO()
    described = {"descr": "|u1", "fortran_order": False, "shape": images.shape}
    np.lib.format.write_array_header_1_0(header, described)
    hashed = hashlib.sha256(header.getvalue())
    with writing(path), open(path, "wb") as file:
        file.write(header.getvalue())
        for block in images.blocks():
            INTERRUPT.check()
            content = np.ascontiguousarray(block).data
            hashed.update(content)
            file.write(content)
        size = file.tell()
    return {"sha256": hashed.hexdigest(), "size": size}


def npy(array: np.ndarray) -> bytes:
    """Return an array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _samples(train: Part, classes: int) -> bytes:
    """Return a few images of each class for the report: uint8 [classes, n, h, w, 3] in an .npz."""
    shown = min(classes, SAMPLE_CLASSES)
    n = min(SAMPLES_PER_CLASS, *np.bincount(train.labels, minlength=classes)[:shown])
    first = [train.images[np.flatnonzero(train.labels == label)[:n]] for label in range(shown)]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.stack(first))
    return buffer.getvalue()


def upload(store: Store, staged: Staged) -> dict[str, dict]:
    """Write a staged data set, except for objects that are there and whole.

    The manifest comes last: a process that finds it finds the rest.

    Returns:
        The objects of the data set, key -> sha256, size and etag (see `staged`).
    """
    data = staged.manifest.id
    manifest = _manifest_of(store, paths.data_file(data, paths.MANIFEST), staged.manifest)
    content = staged.files | {paths.MANIFEST: manifest}
    known = staged.manifest.files
    keys = {name: paths.data_file(data, name) for name in content}
    return {
        keys[name]: put_whole(store, keys[name], body, known.get(name))
        for name, body in content.items()
    }


def _manifest_of(store: Store, key: str, manifest: Manifest) -> bytes:
    """Return the bytes of a data set's manifest: those in the store, if they describe this data.

    Another experiment may have staged the same images from a source of another name, and has
    recorded the hash of its manifest.
    """
    new = manifest.stored()
    try:
        content = store.get(key)
        existing = json.loads(content)
        if _dumps(existing) == content and _without_names(existing) == _without_names(new):
            return content
    except (Missing, *UNREADABLE):
        pass
    return _dumps(new)


def _dumps(manifest: Table) -> bytes:
    return json.dumps(manifest, indent=1).encode()


def _without_names(manifest: Table) -> Table:
    return {key: value for key, value in manifest.items() if key not in NAMED}


def manifest_in(store: Store, data: Manifest) -> bool:
    """Tell whether a staged data set is in the store, by its manifest."""
    try:
        manifest = json.loads(store.get(paths.data_file(data.id, paths.MANIFEST)))
        return manifest["id"] == data.id
    except (Missing, *UNREADABLE):
        return False


# --- out of the store ---


@contextmanager
def needed(fixed_by: str) -> Iterator[None]:
    """Turn the loss of an object that a task needs and did not make into an invalid setup.

    No attempt counts for it.

    Args:
        fixed_by: the clause that says what restores it.

    Raises:
        errors.Invalid: the object is missing.
    """
    try:
        yield
    except Missing as exc:
        raise Invalid(f"{exc}: `job verify` names what is damaged, {fixed_by}") from exc


def training_part(cache: Cache, data: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """Return the training part: images (uint8 [n, h, w, 3], mapped) and labels (int64 [n])."""
    return _open(cache, data, paths.TRAIN_IMAGES), _open(cache, data, paths.TRAIN_LABELS)


def open_test_part(
    cache: Cache, data: Manifest, attempt: Opener
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Open the test part: the only way to it, and each opening is a row that the report counts.

    Returns:
        images (uint8 [n, h, w, 3], mapped), labels (int64 [n]), copies (bool [n]: the image is
        in the training part too).
    """
    attempt.record_opening()
    images = _open(cache, data, paths.TEST_IMAGES)
    labels = _open(cache, data, paths.TEST_LABELS)
    return images, labels, _open(cache, data, paths.TEST_COPIES)


def frozen_splits(cache: Cache, entry: dict) -> Splits:
    """Return the splits of the training part that `prepare` froze."""
    with needed(STAGED_AGAIN):
        return Splits.read(cache.file(entry["key"], entry["sha256"]))


def _open(cache: Cache, data: Manifest, name: str) -> np.ndarray:
    with needed(STAGED_AGAIN):
        return cache.array(paths.data_file(data.id, name), data.files[name]["sha256"])
