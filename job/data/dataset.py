"""A data set, wherever it comes from: images of one size, with valid labels."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from job import errors
from job.data import names, pixels
from job.data.images import Images
from job.data.workspace import Workspace

DARK = 32  # if no pixel reaches this value, nobody can see anything


@dataclass(frozen=True)
class Part:
    """The training or the test part of a data set."""

    images: Images  # uint8 [n, height, width, 3], RGB, 0..255
    labels: np.ndarray  # int64 [n], 0..len(classes)-1
    # int64 [n], equal for images of one named group, in the same numbers in both parts.
    groups: np.ndarray | None = None
    # bool [n] of the training part: shipped as a validation part; None if none is shipped.
    validation: np.ndarray | None = None

    def select(self, rows: np.ndarray) -> "Part":
        """Return some rows, by their indices."""
        groups = None if self.groups is None else self.groups[rows]
        validation = None if self.validation is None else self.validation[rows]
        return Part(self.images.select(rows), self.labels[rows], groups, validation)


def joined(train: Part, validation: Part, work: Workspace) -> Part:
    """Return a training part that the rows of a validation part end.

    Args:
        train: without a validation part.
        validation: with groups if `train` has them.
        work: for the pixels.

    Raises:
        errors.Invalid: the parts differ in size.
        errors.Unreachable: the disk is full or broken.
    """
    if train.images.shape[1:] != validation.images.shape[1:]:
        raise errors.Invalid(
            f"images differ in size, {_size(train)} and {_size(validation)} (training,"
            " validation): set data.image_size"
        )
    n = len(train.images)
    n_validation = len(validation.images)
    blocks = chain(train.images.blocks(), validation.images.blocks())
    images = work.write(blocks, (n + n_validation, *train.images.shape[1:]))
    groups = None
    if train.groups is not None and validation.groups is not None:
        groups = np.concatenate([train.groups, validation.groups])
    labels = np.concatenate([train.labels, validation.labels])
    return Part(images, labels, groups, np.repeat([False, True], [n, n_validation]))


def groups_of(train: Part, test: Part) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the groups of both parts, None if there are none.

    Raises:
        ValueError: only the training part has groups.
    """
    if train.groups is None:
        return None
    if test.groups is None:
        raise ValueError("the training part has groups and the test part has none")
    return train.groups, test.groups


@dataclass(frozen=True)
class Source:
    """A data set."""

    name: str  # as the report shows it: "CIFAR-10", "digits", the file's name
    classes: tuple[str, ...]
    train: Part
    test: Part | None  # None: the source ships no test part
    sizes: dict[tuple[int, int], int]  # original (width, height) -> number of images
    notes: tuple[str, ...] = ()  # what its owner should know of how it was read, a sentence each
    damaged: tuple[str, ...] = ()  # the names of images that were left out
    bits: int = 16  # how many of their 16 bits the 16-bit images use; `predict` scales by it too


def as_source(
    name: str,
    classes: tuple[str, ...],
    train: Part,
    test: Part | None,
    size: tuple[int, int] | None,
    work: Workspace,
    fit: str,
    notes: Iterable[str] = (),
    bits: int = 16,
    validation: Part | None = None,
) -> Source:
    """Return parts as a source with images of one size.

    Args:
        name: as the report shows it.
        classes: the names of the labels, in order.
        train: the training part.
        test: the test part, if the source ships one.
        size: (height, width) to resize to; None keeps the size, which must then be the same.
        work: for resized pixels.
        fit: how images get another shape, one of `decoding.FITS`.
        notes: what its owner should know of how it was read.
        bits: how many of their 16 bits the 16-bit images use.
        validation: a part that is shipped for validation; it ends the training part.

    Raises:
        errors.Invalid: without `size`, the parts differ in size; a label of the validation part is
            of no class.
    """
    sizes = Counter()
    for part in (train, validation, test):
        if part:
            height, width = part.images.shape[1:3]
            sizes[width, height] += len(part.labels)
    if size:
        train = _resize(train, size, work, fit)
        validation = _resize(validation, size, work, fit) if validation else None
        test = _resize(test, size, work, fit) if test else None
    if validation:
        _check_labels(validation, "validation", len(classes))
        train = joined(train, validation, work)
    if test and test.images.shape[1:] != train.images.shape[1:]:
        both = f"{_size(train)} and {_size(test)}"
        raise errors.Invalid(f"images differ in size, {both} (training, test): set data.image_size")
    return Source(name, classes, train, test, dict(sizes), tuple(notes), bits=bits)


def _resize(part: Part, size: tuple[int, int], work: Workspace, fit: str) -> Part:
    if part.images.shape[1:3] == size:
        return part
    resized = (pixels.resize(block, size, fit) for block in part.images.blocks())
    return replace(part, images=work.write(resized, (len(part.images), *size, 3)))


def _size(part: Part) -> str:
    height, width = part.images.shape[1:3]
    return f"{width} x {height}"


def validate(source: Source) -> Source:
    """Return the source if a model can learn from it, with a printable name and its last notes.

    Raises:
        errors.Invalid: fewer than two classes, a label of no class, a class without a training
            image, or a class whose name is not text.
    """
    _check_classes(source)
    for name in source.classes:
        names.check_text(name, "a class")
    name = source.name if names.is_text(source.name) else names.escape(source.name)
    return replace(source, name=name, notes=(*source.notes, *_dark(source)))


def _check_classes(source: Source) -> None:
    k = len(source.classes)
    if k < 2:
        only = ", ".join(source.classes)
        raise errors.Invalid(f"there is only {k} class ({only}): expected 2 or more")
    _check_labels(source.train, "training", k)
    if source.test:
        _check_labels(source.test, "test", k)
    empty = np.flatnonzero(np.bincount(source.train.labels, minlength=k) == 0)
    if len(empty):
        label = empty[0]
        raise errors.Invalid(
            f"class {source.classes[label]!r} (label {label}) has no training image: "
            "remove the class or add images"
        )


def _check_labels(part: Part, name: str, k: int) -> None:
    low = part.labels.min()
    high = part.labels.max()
    if low == high == -1:
        raise errors.Invalid(
            f"the {name} labels are all -1, so this part has none: leave it out, then"
            " data.holdout makes a test part"
        )
    if low < 0 or high >= k:
        raise errors.Invalid(
            f"the {name} labels are {low}..{high}: expected 0..{k - 1} for {k} classes"
        )


def _dark(source: Source) -> list[str]:
    """Return a note if all pixels of all images are almost black, or have the same value."""
    low = 255
    high = 0
    for part in (source.train, source.test):
        for block in part.images.blocks() if part else ():
            low = min(low, int(block.min()))
            high = max(high, int(block.max()))
            if high >= DARK and low < high:
                return []
    if low == high:
        return [f"all pixels of all images have the value {high}: there is nothing to learn"]
    if high == 1:
        return [
            "values are only 0 and 1, of 0..255: the images will be almost black; "
            "multiply them by 255 if they are masks"
        ]
    return [
        f"the largest value of all pixels is {high}, of 0..255: "
        "the images will be almost black; scale them if they hold fewer bits"
    ]
