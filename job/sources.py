"""Read a user's data set into memory: CIFAR-10, digits, a folder of images, an archive, an .npz, a URL.

What comes out is always the same: uint8 images of one size in three channels, int64 labels,
class names. Whatever is wrong with a file is one sentence that names it and where it was asked for.
"""

import contextlib
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from job import archives, downloads, errors, pictures
from job import groups as grouping
from job.store import sha256_of

log = logging.getLogger(__name__)

CIFAR10_NAME = "cifar-10-python.tar.gz"
CIFAR10_URL = f"https://www.cs.toronto.edu/~kriz/{CIFAR10_NAME}"
CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"  # from keras/src/datasets/cifar10.py
CIFAR10_IN_KERAS = ("cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz")  # Keras 3, Keras 2
CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
DIGITS_SIZE = 32  # the smallest side VGG16 takes
SUPPORTED = f'"cifar10", "digits", a folder of images, an .npz, an archive ({", ".join(ARCHIVES)}), an http(s):// or s3:// URL of one, or s3:// of a folder'
KEYS = ("x_train", "y_train", "x_test", "y_test", "classes")


@dataclass(frozen=True)
class Part:
    """The training or the test part of a data set."""

    images: np.ndarray  # uint8 [n, height, width, 3], RGB, 0..255
    labels: np.ndarray  # int64 [n], 0..len(classes)-1
    groups: np.ndarray | None = None  # int64 [n], the same for images that belong together by data.groups, in both parts


@dataclass(frozen=True)
class Source:
    """A data set in memory."""

    name: str  # what the report calls it: "CIFAR-10", "digits", the file's name
    classes: tuple[str, ...]
    train: Part
    test: Part | None  # None: the source ships no test part
    sizes: dict[tuple[int, int], int]  # (width, height) of the images as they come -> how many


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
        size = None if image_size is None else tuple(image_size) if isinstance(image_size, list) else (image_size, image_size)
        if size and min(size) < 1:
            raise errors.Invalid(f"data.image_size = {image_size} is not a number of pixels: expected 1 or more")
        return _checked(_read(source, size, location or None, cache, groups))
    except (errors.Invalid, errors.Unreachable) as exc:
        raise type(exc)(f"{asked}: {exc}") from exc


def _read(source: str, size: tuple[int, int] | None, location: str | None, cache: Path, groups: str | None) -> Source:
    if groups and source in ("digits", "cifar10"):
        raise errors.Invalid(f'data.groups = "{groups}": {source} says of no image where it comes from; remove the key')
    if source == "digits":
        if location:
            log.warning("digits come with scikit-learn: --data (or JOB_DATA) is not used")
        return _digits(size)
    if source == "cifar10":
        classes, train, test = _read_cifar10(_cifar10_archive(location, cache))
        return _fitted("CIFAR-10", classes, train, test, size)
    path = _found(location or source, cache)
    name = PurePosixPath(downloads.shown(source)).name or path.resolve().name
    if path.suffix.lower() == ".npz":
        return _fitted(name, *_read_npz(path, groups), size)
    read = pictures.read(path, size, groups)
    if groups:
        with _groups_named(groups):
            found = grouping.of_images(groups, path, read.names, cache)
        read.parts |= {part: (*read.parts[part], found[part]) for part in found}
    parts = {part: Part(*arrays) for part, arrays in read.parts.items()}
    return Source(name, read.classes, parts["train"], parts.get("test"), dict(read.sizes))


@contextlib.contextmanager
def _groups_named(groups: str) -> Iterator[None]:
    """Name the key in what is wrong with groups."""
    try:
        yield
    except errors.Invalid as exc:
        raise errors.Invalid(f'data.groups = "{downloads.shown(groups)}": {exc}') from exc


def _found(where: str, cache: Path) -> Path:
    """The file or folder a path or URL names, downloaded if need be, its kind told by its suffix."""
    is_url = downloads.is_url(where)
    if not is_url and re.match(r"[a-z][a-z0-9+.-]*://", where, re.IGNORECASE):
        scheme = where.partition("://")[0]
        raise errors.Invalid(f"{scheme}:// is not read: download it first and name the file; expected {SUPPORTED}")
    path = None if is_url else _existing(where)
    name = downloads.shown(where) if is_url else path.name
    if downloads.is_s3(where) and not name.lower().endswith((".npz", *ARCHIVES)):
        return downloads.kept_folder(where, cache / "downloads")
    if not (path and path.is_dir()) and not name.lower().endswith((".npz", *ARCHIVES)):
        raise errors.Invalid(f"{name} is of no kind that is read: expected {SUPPORTED}")
    return downloads.kept(where, cache / "downloads") if is_url else path


def _existing(where: str) -> Path:
    path = Path(where).expanduser() if where else None
    if path is None or not path.exists():
        raise errors.Invalid(f"there is no file or folder {str(path and path.absolute())!r}: expected {SUPPORTED}")
    return path


def _checked(source: Source) -> Source:
    """Refuse what cannot be learnt: fewer than two classes, labels outside of them, a class without a training image."""
    k = len(source.classes)
    if k < 2:
        raise errors.Invalid(f"there is only {k} class ({', '.join(source.classes)}): expected 2 or more")
    for name, part in (("training", source.train), ("test", source.test)):
        if part and (part.labels.min() < 0 or part.labels.max() >= k):
            seen = f"{part.labels.min()}..{part.labels.max()}"
            raise errors.Invalid(f"the {name} labels are {seen}: expected 0..{k - 1} for {k} classes")
    empty = np.flatnonzero(np.bincount(source.train.labels, minlength=k) == 0)
    if len(empty):
        raise errors.Invalid(f"class {source.classes[empty[0]]!r} (label {empty[0]}) has no training image: remove it or add some")
    return source


# --- CIFAR-10 and digits ---


def cached_cifar10(cache: Path | None = None) -> Path | None:
    """The official CIFAR-10 archive where Keras keeps it or we do, or None; one whose SHA-256 differs does not count.

    Looks where `keras.datasets.cifar10` does (KERAS_HOME, ~/.keras, /tmp/.keras), without importing Keras.
    Reads the 170 MB to compare the hash: Keras may have been killed while it downloaded.
    """
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    ours = [cache / CIFAR10_NAME] if cache else []
    for path in [*(folder / "datasets" / name for folder in (home, Path("/tmp/.keras")) for name in CIFAR10_IN_KERAS), *ours]:
        if _is_official(path):
            return path
    return None


def _is_official(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK) and sha256_of(path) == CIFAR10_SHA256


def _cifar10_archive(location: str | None, cache: Path) -> Path:
    """Where the archive is. One the user names may hold other images, so only the official one is held to its hash."""
    if location and downloads.is_url(location):
        return downloads.kept(location, cache / "downloads")
    if location:
        path = _existing(location)
        return _existing(str(path / CIFAR10_NAME)) if path.is_dir() else path
    if found := cached_cifar10(cache):
        return found
    path = cache / CIFAR10_NAME
    log.info("downloading %s (170 MB) to %s", CIFAR10_URL, path)
    return downloads.download(CIFAR10_URL, path, CIFAR10_SHA256)


def _read_cifar10(path: Path) -> tuple[tuple[str, ...], Part, Part]:
    """Read the official archive; its batches may have any length."""
    found = {}
    for member in archives.members(path):
        folder, _, name = member.name.rpartition("/")
        if folder == CIFAR10_FOLDER and name in (*CIFAR10_TRAIN, "test_batch", "batches.meta"):
            content = archives.unpickle(member.read(), member.name)
            found[name] = _cifar10_classes(content) if name == "batches.meta" else _cifar10_part(content, member.name)
    for name in (*CIFAR10_TRAIN, "test_batch", "batches.meta"):
        if name not in found:
            raise errors.Invalid(f"{path} has no member {CIFAR10_FOLDER}/{name}: expected the archive of {CIFAR10_URL}")
    train = [found.pop(name) for name in CIFAR10_TRAIN]
    joined = Part(np.concatenate([part.images for part in train]), np.concatenate([part.labels for part in train]))
    return found["batches.meta"], joined, found["test_batch"]


def _cifar10_part(batch: object, name: str) -> Part:
    """A batch, its images turned from [n, 3072] (channel, row, column) to [n, 32, 32, 3]."""
    data, labels = (batch.get(b"data"), batch.get(b"labels")) if isinstance(batch, dict) else (None, None)
    values = data.values if isinstance(data, archives.Array) else np.empty(0, np.uint8)
    ints = isinstance(labels, list) and all(isinstance(label, int) and 0 <= label < 10 for label in labels)
    if not ints or not labels or values.shape != (len(labels), 3072):
        raise errors.Invalid(f"member {name!r} is no CIFAR-10 batch: expected data, uint8 [n, 3072], and n labels 0..9")
    images = np.ascontiguousarray(values.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Part(images, np.array(labels, np.int64))


def _cifar10_classes(meta: object) -> tuple[str, ...]:
    names = meta.get(b"label_names") if isinstance(meta, dict) else None
    if not isinstance(names, list) or len(names) != 10 or not all(isinstance(name, bytes) for name in names):
        raise errors.Invalid(f"member '{CIFAR10_FOLDER}/batches.meta' has no label_names: expected ten names")
    return tuple(name.decode("utf-8", "replace") for name in names)


def _digits(size: tuple[int, int] | None) -> Source:
    """The 1,797 digits of scikit-learn: 8 x 8, 0..16, scaled to 0..255 and enlarged."""
    from sklearn.datasets import load_digits  # half a second to import

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = pictures.resized(np.repeat(grey[..., None], 3, axis=3), size or (DIGITS_SIZE, DIGITS_SIZE))
    return Source("digits", tuple("0123456789"), Part(images, digits.target.astype(np.int64)), None, {(8, 8): len(images)})


def _fitted(name: str, classes: tuple[str, ...], train: Part, test: Part | None, size: tuple[int, int] | None) -> Source:
    """Return arrays as a source, both parts resized to `size`; without it their sizes must be equal."""
    sizes = Counter()
    for part in filter(None, (train, test)):
        sizes[part.images.shape[2], part.images.shape[1]] += len(part.labels)
    if size:
        train, test = (part and Part(pictures.resized(part.images, size), part.labels, part.groups) for part in (train, test))
    if test and test.images.shape[1:] != train.images.shape[1:]:
        seen = " and ".join("{1} x {0}".format(*part.images.shape[1:3]) for part in (train, test))
        raise errors.Invalid(f"images differ in size, {seen} (training, test): set data.image_size")
    return Source(name, classes, train, test, dict(sizes))


# --- .npz ---


def _read_npz(path: Path, groups: str | None) -> tuple[tuple[str, ...], Part, Part | None]:
    """Read x_train, y_train and perhaps x_test, y_test, classes; an object array is refused, it would be a pickle."""
    with archives.reading(path):
        arrays = np.load(path, allow_pickle=False)
    found = set(getattr(arrays, "files", ()))
    if not {"x_train", "y_train"} <= found or ("x_test" in found) != ("y_test" in found):
        raise errors.Invalid(f"{path} has {pictures.some(found) or 'no keys'}: expected x_train, y_train[, x_test, y_test][, classes]")
    ours = {f"{groups}_{part}" for part in ("train", "test")} if groups else set()
    if others := found.difference(KEYS, ours):
        hint = '; data.groups = "patient" reads patient_train and patient_test' if groups is None else ""
        log.warning("%s: %s not read; known keys are %s%s", path, pictures.some(others), pictures.some(KEYS), hint)
    with arrays:
        train = _npz_part(path, arrays, "train")
        test = _npz_part(path, arrays, "test") if "x_test" in found else None
        names = _array(path, arrays, "classes") if "classes" in found else None
        parts = {"train": train} | ({"test": test} if test else {})
        if groups:
            named = {part: _array(path, arrays, f"{groups}_{part}") for part in parts if f"{groups}_{part}" in found}
            with _groups_named(groups):
                numbers = grouping.of_arrays(groups, named, {part: len(p.labels) for part, p in parts.items()})
            parts = {part: Part(p.images, p.labels, numbers[part]) for part, p in parts.items()}
    return _npz_classes(path, names, train.labels), parts["train"], parts.get("test")


def _array(path: Path, arrays: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    with archives.reading(path):
        try:
            array = arrays[key]
        except ValueError as exc:
            raise errors.Invalid(f"{key} of {path} cannot be read ({exc}): save plain numbers or text by numpy.savez") from exc
    if not isinstance(array, np.ndarray):  # a member of a zip that numpy did not write
        raise errors.Invalid(f"{key} of {path} is no array: save it by numpy.savez")
    return array


def _npz_part(path: Path, arrays: np.lib.npyio.NpzFile, part: str) -> Part:
    images = pictures.rgb(_array(path, arrays, f"x_{part}"), f"x_{part} of {path}")
    labels = _numbers(_array(path, arrays, f"y_{part}"), f"y_{part} of {path}")
    if len(images) != len(labels):
        seen = f"{len(images)} images in x_{part} and {len(labels)} labels in y_{part}"
        raise errors.Invalid(f"{path} has {seen}: expected as many labels as images")
    return Part(images, labels)


def _numbers(labels: np.ndarray, what: str) -> np.ndarray:
    """int64 [n] of integers [n] or [n, 1], or of one-hot rows [n, k] of any type."""
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise errors.Invalid(f"{what} {labels.shape} is not one-hot: expected one 1 in each row and zeros else")
        return labels.argmax(axis=1).astype(np.int64)
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)) or labels.dtype.kind not in "iu":
        raise errors.Invalid(f"{what} is {labels.dtype} {labels.shape}: expected integers [n] or [n, 1], or one-hot [n, k]")
    return labels.reshape(-1).astype(np.int64)


def _npz_classes(path: Path, names: np.ndarray | None, labels: np.ndarray) -> tuple[str, ...]:
    """The names given, else the labels themselves, which must then be 0..k-1 without a gap."""
    if names is None:
        present = np.unique(labels)
        if not np.array_equal(present, np.arange(len(present))):
            seen = f"{len(present)} different labels, {present[0]}..{present[-1]}"
            raise errors.Invalid(f"y_train of {path} has {seen}: expected 0..k-1 without a gap")
        return tuple(str(label) for label in present)
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names) or "" in names.tolist():
        raise errors.Invalid(f"classes of {path} is {names.dtype} {names.shape}: expected different names, an array [k] of str")
    return tuple(names.tolist())
