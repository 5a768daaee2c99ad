"""Labels from a table, `data.labels`: a CSV or JSON lines with a row per image."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from job.data import names
from job.errors import Invalid
from job.sentences import show

# What the columns may be called, in any case. The first name that a table has is taken.
COLUMNS = {
    "file": (
        *("file_name", "filename", "file_path", "filepath", "file"),
        *("image_path", "image_name", "image_id", "image", "img", "path", "id"),
    ),
    "label": ("label", "labels", "class", "class_name", "category", "target", "breed", "y"),
    "split": ("split", "subset", "set", "partition"),
    "group": ("group", "group_id", "patient", "patient_id"),
}
NEEDED = ("file", "label")
DELIMITERS = ",;\t|"
JSON_LINES = (".jsonl", ".ndjson")
EXPECTED = (
    "expected a CSV with a header line, or JSON lines, with a column `file_name` and a column"
    " `label`, and perhaps `split` and `group`"
)


@dataclass(frozen=True)
class Row:
    """A row of a table of labels."""

    table: str  # the name of the file
    line: int  # counted from 1
    file: str
    label: str
    split: str | None  # None without such a column
    group: str | None

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"line {self.line} of {self.table}"


def read(name: str, content: bytes) -> list[Row]:
    """Return the rows of a table, at least one.

    Args:
        name: of its file, for its suffix and for errors.
        content: its bytes, UTF-8.

    Raises:
        Invalid: not text, not such a table, or a row without a file or a label.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise Invalid(
            f"{name} is not UTF-8 text ({exc.reason} at byte {exc.start}): save it as UTF-8"
        ) from exc
    is_json = PurePosixPath(name).suffix.lower() in JSON_LINES or text.lstrip().startswith("{")
    lines = _json_lines(name, text) if is_json else _csv_lines(name, text)
    rows = [_row(name, line, values) for line, values in lines]
    if not rows:
        raise Invalid(f"{name} has no row: {EXPECTED}")
    return rows


def _row(name: str, line: int, values: dict[str, str]) -> Row:
    for column in NEEDED:
        if not values.get(column):
            raise Invalid(f"line {line} of {name} has no {column}: give each image both, or none")
    names.check_text(values["label"], f"a label in line {line} of {name}")
    return Row(
        name, line, values["file"], values["label"], values.get("split"), values.get("group")
    )


def _columns(name: str, header: Iterable[str]) -> dict[str, str]:
    """Return which column has which name, in its own case. Raises: Invalid."""
    given = list(header)
    own = {column.strip().lower(): column for column in given}
    found = {
        column: next((own[called] for called in known if called in own), None)
        for column, known in COLUMNS.items()
    }
    for column in NEEDED:
        if found[column] is None:
            shown = show(", ".join(given))
            raise Invalid(f"{name} has no column of {column}s, it has {shown}: {EXPECTED}")
    return {column: called for column, called in found.items() if called is not None}


def _csv_lines(name: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a CSV: its line, and its values by column."""
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)  # the first of them where there is none
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = next(reader, [])
        columns = {column: header.index(own) for column, own in _columns(name, header).items()}
        for row in filter(any, reader):
            yield (
                reader.line_num,
                {column: row[i].strip() if i < len(row) else "" for column, i in columns.items()},
            )
    except csv.Error as exc:
        raise Invalid(f"line {reader.line_num} of {name} is not CSV ({exc}): {EXPECTED}") from exc


def _json_lines(name: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each object of JSON lines: its line, and its values by column."""
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            values = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise Invalid(f"line {line} of {name} is not JSON ({exc}): {EXPECTED}") from exc
        if not isinstance(values, dict):
            raise Invalid(f"line {line} of {name} is {show(values)}: {EXPECTED}")
        columns = _columns(name, values)
        yield line, {column: _text(name, line, values[own]) for column, own in columns.items()}


def _text(name: str, line: int, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Invalid(f"line {line} of {name} has {show(value)}: expected text or a whole number")
    return str(value).strip()
