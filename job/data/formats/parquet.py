"""Parquet files of a Hugging Face image data set: a column of images, a column of labels.

An image is a struct of `bytes` and `path`, or bytes. The file's metadata may name the classes.
Source: huggingface.co/docs/datasets, "Image" and "ClassLabel".
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from job.data import archives
from job.data.archives import Member
from job.data.formats import part_names, plan
from job.data.formats.plan import Plan, Record, Records
from job.errors import Invalid
from job.sentences import first_line

ROWS = 64  # read at a time
BUFFER_BYTES = 1 << 20
IMAGES = ("image", "img", "jpg", "png", "picture", "photo", "pixels")
LABELS = ("label", "labels", "class", "category", "target", "fine_label")


def is_of(name: str) -> bool:
    """Tell whether a file is called as Parquet files are."""
    return name.lower().endswith(".parquet")


def read(path: Path, files: list[str] | None, label: str | None, group: str | None) -> Plan:
    """Return the plan of one file, or of all in a folder.

    Args:
        path: the file, or the folder.
        files: those in the folder; None if `path` is the file.
        label: `data.labels`, the column of the labels; None to find it by its name.
        group: `data.groups`, the column of the groups; None for no groups.

    Raises:
        Invalid: damaged; no column of images or labels, an empty image or label.
    """
    by_part = part_names.by_part(files, str(path)) if files else {"train": [""]}
    every = [name for of in by_part.values() for name in of]
    tables = {name: _Table(path / name, name, label, group) for name in every}
    classes = {table.classes for table in tables.values()}
    if len(classes) > 1:
        raise Invalid(f"{path}: its files name different classes: write them as one data set")
    listed = classes.pop()
    records = Records(
        path,
        {part: [r for name in of for r in tables[name].records()] for part, of in by_part.items()},
        label_name=f"column {next(iter(tables.values())).label!r}",
        members=partial(_members, list(tables.values())),
        version=plan.version_of(path, every),
        classes=None if listed is None else list(listed),
    )
    return plan.of_records(records)


def _members(tables: "list[_Table]") -> Iterator[Member]:
    for table in tables:
        yield from table.members()


class _Table:
    """One Parquet file: which of its columns is what."""

    def __init__(self, path: Path, name: str, label: str | None, group: str | None):
        self.path = path
        self._prefix = f"{name}/" if name else ""
        with self._open() as file:
            schema = file.schema_arrow
        columns = list(schema.names)
        self.image = self._find("images", IMAGES, columns, None)
        self.label = self._find("labels", LABELS, columns, label)
        self.group = self._find("groups", (), columns, group) if group else None
        kind = schema.field(self.image).type
        fields = [kind.field(i).name for i in range(kind.num_fields)]
        if "bytes" not in fields and "binary" not in str(kind):
            raise Invalid(
                f"column {self.image!r} of {path} is {kind}: expected the bytes of image files, as"
                " a data set of Hugging Face has them; write the files into it, not their paths"
            )
        self._bytes = f"{self.image}.bytes" if fields else self.image
        self._path = f"{self.image}.path" if "path" in fields else None
        self.classes = _classes(schema.metadata, self.label)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the file; what is wrong with it becomes a sentence. Raises: Invalid."""
        from pyarrow import ArrowException  # an extra
        from pyarrow.parquet import ParquetFile

        try:
            # Without a buffer, whole columns of a row group are read at a time.
            with (
                archives.reading(self.path),
                ParquetFile(self.path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file,
            ):
                yield file
        except ArrowException as exc:
            raise Invalid(
                f"{self.path} cannot be read as Parquet ({first_line(exc)}): write it again"
            ) from exc

    def _find(
        self, what: str, known: tuple[str, ...], columns: list[str], asked: str | None
    ) -> str:
        """Return the name of a column. Raises: Invalid."""
        wanted = (asked,) if asked else known
        own = {column.lower(): column for column in columns}
        for name in wanted:
            if name in columns:
                return name
            if not asked and name in own:
                return own[name]
        key = {"labels": "data.labels", "groups": "data.groups"}.get(what)
        told = f'{key} = "{asked}": ' if asked else ""
        advice = f"; name another in {key}" if key and not asked else ""
        raise Invalid(
            f"{told}{self.path} has no such column of {what}, it has {', '.join(columns)}:"
            f" expected {' or '.join(wanted[:3])}{advice}"
        )

    def records(self) -> Iterator[Record]:
        """Yield the label, place and group of each row, without its image. Raises: Invalid."""
        columns = [name for name in (self.label, self.group, self._path) if name]
        row = 0
        with self._open() as file:
            for batch in file.iter_batches(columns=columns):
                for values in batch.to_pylist():
                    yield self._record(values, row)
                    row += 1

    def _record(self, values: dict[str, Any], row: int) -> Record:
        name = self._name(row)
        label = plan.number_or_text(values[self.label], name)
        image = values.get(self.image)
        path = image.get("path") if isinstance(image, dict) else None
        parts = PurePosixPath(path).parts if path else ()
        group = None
        if self.group:
            group = str(plan.number_or_text(values[self.group], f"{name}, column {self.group!r},"))
        return Record(name, label, (*parts, self._prefix, f"{row:012}"), group)

    def _name(self, row: int) -> str:
        return f"{self._prefix}row {row}"

    def members(self) -> Iterator[Member]:
        """Yield each row as an image file."""
        row = 0
        with self._open() as file:
            for batch in file.iter_batches(ROWS, columns=[self._bytes]):
                for value in batch.column(0).to_pylist():
                    content = value.get("bytes") if isinstance(value, dict) else value
                    yield Member(self._name(row), False, partial(_bytes, content))
                    row += 1


def _bytes(content: object) -> bytes:
    """Return the bytes of an image; nothing for a row without one, which is no image then."""
    return content if isinstance(content, bytes) else b""


def _classes(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...] | None:
    """Return the names of the classes that Hugging Face's metadata lists, None for none."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        listed = features[label]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    is_list = isinstance(listed, list) and all(isinstance(name, str) for name in listed)
    return tuple(listed) if is_list else None
