"""Read folders and archives of image files into arrays: uint8 in RGB, 0..255."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from job import errors
from job.data import archives, decoding, depths, layout, names
from job.data.pixels import resize_image


@dataclass
class Pictures:
    """A folder or an archive of images in memory; a part is "train" or perhaps "test"."""

    classes: tuple[str, ...]
    names: dict[str, list[str]]  # part -> the names of its images, in order
    images: dict[str, np.ndarray]  # part -> uint8 [n, height, width, 3]
    labels: dict[str, np.ndarray]  # part -> int64 [n]
    sizes: Counter[tuple[int, int]]  # original (width, height) -> number of files
    bits: int  # how many of their 16 bits the 16-bit images use
    notes: list[str]  # for the user


@dataclass
class _Progress:
    """What the passes over the files have read so far."""

    images: dict[str, np.ndarray] = field(default_factory=dict)  # part -> uint8 [n, h, w, 3]
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    # (width, height) -> the first image that has it
    first: dict[tuple[int, int], str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)  # image -> its error
    deep: dict[str, int] = field(default_factory=dict)  # 16-bit image -> its largest value


def read(path: Path, size: tuple[int, int] | None, groups: str | None = None) -> Pictures:
    """Read a folder or an archive of images, in the order of their names.

    Goes through it twice, first for the names and then for the pixels: an archive is read as a
    stream, and the arrays are filled in place, so that no image is in memory twice. 16-bit images
    are first read as using all 16 bits; if all of them use fewer, they alone are read again.

    Args:
        path: the folder or archive.
        size: (height, width) to resize to; None keeps the size, which must then be the same.
        groups: `data.groups`; a file of this name is expected beside the images.

    Raises:
        errors.Invalid: another layout; images that cannot be read, all of them named; images
            that differ in size.
    """
    plan = layout.plan(path, groups)
    progress = _Progress()
    _fill(progress, path, plan.labels, size)
    if not size and len(progress.sizes) > 1:
        raise errors.Invalid(
            f"images differ in size, {_list_sizes(progress)}: "
            "set data.image_size, one side of a square or [height, width]"
        )
    largest = max(progress.deep.values(), default=65535)
    bits = depths.smallest(largest)
    notes = plan.notes
    if bits < 16:
        _fill(progress, path, plan.labels, size, bits)
        notes.append(
            f"{len(progress.deep)} images of 16 bits use only {bits} of them (the largest value "
            f"is {largest}): 0..{2**bits - 1} became 0..255, as it will in images to predict"
        )
    return Pictures(
        plan.classes,
        {part: list(of) for part, of in plan.labels.items()},
        progress.images,
        {part: np.array(list(of.values()), np.int64) for part, of in plan.labels.items()},
        progress.sizes,
        bits,
        notes,
    )


def _fill(
    progress: _Progress,
    path: Path,
    labels: dict[str, dict[str, int]],
    size: tuple[int, int] | None,
    bits: int = 16,
) -> None:
    """Decode all images; if `bits` are fewer than 16, only the 16-bit images. Raises: Invalid."""
    rows = {
        name: (part, row)
        for part in labels
        for row, name in enumerate(labels[part])
        if bits == 16 or name in progress.deep
    }
    for member in archives.members(path):
        if member.name not in rows:
            continue
        what = f"image {member.name!r} of {path}"
        try:
            decoded = decoding.decode(member.read(), what, size, bits)
        except errors.Invalid as exc:
            progress.damaged[member.name] = str(exc)
            continue
        if bits == 16:
            _record(progress, member.name, decoded)
        image = resize_image(decoded.image, size) if size else decoded.image
        _store(progress, labels, rows[member.name], np.asarray(image))
    if progress.damaged:
        first, *others = progress.damaged
        also = f"; so are {names.list_some(others)}" if others else ""
        raise errors.Invalid(f"{progress.damaged[first]}{also}")


def _record(progress: _Progress, name: str, decoded: decoding.Decoded) -> None:
    progress.sizes[decoded.size] += 1
    progress.first.setdefault(decoded.size, name)
    if decoded.largest is not None:
        progress.deep[name] = decoded.largest


def _store(
    progress: _Progress,
    labels: dict[str, dict[str, int]],
    place: tuple[str, int],
    pixels: np.ndarray,
) -> None:
    """Store pixels in their row; the first image decides the size, and others are left out."""
    if not progress.images:
        progress.images = {
            part: np.empty((len(of), *pixels.shape), np.uint8) for part, of in labels.items()
        }
    part, row = place
    if pixels.shape == progress.images[part].shape[1:]:
        progress.images[part][row] = pixels


def _list_sizes(progress: _Progress) -> str:
    """Return the smallest, the largest and the most frequent size, each with an image of it."""
    sizes = progress.sizes
    by_area = sorted(sizes, key=_area)
    most_frequent = sizes.most_common(1)[0][0]
    listed = dict.fromkeys((by_area[0], by_area[-1], most_frequent))
    examples = ", ".join(
        f"{width} x {height} ({sizes[width, height]} images, {progress.first[width, height]!r})"
        for width, height in listed
    )
    others = len(sizes) - len(listed)
    more = f" and {others} more sizes" if others else ""
    return f"{examples}{more} (width x height)"


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    width, height = size
    return width * height, size


def read_one(path: Path, shape: tuple[int, int, int], bits: int = 16) -> np.ndarray:
    """Read one image file as `read` does.

    Args:
        path: the file.
        shape: (height, width, 3) of the result.
        bits: how many of their 16 bits the images use that the model was trained on.

    Returns:
        uint8 [height, width, 3].

    Raises:
        errors.Invalid: the file cannot be read, or is a 16-bit image that uses more bits.
    """
    what = f"image {str(path)!r}"
    try:
        with open(path, "rb") as file:
            data = file.read(archives.MEMBER_BYTES + 1)
    except OSError as exc:
        raise errors.Invalid(f"{what} cannot be read: {exc.strerror or exc}") from exc
    if len(data) > archives.MEMBER_BYTES:
        raise errors.Invalid(
            f"{what} has more than {archives.MEMBER_BYTES:,} bytes: make it smaller"
        )
    height, width, _ = shape
    decoded = decoding.decode(data, what, (height, width), bits)
    if decoded.largest is not None and decoded.largest >= 1 << bits:
        raise errors.Invalid(
            f"{what} of 16 bits has values up to {decoded.largest}: "
            f"the model was trained on {bits} bits, 0..{2**bits - 1}; scale it"
        )
    image = decoded.image
    if image.size != (width, height):
        image = resize_image(image, (height, width))
    return np.asarray(image)


def thumbnails(images: np.ndarray, side: int) -> np.ndarray:
    """Make images smaller, in proportion, until no side is longer than `side` pixels.

    Args:
        images: uint8 [n, height, width, 3].
        side: in pixels.
    """
    height, width = images.shape[1:3]
    scale = min(1.0, side / max(height, width))
    if scale == 1.0 or not len(images):
        return images
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    return np.stack([np.asarray(resize_image(Image.fromarray(image), size)) for image in images])
