"""Turn pictures into arrays of one form: folders and archives of image files, and arrays of other shapes, types and sizes.

With `decoding` the only file through which a data set reaches Pillow. What comes out is uint8 in RGB, 0..255.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from job import errors
from job.data import archives, decoding, layout, names

VALUES = "expected integers 0..255, floats 0..1, or floats that are whole numbers 0..255"

# --- folders and archives ---


@dataclass
class Pictures:
    """A folder or archive of images in memory."""

    classes: tuple[str, ...]
    names: dict[
        str, list[str]
    ]  # part ("train", perhaps "test") -> the names of its images, in order
    parts: dict[
        str, tuple[np.ndarray, ...]
    ]  # part -> images uint8 [n, height, width, 3], labels int64 [n]
    sizes: Counter  # how many files have which (width, height) before they are resized
    bits: int  # that the 16-bit images hold
    notes: list[str]  # for the user


@dataclass
class _Filled:
    """What going through the files has found."""

    images: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # part -> uint8 [n, height, width, 3]
    sizes: Counter = field(default_factory=Counter)
    first: dict[tuple[int, int], str] = field(
        default_factory=dict
    )  # (width, height) -> an image that has it
    damaged: dict[str, str] = field(default_factory=dict)  # image -> what is wrong with it
    deep: dict[str, int] = field(default_factory=dict)  # image of 16 bits -> its largest value


def read(path: Path, size: tuple[int, int] | None, beside: str | None = None) -> Pictures:
    """Read a folder or archive of images, in the order of their names.

    Goes through it twice, first for the names and then for the pixels: an archive is read
    as a stream, and the arrays are filled in place, so that no image is held twice. 16-bit
    images are taken for 16 bits; where all of them hold fewer, these alone are read again.

    Args:
        size: (height, width) to resize to; None: as they are, which must then be one size.
        beside: the name of a file that is no image and rightly there.

    Raises: Invalid, naming all images that cannot be read, or how their sizes differ.
    """
    plan, filled = layout.plan(path, beside), _Filled()
    _fill(filled, path, plan.labels, size)
    if not size and len(filled.sizes) > 1:
        seen = _sizes(filled.sizes, filled.first)
        raise errors.Invalid(
            f"images differ in size, {seen}: set data.image_size, one side of a square or [height, width]"
        )
    largest = max(filled.deep.values(), default=65535)
    bits, notes = decoding.depth(largest), plan.notes
    if bits < 16:
        _fill(filled, path, plan.labels, size, bits)
        notes.append(
            f"{len(filled.deep)} images of 16 bits hold {bits} (the largest value is {largest}): "
            f"0..{2**bits - 1} became 0..255, as it will in images to predict"
        )
    return Pictures(plan.classes, {part: list(of) for part, of in plan.labels.items()}, {
        part: (filled.images[part], np.array(list(of.values()), np.int64)) for part, of in plan.labels.items()
    }, filled.sizes, bits, notes)  # fmt: skip


def _fill(
    filled: _Filled,
    path: Path,
    labels: dict[str, dict[str, int]],
    size: tuple[int, int] | None,
    bits: int = 16,
) -> None:
    """Decode all images; given fewer `bits`, those of 16 bits again. Raises: Invalid."""
    rows = {
        name: (part, row)
        for part in labels
        for row, name in enumerate(labels[part])
        if bits == 16 or name in filled.deep
    }
    for member in archives.members(path):
        if member.name not in rows:
            continue
        try:
            found = decoding.decode(member.read(), f"image {member.name!r} of {path}", size, bits)
        except errors.Invalid as exc:
            filled.damaged[member.name] = str(exc)
            continue
        if bits == 16:
            filled.sizes[found.size] += 1
            filled.first.setdefault(found.size, member.name)
            if found.largest is not None:
                filled.deep[member.name] = found.largest
        pixels = np.asarray(
            found.image.resize(size[::-1], Image.Resampling.BILINEAR) if size else found.image
        )
        if not filled.images:
            filled.images = {
                part: np.empty((len(of), *pixels.shape), np.uint8) for part, of in labels.items()
            }
        part, row = rows[member.name]
        if pixels.shape == filled.images[part].shape[1:]:
            filled.images[part][row] = pixels
    if filled.damaged:
        first, *others = filled.damaged
        raise errors.Invalid(
            f"{filled.damaged[first]}{f'; so are {names.some(others)}' if others else ''}"
        )


def _sizes(sizes: Counter, first: dict[tuple[int, int], str]) -> str:
    """Say which sizes there are: the smallest, the largest, the most frequent, each with an image that has it."""
    by_area = sorted(sizes, key=lambda s: (s[0] * s[1], s))
    shown = dict.fromkeys((by_area[0], by_area[-1], sizes.most_common(1)[0][0]))
    seen = ", ".join(f"{w} x {h} ({sizes[w, h]} images, {first[w, h]!r})" for w, h in shown)
    return f"{seen}{f' and {len(sizes) - len(shown)} more sizes' if len(sizes) > len(shown) else ''} (width x height)"


# --- one file ---


def one(path: Path, shape: tuple[int, int, int], bits: int = 16) -> np.ndarray:
    """Return one image file as uint8 [height, width, 3] of the given shape, as `read` makes it.

    Args: bits: that the 16-bit images held which the model has learnt from.
    Raises: Invalid, for a 16-bit image with more of them, too.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(archives.MEMBER_BYTES + 1)
    except OSError as exc:
        raise errors.Invalid(f"image {str(path)!r} cannot be read: {exc.strerror or exc}") from exc
    if len(data) > archives.MEMBER_BYTES:
        raise errors.Invalid(
            f"image {str(path)!r} has more than {archives.MEMBER_BYTES:,} bytes: make it smaller"
        )
    found = decoding.decode(data, f"image {str(path)!r}", shape[:2], bits)
    if found.largest is not None and found.largest >= 1 << bits:
        raise errors.Invalid(
            f"image {str(path)!r} of 16 bits has values up to {found.largest}: the model has learnt from {bits} bits, 0..{2**bits - 1}; scale it"
        )
    size = (shape[1], shape[0])
    return np.asarray(
        found.image
        if found.image.size == size
        else found.image.resize(size, Image.Resampling.BILINEAR)
    )


# --- arrays ---


def rgb(images: np.ndarray, what: str, counting: bool = False) -> np.ndarray:
    """Return uint8 [n, height, width, 3] of [n, h, w] or [n, h, w, 1|3|4]; alpha goes over white.

    Args:
        images: integers 0..255 of any type, or floats 0..1.
        what: names them in errors.
        counting: floats are whole numbers 0..255.

    Raises: Invalid.
    """
    channels = (1, *images.shape[3:])[-1]
    if images.ndim not in (3, 4) or channels not in (1, 3, 4) or 0 in images.shape:
        shapes = "[n, height, width] or [n, height, width, 1, 3 or 4]"
        raise errors.Invalid(f"{what} has the shape {images.shape}: expected {shapes}")
    images = _bytes(images, what, counting).reshape(*images.shape[:3], channels)
    if channels == 1:
        return np.repeat(images, 3, axis=3)
    if channels == 4:
        return np.stack(
            [np.asarray(decoding.over_white(Image.fromarray(image))) for image in images]
        )
    return images


def counts(images: np.ndarray) -> bool:
    """Tell whether floats are whole numbers that go above 1: then they count 0..255."""
    return (
        bool(images.size)
        and images.max() > 1
        and all((image == np.rint(image)).all() for image in images)
    )


def _bytes(images: np.ndarray, what: str, counting: bool) -> np.ndarray:
    """Return uint8; of floats one image at a time, to need no second float array."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise errors.Invalid(f"{what} is {images.dtype}: {VALUES}; save it as such")
    low, high = images.min(), images.max()
    floats = images.dtype.kind == "f"
    if not (
        low >= 0 and high <= (1 if floats and not counting else 255)
    ):  # not a number fails both
        raise errors.Invalid(f"{what} is {images.dtype} from {low} to {high}: {VALUES}; scale it")
    if not floats:
        return images.astype(np.uint8)
    if counting and not counts(images) and high > 1:
        raise errors.Invalid(
            f"{what} is {images.dtype} from {low} to {high}, not all whole: {VALUES}"
        )
    result = np.empty(images.shape, np.uint8)
    for i, image in enumerate(images):
        result[i] = np.rint(image.astype(np.float32) * (1 if counting else 255))
    return result


def resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 [n, height, width, 3] to (height, width), averaging over all pixels when it gets smaller."""
    if images.shape[1:3] == size:
        return images
    result = np.empty((len(images), *size, 3), np.uint8)
    for i, image in enumerate(images):
        result[i] = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return result


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """Make uint8 [n, height, width, 3] smaller, in proportion, until no side is longer than `side` pixels."""
    height, width = images.shape[1:3]
    scale = min(1.0, side / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    if scale == 1.0 or not len(images):
        return images
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
            for image in images
        ]
    )
