"""Turn pictures into arrays of one form: folders and archives of image files, and arrays of other shapes, types and sizes.

The only file through which a data set reaches Pillow. What comes out is uint8 in RGB, 0..255.
"""

import io
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from job import archives, errors

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")  # no other decoder of Pillow is reached, whatever a file is called
MAX_PIXELS = 50_000_000
PARTS = ("train", "test")
ALIKE = {"train": "train", "training": "train", "test": "test", "testing": "test"}  # in any case: what a part may be miscalled
LAYOUT = "train/<class>/<image> and perhaps test/<class>/<image>, or <class>/<image>"


# --- folders and archives ---


@dataclass
class Pictures:
    """A folder or archive of images in memory."""

    classes: tuple[str, ...]
    names: dict[str, list[str]]  # part ("train", perhaps "test") -> the names of its images, in order
    parts: dict[str, tuple[np.ndarray, ...]]  # part -> images uint8 [n, height, width, 3], labels int64 [n]
    sizes: Counter  # how many files have which (width, height) before they are resized
    notes: list[str]  # for the user


def read(path: Path, size: tuple[int, int] | None, beside: str | None = None) -> Pictures:
    """Read a folder or archive of images, in the order of their names.

    Goes through it twice, first for the names and then for the pixels: an archive is read
    as a stream, and the arrays are filled in place, so that no image is held twice.

    Args:
        size: (height, width) to resize to; None: as they are, which must then be one size.
        beside: the name of a file that is no image and rightly there.

    Raises: Invalid, naming all images that cannot be read, or how their sizes differ.
    """
    classes, plan, notes = _plan(path, beside)
    rows = {name: (part, row) for part in plan for row, name in enumerate(plan[part])}
    images, sizes, first, damaged = {}, Counter(), {}, {}
    for member in archives.members(path):
        if member.name not in rows:
            continue
        try:
            image = _decoded(member.read(), f"image {member.name!r} of {path}")
        except errors.Invalid as exc:
            damaged[member.name] = str(exc)
            continue
        sizes[image.size] += 1
        first.setdefault(image.size, member.name)
        pixels = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR) if size else image)
        if not images:
            images = {part: np.empty((len(plan[part]), *pixels.shape), np.uint8) for part in plan}
        part, row = rows[member.name]
        if pixels.shape == images[part].shape[1:]:
            images[part][row] = pixels
    if damaged:
        others = f"; so are {some(list(damaged)[1:])}" if len(damaged) > 1 else ""
        raise errors.Invalid(f"{next(iter(damaged.values()))}{others}")
    if not size and len(sizes) > 1:
        raise errors.Invalid(f"images differ in size, {_sizes(sizes, first)}: set data.image_size, one side of a square or [height, width]")
    return Pictures(classes, {part: list(plan[part]) for part in plan}, {
        part: (images[part], np.array(list(plan[part].values()), np.int64)) for part in plan
    }, sizes, notes)  # fmt: skip


def _sizes(sizes: Counter, first: dict[tuple[int, int], str]) -> str:
    """Say which sizes there are: the smallest, the largest, the most frequent, each with an image that has it."""
    by_area = sorted(sizes, key=lambda s: (s[0] * s[1], s))
    shown = dict.fromkeys((by_area[0], by_area[-1], sizes.most_common(1)[0][0]))
    seen = ", ".join(f"{w} x {h} ({sizes[w, h]} images, {first[w, h]!r})" for w, h in shown)
    return f"{seen}{f' and {len(sizes) - len(shown)} more sizes' if len(sizes) > len(shown) else ''} (width x height)"


def _plan(path: Path, beside: str | None) -> tuple[tuple[str, ...], dict[str, dict[str, int]], list[str]]:
    """Return the class names, the label of each image ({"train": {member: label}, "test": ...}), sorted, and notes."""
    files, folders = {}, set()
    for member in archives.members(path):
        parts = PurePosixPath(member.name).parts
        if member.is_folder:
            folders.add(parts)
        else:
            files[parts] = member.name
    folders |= {parts[:n] for parts in files for n in range(1, len(parts))}  # an archive need not name them
    top = _top(files)
    miscalled = {p[len(top)] for p in files if len(p) > len(top) + 2 and p[len(top)] not in PARTS and p[len(top)].lower() in ALIKE}
    for name in sorted(miscalled):
        raise errors.Invalid(
            f"folder {'/'.join((*top, name))!r} of {path} is miscalled: rename it to {ALIKE[name.lower()]!r}; expected {LAYOUT}"
        )
    split = (*top, "train") in folders
    prefixes = {part: (*top, part) for part in ("train", "test") if (*top, part) in folders} if split else {"train": top}
    found = {part: _classes_below(path, prefix, files, folders) for part, prefix in prefixes.items()}
    used = {name for part in found.values() for images in part.values() for name in images}
    ignored = [name for name in files.values() if name not in used and beside not in (name, name.partition("/")[2])]
    notes = []
    if ignored:
        notes.append(
            f"{len(ignored)} files are not used: no image by their suffix ({' '.join(IMAGES)}), or outside of {LAYOUT}: {some(ignored)}"
        )
    classes = tuple(sorted(found["train"]))
    if unknown := set(found.get("test", ())).difference(classes):
        raise errors.Invalid(f"{path} has {some(unknown)} in test/ but not in train/: expected the same classes")
    return classes, {part: {name: classes.index(c) for c in sorted(of) for name in of[c]} for part, of in found.items()}, notes


def _top(files: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The one folder all classes are in, as archives have it, or nothing."""
    tops = {parts[0] for parts in files if len(parts) > 1}
    deeper = any(len(parts) > 2 for parts in files)
    return tuple(tops) if len(tops) == 1 and deeper and not tops & {"train", "test"} else ()


def _classes_below(
    path: Path, prefix: tuple[str, ...], files: dict[tuple[str, ...], str], folders: set[tuple[str, ...]]
) -> dict[str, list[str]]:
    """The images of each class folder below `prefix`: {class: sorted members}."""
    n = len(prefix)
    found = {parts[n]: [] for parts in folders if len(parts) == n + 1 and parts[:n] == prefix}
    for parts, name in sorted(files.items()):
        if parts[:n] != prefix or len(parts) < n + 2 or not name.lower().endswith(IMAGES):
            continue
        if len(parts) > n + 2:
            raise errors.Invalid(f"image {name!r} of {path} is too deep: expected {LAYOUT}")
        found[parts[n]].append(name)
    if not found:
        where = f" in {'/'.join(prefix)}/" if prefix else ""
        raise errors.Invalid(f"{path} has no class folder{where}: expected {LAYOUT}")
    if empty := sorted(name for name in found if not found[name]):
        folder = "/".join((*prefix, empty[0]))
        raise errors.Invalid(f"class folder {folder!r} of {path} has no image ({' '.join(IMAGES)}): remove it or add some")
    return found


def some(names: Iterable[str], most: int = 8) -> str:
    """Name a few of them, sorted, for a message, and count the rest."""
    names = sorted(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


# --- one file ---


def one(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Return one image file as uint8 [height, width, 3] of the given shape, as `read` makes it. Raises: Invalid."""
    try:
        with open(path, "rb") as file:
            data = file.read(archives.MEMBER_BYTES + 1)
    except OSError as exc:
        raise errors.Invalid(f"image {str(path)!r} cannot be read: {exc.strerror or exc}") from exc
    if len(data) > archives.MEMBER_BYTES:
        raise errors.Invalid(f"image {str(path)!r} has more than {archives.MEMBER_BYTES:,} bytes: make it smaller")
    image = _decoded(data, f"image {str(path)!r}")
    size = (shape[1], shape[0])
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))


def _decoded(data: bytes, what: str) -> Image.Image:
    """Decode a file to RGB as a viewer shows it: upright by its EXIF data, alpha over white, 16 bits scaled to 8."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours is stricter
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                seen = f"{image.width} x {image.height} pixels"
                raise errors.Invalid(f"{what} has {seen}, more than {MAX_PIXELS:,}: make it smaller")
            image.verify()  # the checksums of a PNG, which load() does not compare; it uses the file up
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        return _over_white(ImageOps.exif_transpose(image))
    except errors.Invalid:
        raise
    except Image.DecompressionBombError as exc:
        raise errors.Invalid(f"{what} has more than {MAX_PIXELS:,} pixels ({exc}): make it smaller") from exc
    except UnidentifiedImageError as exc:
        raise errors.Invalid(f"{what} is no {', '.join(FORMATS)} image, or its start is damaged: replace or remove it") from exc
    except Exception as exc:  # of damaged bytes Pillow's decoders raise anything: OSError, SyntaxError, struct.error, ...
        raise errors.Invalid(f"{what} is damaged or cut short ({exc}): replace or remove it") from exc


def _over_white(image: Image.Image) -> Image.Image:
    """Any mode to RGB; what is transparent becomes white, the paper most such pictures are meant for."""
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


# --- arrays ---


def rgb(images: np.ndarray, what: str) -> np.ndarray:
    """uint8 [n, height, width, 3] of [n, h, w] or [n, h, w, 1|3|4], uint8 0..255 or float 0..1; alpha goes over white."""
    channels = (1, *images.shape[3:])[-1]
    if images.ndim not in (3, 4) or channels not in (1, 3, 4) or 0 in images.shape:
        shapes = "[n, height, width] or [n, height, width, 1, 3 or 4]"
        raise errors.Invalid(f"{what} has the shape {images.shape}: expected {shapes}")
    images = _bytes(images, what).reshape(*images.shape[:3], channels)
    if channels == 1:
        return np.repeat(images, 3, axis=3)
    if channels == 4:
        return np.stack([np.asarray(_over_white(Image.fromarray(image))) for image in images])
    return images


def _bytes(images: np.ndarray, what: str) -> np.ndarray:
    """uint8 of uint8 or of float 0..1, rounded; one image at a time, to need no second float array."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise errors.Invalid(f"{what} is {images.dtype}: expected uint8 0..255 or float 0..1")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):  # not a number fails both
        raise errors.Invalid(f"{what} is {images.dtype} from {low} to {high}: expected uint8 0..255 or float 0..1")
    result = np.empty(images.shape, np.uint8)
    for i, image in enumerate(images):
        result[i] = np.rint(image.astype(np.float32) * 255)
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
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in images])
