"""Data sets that are arrays of images and labels: turn them into parts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from job.data import depths, pixels
from job.data.dataset import Part
from job.data.formats import labels, part_names
from job.data.images import Images
from job.data.workspace import Workspace
from job.errors import Invalid


class Named(NamedTuple):
    """An array, and what its file calls it."""

    key: str
    values: np.ndarray


@dataclass
class Arrays:
    """A data set as arrays; a part is "train", perhaps "validation" and "test"."""

    path: Path
    images: dict[str, Named]  # part -> [n, height, width(, channels)], of any type
    labels: dict[str, Named]  # part -> numbers, names or one-hot rows
    classes: Named | None = None  # the names of the classes
    groups: dict[str, np.ndarray] = field(default_factory=dict)  # part -> int64 [n], if any
    notes: list[str] = field(default_factory=list)  # for the user


@dataclass(frozen=True)
class Converted:
    """The parts of a data set, with images of uint8."""

    classes: tuple[str, ...]
    train: Part
    validation: Part | None
    test: Part | None
    notes: list[str]
    bits: int  # how many of their 16 bits the 16-bit images use


def convert(arrays: Arrays, work: Workspace) -> Converted:
    """Return the parts of arrays.

    Args:
        arrays: as they are in the file.
        work: for the pixels.

    Raises:
        Invalid: unknown shapes, types or values; not as many labels as images.
    """
    path = arrays.path
    parts = [part for part in part_names.PARTS if part in arrays.images]
    given = {
        part: (f"{named.key} of {path}", named.values) for part, named in arrays.labels.items()
    }
    names_key = arrays.classes.key if arrays.classes else None
    names = arrays.classes.values if arrays.classes else None
    images, bits, notes = _images(arrays, parts, work)
    known = labels.read(given, names, f"{names_key} of {path}")
    found = {}
    for part in parts:
        n = len(images[part])
        n_labels = len(known.numbers[part])
        if n != n_labels:
            raise Invalid(
                f"{path} has {n} images in {arrays.images[part].key} and "
                f"{n_labels} labels in {arrays.labels[part].key}: "
                "expected as many labels as images"
            )
        found[part] = Part(images[part], known.numbers[part], arrays.groups.get(part))
    return Converted(
        known.classes,
        found["train"],
        found.get("validation"),
        found.get("test"),
        [*arrays.notes, *notes, *known.notes],
        bits,
    )


def _images(
    arrays: Arrays, parts: list[str], work: Workspace
) -> tuple[dict[str, Images], int, list[str]]:
    """Return the images of each part, the bits that 16-bit values use, and notes.

    Values of all parts mean what those of the training part mean.
    """
    images = {}
    notes = []
    whole = None  # floats are whole numbers 0..255; None before the first floats
    bits = _bits(arrays, parts)
    for part in parts:
        key, values = arrays.images[part]
        what = f"{key} of {arrays.path}"
        if pixels.is_channels_first(values):
            notes.append(f"{key} is {values.shape}: it is read as [n, channels, height, width]")
            values = values.transpose(0, 2, 3, 1)
        if values.dtype.kind == "f":
            if whole is None:
                whole = pixels.are_whole(values)
            if whole:
                notes.append(
                    f"{key} holds whole numbers above 1 as {values.dtype}: they are read as 0..255"
                )
        if bits and values.dtype.kind in "iu":
            notes.append(
                f"{key} is {values.dtype}: 0..{2**bits - 1} became 0..255, as it will in images"
                " to predict"
            )
        converted = pixels.rgb(values, what, bool(whole), bits)
        images[part] = work.write(converted, pixels.rgb_shape(values))
    return images, bits or 16, notes


def _bits(arrays: Arrays, parts: list[str]) -> int | None:
    """Return how many bits the values of two bytes use, None if they are 0..255."""
    largest = 0
    for part in parts:
        values = arrays.images[part].values
        if values.dtype.kind in "iu" and values.dtype.itemsize == 2 and values.size:
            low, high = pixels.extremes(values)
            if low >= 0:
                largest = max(largest, int(high))
    return depths.smallest(largest) if largest > 255 else None
