"""CIFAR-10 and CIFAR-100 from a folder or an archive, in their Python and their binary forms.

Source: www.cs.toronto.edu/~kriz/cifar.html.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from job.data.formats import pickles
from job.data.formats.arrays import Arrays, Named
from job.data.formats.tree import Tree
from job.errors import Invalid

SIDE = 32
PIXELS = 3 * SIDE * SIDE
FINE = "fine"
COARSE = "coarse"


@dataclass(frozen=True)
class Form:
    """How one of the four keeps its batches and the names of its classes."""

    title: str
    train: tuple[str, ...]
    test: str
    names: dict[str, str]  # kind of label -> the file with the names of its classes
    # Kind of label -> where a batch has it: the key of a pickle, or the column of a binary row.
    labels: dict[str, bytes | int]
    names_key: dict[str, bytes]  # kind of label -> the key of the names, of a pickle

    @property
    def files(self) -> set[str]:
        """The names of all files that are read."""
        return {*self.train, self.test, *self.names.values()}


FORMS = (
    Form(
        "CIFAR-10 for Python",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch",
        {"": "batches.meta"},
        {"": b"labels"},
        {"": b"label_names"},
    ),
    Form(
        "CIFAR-10 in its binary form",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
        {"": "batches.meta.txt"},
        {"": 0},
        {},
    ),
    Form(
        "CIFAR-100 for Python",
        ("train",),
        "test",
        {FINE: "meta", COARSE: "meta"},
        {FINE: b"fine_labels", COARSE: b"coarse_labels"},
        {FINE: b"fine_label_names", COARSE: b"coarse_label_names"},
    ),
    Form(
        "CIFAR-100 in its binary form",
        ("train.bin",),
        "test.bin",
        {FINE: "fine_label_names.txt", COARSE: "coarse_label_names.txt"},
        {COARSE: 0, FINE: 1},
        {},
    ),
)


def form_of(listing: Tree) -> Form | None:
    """Return the form whose files are all there, None if there is none."""
    there = {PurePosixPath(name).name for name in listing.files.values()}
    return next((form for form in FORMS if form.files <= there), None)


def read(listing: Tree, form: Form, kind: str | None) -> Arrays:
    """Read the batches of a folder or an archive.

    Args:
        listing: its names.
        form: of its batches.
        kind: `data.labels`: of CIFAR-100 "fine" or "coarse"; None for the fine ones.

    Raises:
        Invalid: damaged, unsafe, or another kind of labels.
    """
    kinds = [*form.labels]
    if kind is not None and kind not in kinds:
        what = f'"{FINE}" or "{COARSE}"' if FINE in kinds else "no such key"
        raise Invalid(
            f'data.labels = "{kind}": {form.title} has one kind of labels per class;'
            f" expected {what}"
        )
    chosen = kind or (FINE if FINE in kinds else "")
    content: dict[str, bytes] = {}
    for member in listing.members():
        name = PurePosixPath(member.name).name
        if name in form.files and not member.is_folder:
            if name in content:
                raise Invalid(f"{listing.path} has {name!r} twice: keep one data set in it")
            content[name] = member.read()
    classes = _classes(content[form.names[chosen]], form, chosen, listing)
    images = {}
    labels = {}
    parts = {"train": form.train, "test": (form.test,)}
    for part, batches in parts.items():
        read_batches = [_batch(content[name], name, form, chosen, listing) for name in batches]
        images[part] = Named(batches[0], np.concatenate([pixels for pixels, _ in read_batches]))
        labels[part] = Named(batches[0], np.concatenate([numbers for _, numbers in read_batches]))
    return Arrays(listing.path, images, labels, Named(form.names[chosen], np.array(classes)))


def _batch(
    content: bytes, name: str, form: Form, kind: str, listing: Tree
) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 [n, 32, 32, 3], and labels, int64 [n]. Raises: Invalid."""
    where = form.labels[kind]
    if isinstance(where, int):
        rows, labels = _binary(content, where, len(form.labels))
    else:
        rows, labels = _pickled(content, where, name)
    if rows is None or labels is None:
        raise Invalid(
            f"{name!r} of {listing.path} is not a batch of {form.title}, or cut short: download it"
            " again"
        )
    images = rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _binary(
    content: bytes, column: int, columns: int
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    size = columns + PIXELS
    if not content or len(content) % size:
        return None, None
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    return rows[:, columns:], rows[:, column].astype(np.int64)


def _pickled(
    content: bytes, key: bytes, name: str
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    batch = pickles.unpickle(content, name)
    if not isinstance(batch, dict):
        return None, None
    values = batch.get(b"data")
    labels = batch.get(key)
    if not isinstance(values, pickles.Array) or not isinstance(labels, list) or not labels:
        return None, None
    if not all(isinstance(label, int) for label in labels):
        return None, None
    if values.values.shape != (len(labels), PIXELS):
        return None, None
    return values.values, np.array(labels, np.int64)


def _classes(content: bytes, form: Form, kind: str, listing: Tree) -> list[str]:
    """Return the names of the classes. Raises: Invalid."""
    name = form.names[kind]
    if kind in form.names_key:
        meta = pickles.unpickle(content, name)
        listed = meta.get(form.names_key[kind]) if isinstance(meta, dict) else None
    else:
        listed = content.split()
    if not isinstance(listed, list) or not all(isinstance(item, bytes) for item in listed):
        raise Invalid(f"{name!r} of {listing.path} has no names of classes: download it again")
    return [item.decode("utf-8", "replace") for item in listed]
