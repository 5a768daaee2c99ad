"""Read a user's data set: CIFAR-10, digits, or a file or a folder of any format, or its URL.

The result is always the same: uint8 images of one size in three channels, int64 labels, class
names. Whatever is wrong becomes one sentence that names the file and the setting it came from.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from job import errors
from job.data import buckets, downloads, pictures, pixels
from job.data import groups as grouping
from job.data.dataset import Part, Source, as_source, validate
from job.data.decoding import STRETCH
from job.data.formats import cifar10
from job.data.formats.arrays import convert
from job.data.formats.opening import ARCHIVES, is_known, open_data
from job.data.formats.plan import Plan
from job.data.images import Images
from job.data.options import Options
from job.data.pictures import Pictures
from job.data.workspace import Workspace
from job.experiment.sections import SHIPPED, Data

DIGITS_SIZE = 32  # the smallest side VGG16 takes
SUPPORTED = (
    f'"cifar10", "digits", a folder of images, an .npz, a .parquet or .tfrecord, an archive '
    f"({', '.join(ARCHIVES)}), an http(s):// or s3:// URL of one, or s3:// of a folder"
)


def read_for(data: Data, location: str | None, work: Workspace) -> Source:
    """Read the data set of an experiment, as `read` does.

    Args:
        data: of the experiment.
        location: where the data is instead, a path or URL.
        work: for downloads and decoded pixels.
    """
    source = read(
        data.source,
        data.image_size,
        location,
        data.groups,
        labels=data.labels,
        work=work,
        skip=data.damaged == "skip",
        fit=data.fit or STRETCH,
        join=data.nested == "join",
    )
    note = _note_on_validation(source.train, data.validation == SHIPPED)
    return replace(source, notes=(*source.notes, *note))


def _note_on_validation(train: Part, is_used: bool) -> list[str]:
    """Return a note of a shipped validation part, unless all is as one expects."""
    if train.validation is None:
        return []
    n = int(train.validation.sum())
    if not is_used:
        return [
            f"{n} images of the shipped validation part join the training part;"
            f' data.validation = "{SHIPPED}" would compare trials on them'
        ]
    digests = train.images.digests
    copies = int(np.isin(digests[train.validation], digests[~train.validation]).sum())
    if not copies:
        return []
    return [
        f"{copies} of {n} images of the shipped validation part are among the other training"
        " images, too: trials score higher on them than on new images"
    ]


def read(
    source: str,
    image_size: int | Sequence[int] | None = None,
    location: str | None = None,
    groups: str | None = None,
    *,
    work: Workspace,
    labels: str | None = None,
    skip: bool = False,
    fit: str = STRETCH,
    join: bool = False,
) -> Source:
    """Read a data set; the same bytes give the same arrays in the same order.

    Args:
        source: `data.source` of the experiment: "cifar10", "digits", a folder, an .npz, an
            archive, a URL.
        image_size: `data.image_size`: all images are resized to this square, or to [height,
            width], in pixels. None keeps the size, which must then be
            the same for all.
        location: where the data is instead (--data or JOB_DATA): a path or URL, for cifar10 of
            the official archive or a folder with it. None or empty: what `source` says.
        groups: `data.groups`, see `Options`.
        work: for downloads, which are kept and used again, and for decoded pixels.
        labels: `data.labels`, see `Options`.
        skip: leave out image files that cannot be read, instead of refusing them
            (`data.damaged`).
        fit: `data.fit`: how images get another shape, one of `decoding.FITS`.
        join: a class is all folders above an image (`data.nested`).

    Returns:
        The data set; a shipped validation part ends the training part, with a flag.

    Raises:
        errors.Invalid: nothing there, damaged, unsafe or of an unsupported layout.
        errors.Unreachable: a download failed, or the disk is full.
    """
    setting = "--data (or JOB_DATA)" if location else "data.source"
    try:
        size = _size(image_size)
        options = Options(groups, labels, skip, fit, join)
        return validate(_read(source, size, location or None, work, options))
    except (errors.Invalid, errors.Unreachable) as exc:
        asked = f'{setting} = "{downloads.redact(location or source)}"'
        raise type(exc)(f"{asked}: {exc}") from exc


def _size(image_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return `data.image_size` as (height, width). Raises: Invalid."""
    if image_size is None:
        return None
    if isinstance(image_size, int):
        height = image_size
        width = image_size
    else:
        height, width = image_size
    if min(height, width) < 1:
        raise errors.Invalid(
            f"data.image_size = {image_size} is not a number of pixels: expected 1 or more"
        )
    return height, width


def _read(
    source: str,
    size: tuple[int, int] | None,
    location: str | None,
    work: Workspace,
    options: Options,
) -> Source:
    if source in ("digits", "cifar10"):
        _refuse_tables(source, options)
    if source == "digits":
        return _digits(size, location, options.fit)
    if source == "cifar10":
        archive = _archive(location, work.folder) if location else cifar10.official(work.folder)
        classes, train, test = cifar10.read(archive)
        return as_source("CIFAR-10", classes, train, test, size, work, options.fit)
    path = _locate(location or source, work.folder)
    name = PurePosixPath(downloads.redact(source)).name or path.resolve().name
    found = open_data(path, options, work)
    if isinstance(found, Plan):
        return _read_pictures(name, found, size, work, options)
    parts = convert(found, work)
    return as_source(
        name,
        parts.classes,
        parts.train,
        parts.test,
        size,
        work,
        options.fit,
        parts.notes,
        parts.bits,
        parts.validation,
    )


def _refuse_tables(source: str, options: Options) -> None:
    """Raise Invalid for keys that this source has no use for."""
    if options.groups:
        raise errors.Invalid(
            f'data.groups = "{options.groups}": {source} has no record of which images belong'
            " together; remove the key"
        )
    if options.join:
        raise errors.Invalid(f'data.nested = "join": {source} has no folders; remove the key')
    if options.labels:
        raise errors.Invalid(
            f'data.labels = "{downloads.redact(options.labels)}": {source} has labels of its own;'
            " remove the key"
        )


def _read_pictures(
    name: str, plan: Plan, size: tuple[int, int] | None, work: Workspace, options: Options
) -> Source:
    found = pictures.read(plan, size, work, options)
    _join_validation(found)
    group_of: dict[str, np.ndarray] = {}
    notes = found.notes
    if found.groups:
        named = {part: [found.groups[image] for image in of] for part, of in found.names.items()}
        group_of = grouping.number(named, found.names)
    elif options.groups:
        with grouping.naming_key(options.groups):
            group_of, group_notes = grouping.of_images(
                options.groups, plan.path, found.names, work.folder
            )
        notes += group_notes
    parts = {
        part: Part(images, found.labels[part], group_of.get(part), found.validation.get(part))
        for part, images in found.images.items()
    }
    return Source(
        name,
        found.classes,
        parts["train"],
        parts.get("test"),
        dict(found.sizes),
        tuple(notes),
        tuple(found.damaged),
        found.bits,
    )


def _join_validation(found: Pictures) -> None:
    """Let the images of the validation part end the training part, with a flag."""
    if "validation" not in found.images:
        return
    n = len(found.images["train"])
    images = found.images.pop("validation")
    train = found.images["train"]
    found.images["train"] = Images(train.stack, np.concatenate([train.rows, images.rows]))
    found.names["train"] += found.names.pop("validation")
    labels = [found.labels["train"], found.labels.pop("validation")]
    found.labels["train"] = np.concatenate(labels)
    found.validation["train"] = np.arange(n + len(images)) >= n


def _archive(location: str, cache: Path) -> Path:
    """Return the user's archive of CIFAR-10, from a URL, a file or a folder.

    It may hold other images, so its hash is not compared.
    """
    if downloads.is_url(location):
        return downloads.fetch_once(location, cache)
    path = _existing(location)
    return _existing(str(path / cifar10.NAME)) if path.is_dir() else path


def _locate(where: str, cache: Path) -> Path:
    """Return the file or folder of a path or URL, downloaded if needed. Raises: Invalid."""
    if downloads.is_url(where):
        return _fetch(where, cache)
    if re.match(r"[a-z][a-z0-9+.-]*://", where, re.IGNORECASE):
        scheme = where.partition("://")[0]
        raise errors.Invalid(
            f"{scheme}:// is unsupported: download it first and name the file; expected {SUPPORTED}"
        )
    path = _existing(where)
    if not path.is_dir():
        _check_suffix(path.name)
    return path


def _fetch(url: str, cache: Path) -> Path:
    name = downloads.redact(url)
    if downloads.is_s3(url) and not is_known(name):
        return buckets.fetch_folder(url, cache)
    _check_suffix(name)
    return downloads.fetch_once(url, cache)


def _check_suffix(name: str) -> None:
    if not is_known(name):
        raise errors.Invalid(f"{name}: unsupported format; expected {SUPPORTED}")


def _existing(where: str) -> Path:
    """Return the path of a file or folder. Raises: Invalid for anything else."""
    path = Path(where).expanduser() if where else None
    if path is None or not path.exists():
        shown = str(path and path.absolute())
        raise errors.Invalid(f"there is no file or folder {shown!r}: expected {SUPPORTED}")
    # Opening a pipe waits for its writer, and a device never ends.
    if not path.is_dir() and not path.is_file():
        raise errors.Invalid(
            f"{str(path.absolute())!r} is neither a file nor a folder (a pipe, a device?): "
            f"expected {SUPPORTED}"
        )
    return path


def _digits(size: tuple[int, int] | None, location: str | None, fit: str) -> Source:
    """Return the 1,797 digits of scikit-learn: 8 x 8, 0..16, scaled to 0..255 and enlarged."""
    from sklearn.datasets import load_digits  # half a second to import

    digits: Any = load_digits()  # a Bunch; scikit-learn's types allow a tuple too
    gray = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    color = np.repeat(gray[..., None], 3, axis=3)
    images = pixels.resize(color, size or (DIGITS_SIZE, DIGITS_SIZE), fit)
    train = Part(Images.of(images), digits.target.astype(np.int64))
    notes = ("digits come with scikit-learn: --data (or JOB_DATA) is not used",) if location else ()
    return Source("digits", tuple("0123456789"), train, None, {(8, 8): len(images)}, notes)
