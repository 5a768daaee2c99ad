"""Match the rows of a table of labels to the images of a folder or an archive."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from job.data import archives, downloads, names
from job.data.formats import label_table
from job.data.formats.label_table import Row
from job.data.formats.part_names import PART_OF
from job.data.formats.tree import Parts, Tree, is_image
from job.errors import Invalid


@dataclass
class Labeled:
    """The images that a table labels."""

    # Part -> class -> its images, sorted.
    members: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # image -> its group, if there are groups
    notes: list[str] = field(default_factory=list)


def read(labels: str, listing: Tree, cache: Path) -> Labeled:
    """Return the images of each class by `data.labels`.

    Args:
        labels: a table in the data by its name, else its path or URL. Several tables of this
            name, as in `train/metadata.csv` and `test/metadata.csv`, are read together.
        listing: the names in the data.
        cache: where downloads are kept.

    Raises:
        Invalid: no such table, a row that no image or several match, two labels of one image.
    """
    row_of: dict[str, Row] = {}
    notes = []
    doubles = 0
    find = _finder(listing)
    for folder, rows in _tables(labels, listing, cache):
        for row in rows:
            member = find(row, folder)
            first = row_of.setdefault(member, row)
            if first is not row:
                _check_double(member, first, row)
                doubles += 1
    if doubles:
        notes.append(f"{doubles} rows of {labels} are there twice")
    unlabeled = [name for name in _images(listing) if name not in row_of]
    if unlabeled:
        listed = names.list_some(unlabeled)
        notes.append(f"{len(unlabeled)} images have no row in {labels} and are not used: {listed}")
    return _sort(row_of, labels, notes)


def _check_double(member: str, first: Row, row: Row) -> None:
    """Raise Invalid if two rows of an image differ."""
    for what in ("label", "split", "group"):
        before = getattr(first, what)
        now = getattr(row, what)
        if before != now:
            raise Invalid(
                f"{member!r} has two {what}s, {before!r} ({first.where}) and {now!r}"
                f" ({row.where}): give each image one row"
            )


def _sort(row_of: dict[str, Row], labels: str, notes: list[str]) -> Labeled:
    """Return the labeled images by part and class."""
    members: dict[str, dict[str, list[str]]] = {"train": defaultdict(list)}
    for member in sorted(row_of, key=lambda name: PurePosixPath(name).parts):
        row = row_of[member]
        members.setdefault(_part(row), defaultdict(list))[row.label].append(member)
    if not members["train"]:
        raise Invalid(f"{labels} has no row of the training part: expected `train` in `split`")
    groups = {member: row.group for member, row in row_of.items() if row.group}
    if groups and len(groups) < len(row_of):
        row = next(row for row in row_of.values() if not row.group)
        raise Invalid(
            f"{row.where} has no group, others have: give an image that belongs to no other a"
            " group of its own"
        )
    return Labeled(members, groups, notes)


def _part(row: Row) -> str:
    """Return the part of a row. Raises: Invalid."""
    if row.split is None:
        return "train"
    if row.split.lower() not in PART_OF:
        raise Invalid(
            f"{row.where} has the split {row.split!r}: expected train, test or validation"
        )
    return PART_OF[row.split.lower()]


def _tables(labels: str, listing: Tree, cache: Path) -> Iterable[tuple[str, list[Row]]]:
    """Return the rows of each table, with the folder that it is in within the data."""
    if downloads.is_url(labels):
        content = downloads.fetch_once(labels, cache).read_bytes()
        return [("", label_table.read(downloads.redact(labels), content))]
    inside = [
        name
        for name in listing.files.values()
        if labels in (name, name.partition("/")[2], PurePosixPath(name).name)
    ]
    if inside:
        return _tables_inside(inside, listing)
    file = Path(labels).expanduser()
    if not file.is_file():
        raise Invalid(
            f"there is no such file in the data ({listing.path}), nor at"
            f" {str(file.absolute())!r}: {label_table.EXPECTED}"
        )
    with archives.reading(file):
        return [("", label_table.read(file.name, file.read_bytes()))]


def _tables_inside(inside: list[str], listing: Tree) -> list[tuple[str, list[Row]]]:
    """Return the rows of tables within the data; a table's folder may say which part it is of."""
    tables = []
    for member in archives.members(listing.path):
        if member.name not in inside:
            continue
        folder = str(PurePosixPath(member.name).parent)
        folder = "" if folder == "." else f"{folder}/"
        split = PurePosixPath(member.name).parent.name
        rows = label_table.read(member.name, member.read())
        if split.lower() in PART_OF:
            rows = [
                row
                if row.split
                else Row(row.table, row.line, row.file, row.label, split, row.group)
                for row in rows
            ]
        tables.append((folder, rows))
    return sorted(tables, key=lambda table: table[0])


def _finder(listing: Tree) -> Callable[[Row, str], str]:
    """Return a function that finds the image of a row, or raises Invalid.

    A row may name a path in the data or beside its table, a file's name alone, or that without
    its suffix.
    """
    by_name = {name: [name] for name in listing.files.values()}
    by_end: dict[str, list[str]] = defaultdict(list)
    for name in _images(listing):
        path = PurePosixPath(name)
        for end in {path.name, path.stem, name.partition("/")[2]}:
            by_end[end].append(name)

    def find(row: Row, folder: str) -> str:
        plain = row.file.replace("\\", "/").removeprefix("./")
        found = by_name.get(folder + plain) or by_name.get(plain) or by_end.get(plain, [])
        if PurePosixPath(folder).name.lower() in PART_OF:  # it is of the images beside it
            found = [name for name in found if name.startswith(folder)]
        if len(found) == 1:
            return found[0]
        if found:
            raise Invalid(
                f"{row.where} names {row.file!r}, and {names.list_some(found)} are called so:"
                " name the path in the data"
            )
        raise Invalid(
            f"{row.where} names {row.file!r}, and no image of {listing.path} is called so, with or"
            " without a suffix: name the path in the data, or remove the row"
        )

    return find


def _images(listing: Tree) -> list[str]:
    return [name for parts, name in listing.files.items() if _is_image(parts)]


def _is_image(parts: Parts) -> bool:
    return is_image(parts[-1])
