"""A data set in memory, wherever it comes from: its parts, of one size of image, with labels that can be learnt."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from job import errors
from job.data import names, pictures

DARK = 32  # the largest value of all pixels is below: nobody would see a thing


@dataclass(frozen=True)
class Part:
    """The training or the test part of a data set."""

    images: np.ndarray  # uint8 [n, height, width, 3], RGB, 0..255
    labels: np.ndarray  # int64 [n], 0..len(classes)-1
    groups: np.ndarray | None = (
        None  # int64 [n], the same for images that belong together by data.groups, in both parts
    )


@dataclass(frozen=True)
class Source:
    """A data set in memory."""

    name: str  # what the report calls it: "CIFAR-10", "digits", the file's name
    classes: tuple[str, ...]
    train: Part
    test: Part | None  # None: the source ships no test part
    sizes: dict[tuple[int, int], int]  # (width, height) of the images as they come -> how many
    notes: tuple[str, ...] = ()  # what its owner should know of how it was read, a sentence each
    bits: int = 16  # that its 16-bit images hold: what `predict` scales by, too


def fitted(
    name: str,
    classes: tuple[str, ...],
    train: Part,
    test: Part | None,
    size: tuple[int, int] | None,
    notes: Iterable[str] = (),
) -> Source:
    """Return arrays as a source, both parts resized to `size`; without it their sizes must be equal."""
    sizes = Counter()
    for part in filter(None, (train, test)):
        sizes[part.images.shape[2], part.images.shape[1]] += len(part.labels)
    if size:
        train, test = (
            part and Part(pictures.resized(part.images, size), part.labels, part.groups)
            for part in (train, test)
        )
    if test and test.images.shape[1:] != train.images.shape[1:]:
        seen = " and ".join("{1} x {0}".format(*part.images.shape[1:3]) for part in (train, test))
        raise errors.Invalid(f"images differ in size, {seen} (training, test): set data.image_size")
    return Source(name, classes, train, test, dict(sizes), tuple(notes))


def checked(source: Source) -> Source:
    """Refuse what cannot be learnt: fewer than two classes, labels outside of them, a class without a training image.

    Notes what is almost black or all the same. Raises: Invalid.
    """
    k = len(source.classes)
    if k < 2:
        raise errors.Invalid(
            f"there is only {k} class ({', '.join(source.classes)}): expected 2 or more"
        )
    for name, part in (("training", source.train), ("test", source.test)):
        if part and (part.labels.min() < 0 or part.labels.max() >= k):
            seen = f"{part.labels.min()}..{part.labels.max()}"
            raise errors.Invalid(
                f"the {name} labels are {seen}: expected 0..{k - 1} for {k} classes"
            )
    empty = np.flatnonzero(np.bincount(source.train.labels, minlength=k) == 0)
    if len(empty):
        raise errors.Invalid(
            f"class {source.classes[empty[0]]!r} (label {empty[0]}) has no training image: remove it or add some"
        )
    for name in source.classes:
        names.checked(name, "a class")
    return replace(
        source,
        name=source.name if names.is_text(source.name) else names.shown(source.name)[1:-1],
        notes=(*source.notes, *_dark(source)),
    )


def _dark(source: Source) -> list[str]:
    """Return a note when all pixels of all images are about black, or the same."""
    parts = [part.images for part in (source.train, source.test) if part]
    low, high = min(images.min() for images in parts), max(images.max() for images in parts)
    if low == high:
        return [
            f"all pixels of all images have the value {high}: there is nothing to learn from them"
        ]
    if high == 1:
        return [
            "values are only 0 and 1, of 0..255: the images will be almost black; multiply them by 255 if they are masks"
        ]
    if high < DARK:
        return [
            f"the largest value of all pixels is {high}, of 0..255: the images will be almost black; scale them if they hold fewer bits"
        ]
    return []
