"""Staged data: from a source into the store once, and the parts of it that a task may see."""

import hashlib
import io
import json
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from job.data import splits
from job.data.dataset import Part, Source
from job.data.staged import put_whole
from job.errors import Invalid, Missing
from job.experiment.experiment import Experiment
from job.randomness import derive
from job.sentences import UNREADABLE
from job.storage.cache import Cache
from job.storage.store import Store

SAMPLES_PER_CLASS, SAMPLE_CLASSES = 8, 20
STAGED_AGAIN = "`job prepare` stages it again"


@dataclass(frozen=True)
class Staged:
    """A data set as it goes into the store: its manifest and the bytes of each file."""

    manifest: dict
    files: dict[str, bytes]
    groups: np.ndarray  # of the training part: equal numbers for images that stay together


def cut(source: Source, experiment: Experiment) -> tuple[Part, Part]:
    """Return the training and the test part of an experiment: held out if none is shipped, sliced if asked.

    Equal images, and groups, stay on one side of a part that is held out. Raises: Invalid.
    """
    data, seed = experiment.data, experiment.seed
    train, test = source.train, source.test
    if test is None:
        n = data["test"] or round(data["holdout"] * len(train.labels))
        what = f"data.test = {n}" if data["test"] else f"data.holdout = {data['holdout']}"
        together = _together(train.groups, train.images)
        chosen = splits.take(
            train.labels,
            together,
            n,
            derive(seed, "holdout"),
            what,
            source.classes,
            train.groups is not None,
        )
        test, train = (
            _rows(train, chosen),
            _rows(train, np.setdiff1d(np.arange(len(train.labels)), chosen)),
        )
    elif data["test"]:
        test = _slice(test, data["test"], derive(seed, "test"), "data.test", source.classes)
    if data["train"]:
        train = _slice(train, data["train"], derive(seed, "train"), "data.train", source.classes)
    for name, part in (("training", train), ("test", test)):
        if len(part.labels) == 0:
            raise Invalid(f"the {name} part has no images")
    return train, test


def _together(groups: np.ndarray | None, *images: np.ndarray) -> np.ndarray:
    """Return one number per image, equal for those that stay together: identical ones, and those of a group."""
    equal = splits.image_groups(*images)
    return equal if groups is None else splits.joined(equal, groups)


@dataclass(frozen=True)
class Related:
    """Which images of the two parts belong together."""

    train: (
        np.ndarray
    )  # int64 [n], equal for those that stay together in every split of the training part
    test: (
        np.ndarray | None
    )  # the same of the test part, in the same numbers; None unless groups are named
    copies: np.ndarray  # bool: the test image stands in the training part, too
    repeated: int  # images of the training part that are copies of another there
    equal: np.ndarray  # int64 of the training part, equal for identical pixels


def relate(train: Part, test: Part) -> Related:
    """Return which images belong together. A copy of a training image in the test part joins no groups: it is counted instead."""
    equal, n = splits.image_groups(train.images, test.images), len(train.labels)
    ours, theirs = equal[:n], equal[n:]
    copies, repeated = np.isin(theirs, ours), n - len(np.unique(ours))
    if train.groups is None:
        return Related(ours, None, copies, repeated, ours)
    apart = np.concatenate([ours, theirs + equal.max() + 1])
    together = splits.joined(apart, np.concatenate([train.groups, test.groups]))
    return Related(together[:n], together[n:], copies, repeated, ours)


def stage(source: Source, train: Part, test: Part) -> Staged:
    """Return the staged form: arrays as .npy, one content-addressed id over classes and pixels."""
    related = relate(train, test)
    arrays = {
        "train-images.npy": train.images,
        "train-labels.npy": train.labels.astype(np.int64),
        "train-groups.npy": related.train,
        "test-images.npy": test.images,
        "test-labels.npy": test.labels.astype(np.int64),
        "test-copies.npy": related.copies,
    } | ({} if related.test is None else {"test-groups.npy": related.test})
    files = {name: npy(a) for name, a in arrays.items()}
    hashes = {
        name: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for name, b in files.items()
    }
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
        "duplicates": {"train": related.repeated, "train_test": int(related.copies.sum())},
        "files": hashes,
        "notes": list(source.notes),
    }
    if source.bits < 16:
        manifest["bits"] = source.bits
    if train.groups is not None:
        manifest["groups"] = {
            "train": len(np.unique(train.groups)),
            "test": len(np.unique(test.groups)),
        }
    return Staged(manifest, files, related.train)


def upload(store: Store, staged: Staged) -> dict[str, dict]:
    """Write a staged data set, but for what is there and whole; return what lies in the store, by key (see `staged`).

    The manifest comes last: whoever finds it finds the rest.
    """
    folder = f"data/{staged.manifest['id']}"
    content = staged.files | {"manifest.json": json.dumps(staged.manifest, indent=1).encode()}
    return {
        f"{folder}/{name}": put_whole(store, f"{folder}/{name}", body)
        for name, body in content.items()
    }


@contextmanager
def needed(mended_by: str):
    """Say of an object that a task needs and did not make that it is gone: no attempt counts for it. Raises: Invalid."""
    try:
        yield
    except Missing as exc:
        raise Invalid(f"{exc}: `job verify` names what is damaged, {mended_by}") from exc


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
    with (
        needed(STAGED_AGAIN),
        np.load(cache.file(entry["key"], entry["sha256"]), allow_pickle=False) as file,
    ):
        return file["validation"], file["folds"]


@dataclass(frozen=True)
class Splits:
    """The splits of a training part."""

    validation: np.ndarray  # bool [n]
    folds: np.ndarray  # int64 [n], the fold a row is left out in

    @property
    def content(self) -> bytes:
        """The splits as .npz bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, validation=self.validation, folds=self.folds)
        return buffer.getvalue()


def make_splits(
    experiment: Experiment,
    classes: Sequence[str],
    labels: np.ndarray,
    groups: np.ndarray,
    test: np.ndarray | None = None,
) -> Splits:
    """Return the splits of an experiment. Args: test: labels of the test part, for errors. Raises: Invalid when a class is too small."""
    n, named = round(experiment.data["validation"] * len(labels)), bool(experiment.data["groups"])
    what, seed = (
        f"data.validation = {experiment.data['validation']}",
        derive(experiment.seed, "validation"),
    )
    validation = np.zeros(len(labels), bool)
    validation[splits.take(labels, groups, n, seed, what, classes, named, test)] = True
    folds = splits.folds(
        labels,
        groups,
        experiment.folds["count"],
        derive(experiment.seed, "folds"),
        classes,
        named,
        test,
    )
    return Splits(validation, folds)


def manifest_in(store: Store, data: dict) -> bool:
    """Tell whether a staged data set is in the store, by its manifest."""
    try:
        return json.loads(store.get(f"data/{data['id']}/manifest.json"))["id"] == data["id"]
    except (Missing, *UNREADABLE):
        return False


def _open(cache: Cache, data: dict, name: str) -> np.ndarray:
    with needed(STAGED_AGAIN):
        return cache.array(f"data/{data['id']}/{name}", data["files"][name]["sha256"])


def _slice(part: Part, n: int, seed: int, what: str, classes: Sequence[str]) -> Part:
    return _rows(
        part,
        splits.take(part.labels, np.arange(len(part.labels)), n, seed, f"{what} = {n}", classes),
    )


def _rows(part: Part, rows: np.ndarray) -> Part:
    return Part(
        part.images[rows], part.labels[rows], None if part.groups is None else part.groups[rows]
    )


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
    np.savez_compressed(
        buffer,
        images=np.stack(
            [train.images[np.flatnonzero(train.labels == c)[:n]] for c in range(shown)]
        ),
    )
    return buffer.getvalue()
