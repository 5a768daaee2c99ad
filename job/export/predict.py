"""Classify image files with a trained model: decoded and resized as `prepare` did it with the training images."""

import csv
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job.data import decoding, layout, names, pictures
from job.errors import Invalid, UsageError
from job.export.trained import Trained
from job.interrupt import INTERRUPT
from job.text import cell, json_line, printable

BATCH = 32  # images in memory at a time: a staged one may have 2,048 x 2,048 pixels


@dataclass(frozen=True)
class Answer:
    """What a model says of one image, or why it says nothing."""

    path: Path
    classes: tuple[str, ...] = ()  # the most probable ones, best first
    probabilities: tuple[float, ...] = ()
    reason: str | None = None


def images(paths: Iterable[Path]) -> list[Path]:
    """Return the image files that are meant: files as they are, of folders all images below them, sorted, hidden ones left out.

    Raises: UsageError for what is neither file nor folder and for a folder without an image, Invalid for one that cannot be read.
    """
    found = []
    for path in paths:
        if not path.is_dir() and not path.is_file():
            raise UsageError(
                f"there is no file or folder {str(path)!r}: expected images, or folders of them"
            )
        below = sorted(_below(path)) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"{path} has no image below it ({' '.join(decoding.SUFFIXES)})")
        found += below
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder; links to folders are not followed."""

    def refuse(
        exc: OSError,
    ):  # without it os.walk, as Path.rglob, would leave the folder out in silence
        raise Invalid(
            f"folder {exc.filename!r} cannot be read ({exc.strerror}): this user ({os.getuid()}) needs the right to it"
        ) from exc

    for top, folders, found in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not names.hidden(name)]
        yield from (
            Path(top, name)
            for name in found
            if layout.is_image(name)
            and not names.hidden(name)
            and os.path.isfile(os.path.join(top, name))
        )


def answers(model: Trained, paths: list[Path], top: int) -> Iterator[Answer]:
    """Yield what a model says of each file, in order. Args: top: how many classes, from 1."""
    for part in (paths[start : start + BATCH] for start in range(0, len(paths), BATCH)):
        INTERRUPT.check()
        decoded = [_decoded(path, model) for path in part]
        whole = [pixels for pixels in decoded if isinstance(pixels, np.ndarray)]
        rows = iter(model.probabilities(np.stack(whole)) if whole else ())
        for path, pixels in zip(part, decoded, strict=True):
            if isinstance(pixels, Invalid):
                yield Answer(path, reason=str(pixels))
                continue
            row = next(rows)
            order = np.argsort(-row, kind="stable")[:top]
            yield Answer(
                path, tuple(model.classes[c] for c in order), tuple(float(row[c]) for c in order)
            )


def _decoded(path: Path, model: Trained) -> np.ndarray | Invalid:
    try:
        return pictures.one(path, model.image_shape, model.bits)
    except Invalid as exc:
        return exc


def write(found: Iterable[Answer], form: str, top: int) -> list[Answer]:
    """Print the answers as they come, in one of `FORMS`; return those that have a reason instead of a class."""
    refused = []

    def known() -> Iterator[Answer]:
        for answer in found:
            if answer.reason:
                refused.append(answer)
            else:
                yield answer

    FORMS[form](known(), top)
    return refused


def _table(found: Iterator[Answer], top: int) -> None:
    for a in found:
        print(
            "  ".join(
                [*(f"{p:.3f} {printable(c):16}" for c, p in _pairs(a)), printable(shown(a.path))]
            )
        )


def _csv(found: Iterator[Answer], top: int) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(
        [
            "file",
            *(
                f"{name}{'' if i == 0 else f'_{i + 1}'}"
                for i in range(top)
                for name in ("class", "probability")
            ),
        ]
    )
    for a in found:
        table.writerow(
            [cell(shown(a.path)), *(value for c, p in _pairs(a) for value in (cell(c), p))]
        )


def _json(found: Iterator[Answer], top: int) -> None:
    """Print one list, an entry a line, without holding it."""
    before = "[\n "
    for a in found:
        entry = {"file": shown(a.path), "class": a.classes[0], "probability": a.probabilities[0]}
        more = {"top": [{"class": c, "probability": p} for c, p in _pairs(a)]} if top > 1 else {}
        print(before + json_line(entry | more), end="")
        before = ",\n "
    print("[]" if before[0] == "[" else "\n]")


def shown(path: Path) -> str:
    """Return a path as text; what in it is no UTF-8 is escaped, which no output refuses."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _pairs(answer: Answer) -> Iterator[tuple[str, float]]:
    return zip(answer.classes, answer.probabilities, strict=True)


FORMS: dict[str, Callable] = {"table": _table, "json": _json, "csv": _csv}
