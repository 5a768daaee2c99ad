"""Staged data: from a source into the store once, and the parts of it that a task may see."""

import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np

from job import splits
from job.cache import Cache
from job.errors import Invalid, Missing
from job.experiment import Experiment
from job.randomness import derive
from job.sources import Part, Source
from job.store import Store

SAMPLES_PER_CLASS, SAMPLE_CLASSES = 8, 20


@dataclass(frozen=True)
class Staged:
    """A data set as it goes into the store: its manifest and the bytes of each file."""

    manifest: dict
    files: dict[str, bytes]
    groups: np.ndarray  # of the training part: equal numbers for equal images


def cut(source: Source, experiment: Experiment) -> tuple[Part, Part]:
    """Return the training and the test part of an experiment: held out if none is shipped, sliced if asked.

    Equal images stay on one side of a part that is held out. Raises: Invalid.
    """
    data, seed = experiment.data, experiment.seed
    train, test = source.train, source.test
    if test is None:
        n = data["test"] or round(data["holdout"] * len(train.labels))
        chosen = splits.take(train.labels, splits.image_groups(train.images), n, derive(seed, "holdout"), "data.test")
        test, train = _rows(train, chosen), _rows(train, np.setdiff1d(np.arange(len(train.labels)), chosen))
    elif data["test"]:
        test = _slice(test, data["test"], derive(seed, "test"), "data.test")
    if data["train"]:
        train = _slice(train, data["train"], derive(seed, "train"), "data.train")
    for name, part in (("training", train), ("test", test)):
        if len(part.labels) == 0:
            raise Invalid(f"the {name} part has no images")
    return train, test


def stage(source: Source, train: Part, test: Part) -> Staged:
    """Return the staged form: arrays as .npy, one content-addressed id over classes and pixels."""
    groups = splits.image_groups(np.concatenate([train.images, test.images]))
    ours, theirs = groups[: len(train.labels)], groups[len(train.labels) :]
    copies = np.isin(theirs, ours)
    arrays = {
        "train-images.npy": train.images,
        "train-labels.npy": train.labels.astype(np.int64),
        "train-groups.npy": ours,
        "test-images.npy": test.images,
        "test-labels.npy": test.labels.astype(np.int64),
        "test-copies.npy": copies,
    }
    files = {name: npy(a) for name, a in arrays.items()}
    hashes = {name: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for name, b in files.items()}
    identity = json.dumps([source.classes, hashes], sort_keys=True)
    files["samples.npz"] = _samples(train, len(source.classes))
    manifest = {
        "id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "source": source.name,
        "classes": list(source.classes),
        "image_shape": list(train.images.shape[1:]),
        "train": len(train.labels),
        "test": len(test.labels),
        "train_counts": np.bincount(train.labels, minlength=len(source.classes)).tolist(),
        "test_counts": np.bincount(test.labels, minlength=len(source.classes)).tolist(),
        "duplicates": {"train": len(ours) - len(np.unique(ours)), "train_test": int(copies.sum())},
        "files": hashes,
    }
    return Staged(manifest, files, ours)


def upload(store: Store, staged: Staged) -> None:
    """Write a staged data set unless it is there; the manifest last, so that its presence means the rest's."""
    folder = f"data/{staged.manifest['id']}"
    if store.head(f"{folder}/manifest.json"):
        return
    for name, content in staged.files.items():
        store.put(f"{folder}/{name}", content)
    store.put(f"{folder}/manifest.json", json.dumps(staged.manifest, indent=1).encode())


def training_part(cache: Cache, data: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return images (uint8 [n, h, w, 3], mapped) and labels (int64 [n]) of the training part."""
    return _open(cache, data, "train-images.npy"), _open(cache, data, "train-labels.npy")


def open_test_part(cache: Cache, data: dict, attempt) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Open the test part: the only way to it, and each opening is a row the report counts.

    Returns: images (uint8, mapped), labels (int64), copies (bool: the image stands in the training part too).
    """
    attempt.opened_test_part()
    return tuple(_open(cache, data, f"test-{name}.npy") for name in ("images", "labels", "copies"))


def frozen_splits(cache: Cache, entry: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return validation (bool [n]) and fold (int64 [n]) of each row of the training part, as frozen at `prepare`."""
    with np.load(cache.file(entry["key"], entry["sha256"]), allow_pickle=False) as file:
        return file["validation"], file["folds"]


def make_splits(experiment: Experiment, labels: np.ndarray, groups: np.ndarray) -> bytes:
    """Return the splits of an experiment as .npz bytes. Raises: Invalid when a class is too small."""
    n = round(experiment.data["validation"] * len(labels))
    validation = np.zeros(len(labels), bool)
    validation[
        splits.take(labels, groups, n, derive(experiment.seed, "validation"), f"data.validation = {experiment.data['validation']}")
    ] = True
    folds = splits.folds(labels, groups, experiment.folds["count"], derive(experiment.seed, "folds"))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, validation=validation, folds=folds)
    return buffer.getvalue()


def manifest_in(store: Store, data: dict) -> bool:
    """Tell whether a staged data set is whole in the store."""
    try:
        return json.loads(store.get(f"data/{data['id']}/manifest.json"))["id"] == data["id"]
    except Missing:
        return False


def _open(cache: Cache, data: dict, name: str) -> np.ndarray:
    return cache.array(f"data/{data['id']}/{name}", data["files"][name]["sha256"])


def _slice(part: Part, n: int, seed: int, what: str) -> Part:
    return _rows(part, splits.take(part.labels, np.arange(len(part.labels)), n, seed, f"{what} = {n}"))


def _rows(part: Part, rows: np.ndarray) -> Part:
    return Part(part.images[rows], part.labels[rows])


def npy(array: np.ndarray) -> bytes:
    """Return an array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _samples(train: Part, classes: int) -> bytes:
    """Return a few images of each class for the report: uint8 [classes, n, h, w, 3]."""
    shown = min(classes, SAMPLE_CLASSES)
    n = min(SAMPLES_PER_CLASS, *np.bincount(train.labels, minlength=classes)[:shown])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.stack([train.images[np.flatnonzero(train.labels == c)[:n]] for c in range(shown)]))
    return buffer.getvalue()
