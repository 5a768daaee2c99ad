"""Which images belong together according to `data.groups`: a patient, a camera, a day.

For folders and archives, a CSV names the groups; for an .npz, arrays do.
"""

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from job import errors
from job.data import archives, downloads, names
from job.sentences import show

HEADER = ("image", "group")
COLUMNS = (
    "expected `image,group` as the first line, then one line per image "
    "that begins with its path in the data: `train/cat/1.png,patient 7`"
)


@dataclass
class _Table:
    """The rows of a CSV of groups, by image."""

    groups: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)  # counted from 1


def of_images(
    groups: str, path: Path, parts: dict[str, list[str]], cache: Path
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the groups of the images of a folder or an archive.

    Args:
        groups: `data.groups`: the name of a CSV in the data, else its path or URL.
        path: the folder or archive of the data.
        parts: part ("train", perhaps "test") -> the names of its images.
        cache: where downloads are kept.

    Returns:
        Part -> int64 [n], equal for images of one group; and notes for the user.

    Raises:
        errors.Invalid: no such file or no such CSV, an image without a row or with two rows,
            a group in both parts.
    """
    table = _read_csv(_content(groups, path, cache))
    images = [name for part in parts.values() for name in part]
    row_of = _match(images, table)
    named = {part: [table.groups[row_of[name]] for name in of] for part, of in parts.items()}
    return number(named, parts), _unused(table, set(row_of.values()))


def _match(images: list[str], table: _Table) -> dict[str, str]:
    """Return the row of each image, by its exact name before one that looks the same."""
    top = _top(images)
    exact = {_plain(row, top): row for row in table.groups}
    alike = {names.normalize(plain): row for plain, row in exact.items()}
    row_of = {}
    missing = []
    for name in images:
        plain = _plain(name, top)
        row = exact.get(plain) or alike.get(names.normalize(plain))
        if row is None:
            missing.append(name)
        else:
            row_of[name] = row
    if missing:
        raise errors.Invalid(
            f"{len(missing)} of {len(missing) + len(row_of)} images have no row, "
            f"for example {missing[0]!r} (the first row is of "
            f"{next(iter(table.groups))!r}): name each image by its path in the data; "
            "give an image that belongs to no other a group of its own"
        )
    return row_of


def _unused(table: _Table, used: set[str]) -> list[str]:
    unknown = [row for row in table.groups if row not in used]
    if not unknown:
        return []
    example = f"{unknown[0]!r} (line {table.lines[unknown[0]]})"
    return [f"data.groups: {len(unknown)} rows match no image of the data, for example {example}"]


def of_arrays(
    keys: dict[str, str], arrays: Mapping[str, np.ndarray], lengths: dict[str, int]
) -> dict[str, np.ndarray]:
    """Return the groups of the images of an .npz.

    Args:
        keys: part -> the name of its array; `data.groups` = "patient" stands for the arrays
            patient_train and, with a test part, patient_test.
        arrays: part -> its array of this name, if the .npz has it.
        lengths: part -> how many images it has.

    Returns:
        Part -> int64 [n], equal for images of one group.

    Raises:
        errors.Invalid: an array is missing or has a wrong form; a group is in both parts.
    """
    for part, n in lengths.items():
        name = keys[part]
        if part not in arrays:
            raise errors.Invalid(
                f"the .npz has no array {name}: data.groups names the arrays without "
                f"_train, _val and _test, {show('patient')}"
            )
        array = arrays[part]
        if array.shape != (n,) or array.dtype.kind not in "iuU":
            raise errors.Invalid(
                f"{name} is {array.dtype} {array.shape}: "
                f"expected integers or text, one for each of {n} images"
            )
    named = {part: arrays[part].astype(str).tolist() for part in lengths}
    rows = {part: [f"row {i} of x_{part}" for i in range(n)] for part, n in lengths.items()}
    return number(named, rows)


@contextlib.contextmanager
def naming_key(groups: str) -> Iterator[None]:
    """Put the key `data.groups` and its value before what is wrong with groups."""
    try:
        yield
    except errors.Invalid as exc:
        raise errors.Invalid(f'data.groups = "{downloads.redact(groups)}": {exc}') from exc


def number(named: dict[str, list[str]], images: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Return groups as numbers; two spellings that look the same are one group.

    Args:
        named: part -> the group of each of its images.
        images: part -> what errors call each of its images.

    Returns:
        Part -> int64 [n], in the order of the sorted names.

    Raises:
        errors.Invalid: a group is in both parts.
    """
    named = {part: [names.normalize(group) for group in groups] for part, groups in named.items()}
    _check_apart(named, images)
    every = sorted({group for groups in named.values() for group in groups})
    number_of = {group: i for i, group in enumerate(every)}
    return {
        part: np.array([number_of[group] for group in groups], np.int64)
        for part, groups in named.items()
    }


def _check_apart(named: dict[str, list[str]], images: dict[str, list[str]]) -> None:
    of_test = set(named.get("test", ()))
    for part, what in (("train", "training"), ("validation", "validation")):
        both = sorted(of_test.intersection(named.get(part, ())))
        if both:
            one, other = (images[of][named[of].index(both[0])] for of in (part, "test"))
            raise errors.Invalid(
                f"{len(both)} groups are in both the {what} and the test part, "
                f"for example {both[0]!r} ({one} and {other}): move the images of a group to one"
                " part, or ship one part and let data.holdout make the test part"
            )


def _content(groups: str, path: Path, cache: Path) -> bytes:
    """Return the CSV: from a URL, from the data by its name, or from this path."""
    if downloads.is_url(groups):
        return downloads.fetch_once(groups, cache).read_bytes()
    for member in archives.members(path):
        if not member.is_folder and groups in (member.name, member.name.partition("/")[2]):
            return member.read()
    file = Path(groups).expanduser()
    if not file.is_file():
        raise errors.Invalid(
            f"there is no such file in the data ({path}), nor at {str(file.absolute())!r}: "
            f"{COLUMNS}"
        )
    with archives.reading(file):
        return file.read_bytes()


def _read_csv(content: bytes) -> _Table:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise errors.Invalid(
            f"it is not UTF-8 text ({exc.reason} at byte {exc.start}): save it as UTF-8"
        ) from exc
    reader = csv.reader(io.StringIO(text, newline=""))
    table = _Table()
    try:
        header = [name.strip() for name in next(reader, [])]
        if not set(HEADER) <= set(header):
            raise errors.Invalid(f"its first line is {show(','.join(header))}: {COLUMNS}")
        columns = [header.index(name) for name in HEADER]
        for row in filter(any, reader):
            image, group = (row[i].strip() if i < len(row) else "" for i in columns)
            _add_row(table, image, group, reader.line_num)
    except csv.Error as exc:
        raise errors.Invalid(f"line {reader.line_num} is not CSV ({exc}): {COLUMNS}") from exc
    if not table.groups:
        raise errors.Invalid(f"it has no row after the first line: {COLUMNS}")
    return table


def _add_row(table: _Table, image: str, group: str, line: int) -> None:
    if not image or not group:
        missing = "group" if image else "image"
        raise errors.Invalid(
            f"line {line} has no {missing}: expected both; "
            "give an image that belongs to no other a group of its own"
        )
    if image in table.groups:
        raise errors.Invalid(
            f"{image!r} is listed twice, in lines {table.lines[image]} and {line}: "
            "give each image one row"
        )
    table.groups[image] = group
    table.lines[image] = line


def _top(images: Iterable[str]) -> str:
    """Return the one folder around all classes, as archives have it, with its slash, or nothing.

    A CSV may name images with or without this folder.
    """
    paths = [name.split("/") for name in images]
    tops = {path[0] for path in paths}
    is_part = bool(tops & {"train", "test"})
    is_around = len(tops) == 1 and not is_part and all(len(path) > 2 for path in paths)
    return f"{tops.pop()}/" if is_around else ""


def _plain(name: str, top: str) -> str:
    """Return an image's name without "./" and without the folder around all classes."""
    return name.removeprefix("./").removeprefix(top)
