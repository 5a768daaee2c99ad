"""The plan of a data set of image files: which of them are of which part and class."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.data import names
from job.data.archives import Member
from job.data.formats import labels, part_names
from job.errors import Invalid
from job.sentences import show


@dataclass(frozen=True)
class Plan:
    """Which members of a data set are read, and how to go through them."""

    path: Path
    classes: tuple[str, ...]
    # Part ("train", perhaps "validation" and "test") -> member -> label, in order.
    labels: dict[str, dict[str, int]]
    notes: list[str]  # for the user
    groups: dict[str, str]  # member -> its group, if the format has groups
    members: Callable[[], Iterable[Member]]  # goes through all members anew
    version: list[object]  # JSON, equal only for files that did not change


@dataclass(frozen=True)
class Record:
    """An image file within a larger file: a row, or a sample."""

    name: str  # what errors call it, different for each
    label: int | str
    # Decides its place within its class: its file's name, if its format has one, and then its
    # place in the format, so that records are in the same order in however many files.
    order: tuple[str, ...]
    group: str | None = None


@dataclass
class Records:
    """The records of a data set by part, and the names of the classes, if its format has them."""

    path: Path
    by_part: dict[str, list[Record]]
    label_name: str  # what errors call the labels
    members: Callable[[], Iterable[Member]]
    version: list[object]
    classes: list[str] | None = None


def of_records(records: Records) -> Plan:
    """Return the plan of records, sorted by class and order, as class folders would be.

    Raises:
        errors.Invalid: labels of no known form, or not of these classes.
    """
    for part, of in records.by_part.items():
        if not of:
            raise Invalid(f"the {part} part of {records.path} has no image: expected one or more")
    is_number = _are_numbers(records.by_part)
    given = {
        part: (
            f"{records.label_name} of the {part} part of {records.path}",
            np.array([record.label if is_number else str(record.label) for record in of]).astype(
                np.int64 if is_number else str
            ),
        )
        for part, of in records.by_part.items()
    }
    classes = None if records.classes is None else np.array(records.classes)
    known = labels.read(given, classes, f"the list of classes of {records.path}")
    planned = {}
    for part in part_names.PARTS:
        if part in records.by_part:
            numbered = zip(known.numbers[part].tolist(), records.by_part[part], strict=True)
            in_order = sorted(numbered, key=_place)
            planned[part] = {record.name: label for label, record in in_order}
    groups = {
        record.name: record.group
        for of in records.by_part.values()
        for record in of
        if record.group is not None
    }
    return Plan(
        records.path,
        known.classes,
        planned,
        known.notes,
        groups,
        records.members,
        records.version,
    )


def _are_numbers(by_part: dict[str, list[Record]]) -> bool:
    """Tell whether labels are numbers, as such or as text that counts from 0 or 1 without a gap."""
    labels = {record.label for of in by_part.values() for record in of}
    if all(isinstance(label, int) for label in labels):
        return True
    if not all(re.fullmatch("0|[1-9][0-9]{0,8}", str(label)) for label in labels):
        return False
    numbers = sorted(map(int, labels))
    return numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))


def _place(numbered: tuple[int, Record]) -> tuple[int, tuple[str, ...]]:
    label, record = numbered
    return label, record.order


def number_or_text(value: object, what: str) -> int | str:
    """Return a label that is a number as a whole number, and any other as text.

    Args:
        value: of a file: text, perhaps in UTF-8, or a number.
        what: what errors call the place.

    Raises:
        Invalid: neither, or nothing.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as exc:
            raise Invalid(f"{what} has a label that is not UTF-8: save it as UTF-8") from exc
    if isinstance(value, str) and value.strip():
        names.check_text(value, what)
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and abs(value) < 1 << 62:
        return int(value)
    raise Invalid(f"{what} has the label {show(value)}: expected a name, or a whole number")


def version_of(path: Path, files: list[str]) -> list[object]:
    """Return what tells whether files changed: their sizes and times.

    Args:
        path: a folder, or the file itself.
        files: in the folder; an empty name is `path`.
    """
    states = [(name, (path / name).stat()) for name in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]
