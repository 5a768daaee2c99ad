"""Read the image files of a data set: uint8 in RGB, 0..255, in a file on the cache's disk."""

import hashlib
import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from job import __version__, errors
from job.data import archives, decoding
from job.data.decoder import Decoder, sizes_of
from job.data.formats.plan import Plan
from job.data.images import Images
from job.data.options import Options
from job.data.pixel_file import PixelFile
from job.data.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass
class Pictures:
    """The images of a data set; a part is "train", perhaps "validation" and "test"."""

    classes: tuple[str, ...]
    damaged: list[str]  # the names of images that were left out
    sizes: Counter[tuple[int, int]]  # original (width, height) -> number of files
    bits: int  # how many of their 16 bits the 16-bit images use
    notes: list[str]  # for the user
    groups: dict[str, str]  # image -> its group, if its format has groups
    names: dict[str, list[str]] = field(default_factory=dict)  # part -> of its images, in order
    images: dict[str, Images] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)  # part -> int64 [n]
    # "train" -> bool [n], shipped as a validation part, once that has joined the training part.
    validation: dict[str, np.ndarray] = field(default_factory=dict)


def read(plan: Plan, size: tuple[int, int] | None, work: Workspace, options: Options) -> Pictures:
    """Read the image files of a data set, in the order of its plan.

    All cores decode them into a file on the cache's disk. 16-bit images are first read as using
    all 16 bits; if all of them use fewer, they alone are read again.

    Args:
        plan: which files are of which part and class.
        size: (height, width) to resize to; None keeps the size, which must then be the same.
        work: for the pixels; those that a killed process decoded are taken over.
        options: of the experiment.

    Raises:
        errors.Invalid: images that cannot be read, all of them named; images that differ in
            size.
        errors.Unreachable: the cache's disk is full.
    """
    ordered = [name for part in plan.labels.values() for name in part]
    key = _key(plan, ordered, size, options.fit)
    with PixelFile(work, key, len(ordered), size) as file:
        if known := int(file.facts["is_done"].sum()):
            log.info("%d of %d images were decoded by a killed process", known, len(ordered))
        decoder = Decoder(plan, ordered, size, options.fit, file)
        notes = [*plan.notes, *decoder.decode_all(options.skip)]
        stack = file.stack()
        sizes = sizes_of(file.facts)
    found = Pictures(
        plan.classes,
        damaged=[ordered[row] for row in sorted(decoder.damaged)],
        sizes=sizes,
        bits=decoder.bits,
        notes=notes,
        groups=plan.groups,
    )
    first = 0
    for part, of in plan.labels.items():
        is_kept = np.array([first + i not in decoder.damaged for i in range(len(of))], bool)
        rows = np.flatnonzero(is_kept)
        if not len(rows):
            raise errors.Invalid(f"no image of the {part} part of {plan.path} can be read")
        found.names[part] = [name for name, kept in zip(of, is_kept, strict=True) if kept]
        found.images[part] = Images(stack, first + rows)
        found.labels[part] = np.array(list(of.values()), np.int64)[rows]
        first += len(of)
    return found


def _key(
    plan: Plan,
    ordered: list[str],
    size: tuple[int, int] | None,
    fit: str,
) -> str:
    """Return a name for the work of decoding these very files with this very code."""
    place = str(plan.path.resolve())
    work = [__version__, PIL.__version__, place, size, fit, plan.version, ordered]
    return hashlib.sha256(json.dumps(work).encode()).hexdigest()[:16]


def read_one(
    path: Path, shape: tuple[int, int, int], bits: int = 16, fit: str = decoding.STRETCH
) -> np.ndarray:
    """Read one image file as `read` does; the caller sets `decoding.bounded`.

    Args:
        path: the file.
        shape: (height, width, 3) of the result.
        bits: how many of their 16 bits the images use that the model was trained on.
        fit: how those images got their shape.

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
    decoded = decoding.decode(data, what, (height, width), bits, fit)
    if decoded.largest is not None and decoded.largest >= 1 << bits:
        raise errors.Invalid(
            f"{what} of 16 bits has values up to {decoded.largest}: "
            f"the model was trained on {bits} bits, 0..{2**bits - 1}; scale it"
        )
    return np.asarray(decoded.image)


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
    return np.stack(
        [np.asarray(decoding.resize_image(Image.fromarray(image), size)) for image in images]
    )
