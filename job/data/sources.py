"""Read a user's data set into memory: CIFAR-10, digits, a folder of images, an archive, an .npz, a URL.

What comes out is always the same: uint8 images of one size in three channels, int64 labels,
class names. Whatever is wrong with a file is one sentence that names it and where it was asked for.
"""

import re
from pathlib import Path, PurePosixPath

import numpy as np

from job import errors
from job.data import cifar10, downloads, npz, pictures
from job.data import groups as grouping
from job.data.dataset import Part, Source, checked, fitted

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
DIGITS_SIZE = 32  # the smallest side VGG16 takes
SUPPORTED = f'"cifar10", "digits", a folder of images, an .npz, an archive ({", ".join(ARCHIVES)}), an http(s):// or s3:// URL of one, or s3:// of a folder'


def read(
    source: str,
    image_size: int | list[int] | None = None,
    location: str | None = None,
    cache_dir: Path | None = None,
    groups: str | None = None,
) -> Source:
    """Read a data set into memory; the same bytes give the same arrays in the same order.

    Args:
        source: `data.source` of the experiment: "cifar10", "digits", a folder, an .npz, an archive, a URL.
        image_size: `data.image_size`: all images are resized to this square, or to [height, width], in pixels; the aspect
            is not kept. None keeps the size they have, which must then be one.
        location: where the data is found instead (--data or JOB_DATA): a path or URL, for cifar10 of the
            official archive or a folder with it. None or empty: what `source` says.
        cache_dir: where downloads are kept; None is ~/.cache/job. A file downloaded before is used again.
        groups: `data.groups`: a CSV in or beside the data, of an .npz the name of its arrays. None: no image belongs to another.

    Raises:
        errors.Invalid: nothing there, damaged, unsafe or not of the layout expected.
        errors.Unreachable: a download failed, or the disk is full.
    """
    asked = f'{"--data (or JOB_DATA)" if location else "data.source"} = "{downloads.shown(location or source)}"'
    cache = Path(cache_dir) if cache_dir else Path.home() / ".cache" / "job"
    try:
        size = (
            None
            if image_size is None
            else tuple(image_size)
            if isinstance(image_size, list)
            else (image_size, image_size)
        )
        if size and min(size) < 1:
            raise errors.Invalid(
                f"data.image_size = {image_size} is not a number of pixels: expected 1 or more"
            )
        return checked(_read(source, size, location or None, cache, groups))
    except (errors.Invalid, errors.Unreachable) as exc:
        raise type(exc)(f"{asked}: {exc}") from exc


def _read(
    source: str, size: tuple[int, int] | None, location: str | None, cache: Path, groups: str | None
) -> Source:
    if groups and source in ("digits", "cifar10"):
        raise errors.Invalid(
            f'data.groups = "{groups}": {source} says of no image where it comes from; remove the key'
        )
    if source == "digits":
        return _digits(size, location)
    if source == "cifar10":
        classes, train, test = cifar10.read(
            _archive(location, cache) if location else cifar10.official(cache)
        )
        return fitted("CIFAR-10", classes, train, test, size)
    path = _found(location or source, cache)
    name = PurePosixPath(downloads.shown(source)).name or path.resolve().name
    if path.suffix.lower() == ".npz":
        classes, train, test, notes = npz.read(path, groups)
        return fitted(name, classes, train, test, size, notes)
    read = pictures.read(path, size, groups)
    if groups:
        with grouping.key_named(groups):
            found, notes = grouping.of_images(groups, path, read.names, cache)
        read.parts |= {part: (*read.parts[part], found[part]) for part in found}
        read.notes += notes
    parts = {part: Part(*arrays) for part, arrays in read.parts.items()}
    train, test = parts["train"], parts.get("test")
    return Source(name, read.classes, train, test, dict(read.sizes), tuple(read.notes), read.bits)


def _archive(location: str, cache: Path) -> Path:
    """Where the user says CIFAR-10's archive is, by URL, file or folder. It may hold other images, so it is held to no hash."""
    if downloads.is_url(location):
        return downloads.kept(location, cache)
    path = _existing(location)
    return _existing(str(path / cifar10.NAME)) if path.is_dir() else path


def _found(where: str, cache: Path) -> Path:
    """The file or folder a path or URL names, downloaded if need be, its kind told by its suffix."""
    is_url = downloads.is_url(where)
    if not is_url and re.match(r"[a-z][a-z0-9+.-]*://", where, re.IGNORECASE):
        scheme = where.partition("://")[0]
        raise errors.Invalid(
            f"{scheme}:// is not read: download it first and name the file; expected {SUPPORTED}"
        )
    path = None if is_url else _existing(where)
    name = downloads.shown(where) if is_url else path.name
    if downloads.is_s3(where) and not name.lower().endswith((".npz", *ARCHIVES)):
        return downloads.kept_folder(where, cache)
    if not (path and path.is_dir()) and not name.lower().endswith((".npz", *ARCHIVES)):
        raise errors.Invalid(f"{name} is of no kind that is read: expected {SUPPORTED}")
    return downloads.kept(where, cache) if is_url else path


def _existing(where: str) -> Path:
    path = Path(where).expanduser() if where else None
    if path is None or not path.exists():
        raise errors.Invalid(
            f"there is no file or folder {str(path and path.absolute())!r}: expected {SUPPORTED}"
        )
    if (
        not path.is_dir() and not path.is_file()
    ):  # to open a pipe waits for who writes it, a device never ends
        raise errors.Invalid(
            f"{str(path.absolute())!r} is neither a file nor a folder (a pipe, a device?): expected {SUPPORTED}"
        )
    return path


def _digits(size: tuple[int, int] | None, location: str | None) -> Source:
    """The 1,797 digits of scikit-learn: 8 x 8, 0..16, scaled to 0..255 and enlarged."""
    from sklearn.datasets import load_digits  # half a second to import

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = pictures.resized(
        np.repeat(grey[..., None], 3, axis=3), size or (DIGITS_SIZE, DIGITS_SIZE)
    )
    train = Part(images, digits.target.astype(np.int64))
    unused = (
        ("digits come with scikit-learn: --data (or JOB_DATA) is not used",) if location else ()
    )
    return Source("digits", tuple("0123456789"), train, None, {(8, 8): len(images)}, unused)
