"""Which images belong together by what a user says: `data.groups`, a patient, a camera, a day.

Of folders and archives a CSV says it, of an .npz arrays do. Whatever is wrong with either is one sentence.
"""

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from job import errors
from job.data import archives, downloads, names
from job.sentences import show

HEADER = ("image", "group")
COLUMNS = "expected the first line to be `image,group`, then one image a line, its path in the data first: `train/cat/1.png,patient 7`"


def of_images(
    groups: str, path: Path, parts: dict[str, list[str]], cache: Path
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return a number per image of each part, the same for one group (int64 [n]), and notes.

    Args:
        groups: `data.groups`: the name of a CSV in the data, else its path or URL.
        path: the folder or archive of the data. parts: the names of its images, by part.
        cache: where a download is kept.

    Raises: Invalid for a file that is not there or no such CSV, an image without a row or with two, a group in both parts.
    """
    rows, where = _rows(_content(groups, path, cache))
    top = _top(name for of in parts.values() for name in of)
    exact = {_plain(row, top): row for row in rows}
    alike = {names.same(plain): row for plain, row in exact.items()}
    row_of = {
        name: exact.get(_plain(name, top)) or alike.get(names.same(_plain(name, top)))
        for of in parts.values()
        for name in of
    }
    if without := [name for name, row in row_of.items() if row is None]:
        raise errors.Invalid(
            f"{len(without)} of {len(row_of)} images have no row there, {without[0]!r} for one (the first row is of "
            f"{next(iter(rows))!r}): name each image as it stands in the data; one that stands alone is its own group"
        )
    used, notes = set(row_of.values()), []
    if unknown := [row for row in rows if row not in used]:
        notes.append(
            f"data.groups: {len(unknown)} rows are of no image of the data, {unknown[0]!r} (line {where[unknown[0]]}) for one"
        )
    named = {part: [rows[row_of[name]] for name in of] for part, of in parts.items()}
    return numbered(named, parts), notes


def of_arrays(
    groups: str, arrays: dict[str, np.ndarray | None], lengths: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the same of an .npz: `groups` = "patient" stands for the arrays patient_train and, with a test part, patient_test.

    Args: arrays: those of this name by part, None for one that is not there. lengths: how many images each part has.
    Raises: Invalid.
    """
    for part, n in lengths.items():
        array, name = arrays.get(part), f"{groups}_{part}"
        if array is None:
            raise errors.Invalid(
                f"the .npz has no array {name}: data.groups names the arrays without _train and _test, {show('patient')}"
            )
        if array.shape != (n,) or array.dtype.kind not in "iuU":
            raise errors.Invalid(
                f"{name} is {array.dtype} {array.shape}: expected integers or text, one for each of {n} images"
            )
    named = {part: arrays[part].astype(str).tolist() for part in lengths}
    return numbered(
        named, {part: [f"row {i} of x_{part}" for i in range(n)] for part, n in lengths.items()}
    )


@contextlib.contextmanager
def key_named(groups: str) -> Iterator[None]:
    """Name the key in what is wrong with groups."""
    try:
        yield
    except errors.Invalid as exc:
        raise errors.Invalid(f'data.groups = "{downloads.shown(groups)}": {exc}') from exc


def numbered(named: dict[str, list[str]], images: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Return groups as numbers; two spellings that look the same are one. Raises: Invalid for one in both parts."""
    named = {part: [names.same(group) for group in groups] for part, groups in named.items()}
    number = {
        name: i
        for i, name in enumerate(sorted({group for groups in named.values() for group in groups}))
    }
    both = sorted(set(named["train"]) & set(named.get("test", ())))
    if both:
        example = [images[part][named[part].index(both[0])] for part in ("train", "test")]
        raise errors.Invalid(
            f"{len(both)} groups stand in the training and in the test part, {both[0]!r} for one ({example[0]} and {example[1]}): "
            "move the images of a group to one part, or ship one part and let data.holdout make the test part"
        )
    return {
        part: np.array([number[group] for group in groups], np.int64)
        for part, groups in named.items()
    }


def _content(groups: str, path: Path, cache: Path) -> bytes:
    """Return the CSV: of a URL, of this name in the data, or at this path."""
    if downloads.is_url(groups):
        return downloads.kept(groups, cache).read_bytes()
    for member in archives.members(path):
        if not member.is_folder and groups in (member.name, member.name.partition("/")[2]):
            return member.read()
    file = Path(groups).expanduser()
    if not file.is_file():
        raise errors.Invalid(
            f"there is no such file in the data ({path}), nor at {str(file.absolute())!r}: {COLUMNS}"
        )
    with archives.reading(file):
        return file.read_bytes()


def _rows(content: bytes) -> tuple[dict[str, str], dict[str, int]]:
    """Return the group and the line of each image named."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise errors.Invalid(
            f"it is not UTF-8 text ({exc.reason} at byte {exc.start}): save it as UTF-8"
        ) from exc
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        if not set(HEADER) <= set(header):
            raise errors.Invalid(f"its first line is {show(','.join(header))}: {COLUMNS}")
        at, rows, lines = [header.index(name) for name in HEADER], {}, {}
        for row in filter(any, reader):
            image, group = (row[i].strip() if i < len(row) else "" for i in at)
            if not image or not group:
                raise errors.Invalid(
                    f"line {reader.line_num} has no {'group' if image else 'image'}: an image alone is its own group"
                )
            if image in rows:
                raise errors.Invalid(
                    f"{image!r} stands in lines {lines[image]} and {reader.line_num}: give each image one row"
                )
            rows[image], lines[image] = group, reader.line_num
    except csv.Error as exc:
        raise errors.Invalid(f"line {reader.line_num} is no CSV ({exc}): {COLUMNS}") from exc
    if not rows:
        raise errors.Invalid(f"it has no row but the first: {COLUMNS}")
    return rows, lines


def _top(images: Iterable[str]) -> str:
    """Return the one folder around all classes, as archives have it, with its slash, or nothing: a CSV may name images with or without it."""
    parts = [name.split("/") for name in images]
    tops = {p[0] for p in parts}
    around = len(tops) == 1 and not tops & {"train", "test"} and all(len(p) > 2 for p in parts)
    return f"{tops.pop()}/" if around else ""


def _plain(name: str, top: str) -> str:
    """Return an image's name without "./" and without the folder around all classes."""
    return name.removeprefix("./").removeprefix(top)
