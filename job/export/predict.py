"""Classify image files with a trained model.

Files are decoded and resized as `job prepare` decoded and resized the training images.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from job.data import decoding, names, pictures
from job.data.formats import tree
from job.data.threads import on_all_cores
from job.errors import Invalid, UsageError
from job.export.trained import Trained
from job.learning.interface import proceed
from job.text import cell, json_line, printable

BATCH = 32  # images in memory at a time; one of the staged size may have 2,048 x 2,048 pixels


@dataclass(frozen=True)
class Answer:
    """A model's answer for one image, or the reason why there is none."""

    path: Path
    classes: tuple[str, ...] = ()  # the most probable ones, best first
    probabilities: tuple[float, ...] = ()
    reason: str | None = None


def images(paths: Iterable[Path]) -> list[Path]:
    """Return the image files that paths name.

    A file stands for itself, a folder for all images below it, sorted, without hidden ones.

    Raises:
        UsageError: a path is neither file nor folder, or a folder has no image below it.
        Invalid: a folder cannot be read.
    """
    files = []
    for path in paths:
        if not path.is_dir() and not path.is_file():
            raise UsageError(
                f"there is no file or folder {str(path)!r}: expected images, or folders of them"
            )
        below = sorted(_below(path)) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"{path} has no image below it ({' '.join(decoding.SUFFIXES)})")
        files += below
    return files


def _below(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder; links to folders are not followed."""
    # Without an error handler, os.walk and Path.rglob skip an unreadable folder silently.
    for top, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not names.hidden(name)]
        for name in files:
            path = Path(top, name)
            # Path.is_file would raise where this user may not look at a file.
            if tree.is_image(name) and not names.hidden(name) and os.path.isfile(path):
                yield path


def _refuse(exc: OSError) -> None:
    raise Invalid(
        f"folder {exc.filename!r} cannot be read ({exc.strerror}):"
        f" this user ({os.getuid()}) needs the right to read it"
    ) from exc


def answers(
    model: Trained, paths: list[Path], top: int, advance: Callable[[], None] = proceed
) -> Iterator[Answer]:
    """Yield a model's answer for each file, in order, while all cores decode the next ones.

    Args:
        model: what answers.
        paths: of the files.
        top: how many classes an answer has, from 1.
        advance: called after each answer.
    """
    calls = ((partial(_decode, path, model), 0) for path in paths)
    with decoding.bounded():
        decoded = on_all_cores(calls)
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            pixels = list(islice(decoded, len(batch)))
            readable = [image for image in pixels if isinstance(image, np.ndarray)]
            rows = iter(model.probabilities(np.stack(readable)) if readable else ())
            for path, image in zip(batch, pixels, strict=True):
                if isinstance(image, str):
                    yield Answer(path, reason=image)
                else:
                    yield _answer(model, path, next(rows), top)
                advance()


def _answer(model: Trained, path: Path, row: np.ndarray, top: int) -> Answer:
    best = np.argsort(-row, kind="stable")[:top]
    return Answer(path, tuple(model.classes[c] for c in best), tuple(float(row[c]) for c in best))


def _decode(path: Path, model: Trained) -> np.ndarray | str:
    """Return the pixels of a file, or why it cannot be read."""
    try:
        return pictures.read_one(path, model.image_shape, model.bits, model.fit)
    except Invalid as exc:
        return str(exc)


def write(answers: Iterable[Answer], form: str, top: int, out: TextIO) -> list[Answer]:
    """Write the answers as they come; return those that have a reason instead of a class.

    Args:
        form: one of `FORMS`.
        top: how many classes an answer has at most.
        out: where to.
    """
    refused = []

    def classified() -> Iterator[Answer]:
        for answer in answers:
            if answer.reason:
                refused.append(answer)
            else:
                yield answer

    FORMS[form](classified(), top, out)
    return refused


def _table(answers: Iterator[Answer], _top: int, out: TextIO) -> None:
    for answer in answers:
        columns = [f"{p:.3f} {printable(c):16}" for c, p in _pairs(answer)]
        print("  ".join([*columns, printable(path_text(answer.path))]), file=out)


def _csv(answers: Iterator[Answer], top: int, out: TextIO) -> None:
    table = csv.writer(out, lineterminator="\n")
    head = ["file"]
    for i in range(top):
        suffix = "" if i == 0 else f"_{i + 1}"
        head += [f"class{suffix}", f"probability{suffix}"]
    table.writerow(head)
    for answer in answers:
        row: list[str | float] = [cell(path_text(answer.path))]
        for name, probability in _pairs(answer):
            row += [cell(name), probability]
        table.writerow(row)


def _json(answers: Iterator[Answer], top: int, out: TextIO) -> None:
    """Write one list, one entry per line, without holding it."""
    before = "[\n "
    for answer in answers:
        print(before + json_line(_entry(answer, top)), end="", file=out)
        before = ",\n "
    print("[]" if before[0] == "[" else "\n]", file=out)


def _jsonl(answers: Iterator[Answer], top: int, out: TextIO) -> None:
    for answer in answers:
        print(json_line(_entry(answer, top)), file=out)


def _entry(answer: Answer, top: int) -> dict:
    entry = {
        "file": path_text(answer.path),
        "class": answer.classes[0],
        "probability": answer.probabilities[0],
    }
    if top > 1:
        entry["top"] = [{"class": c, "probability": p} for c, p in _pairs(answer)]
    return entry


def path_text(path: Path) -> str:
    """Return a path as text that every output accepts: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _pairs(answer: Answer) -> Iterator[tuple[str, float]]:
    return zip(answer.classes, answer.probabilities, strict=True)


FORMS: dict[str, Callable[[Iterator[Answer], int, TextIO], None]] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}
