"""Classify image files with a trained model: decoded and resized as `prepare` did it with the training images."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from job import pictures
from job.errors import Invalid, UsageError
from job.trained import Trained

BATCH = 256  # images in memory at a time


@dataclass(frozen=True)
class Answer:
    """What a model says of one image, or why it says nothing."""

    path: Path
    classes: tuple[str, ...] = ()  # the most probable ones, best first
    probabilities: tuple[float, ...] = ()
    reason: str | None = None


def images(paths: Iterable[Path]) -> list[Path]:
    """Return the image files that are meant: files as they are, of folders all images below them, sorted, hidden ones left out.

    Raises: UsageError for what is not there and for a folder without an image.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {str(path)!r}: expected images, or folders of them")
        below = sorted(p for p in path.rglob("*") if _shown(p.relative_to(path)) and p.is_file()) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"{path} has no image below it ({' '.join(pictures.IMAGES)})")
        found += below
    return found


def _shown(path: Path) -> bool:
    return path.name.lower().endswith(pictures.IMAGES) and not any(part.startswith(".") for part in path.parts)


def answers(model: Trained, paths: list[Path], top: int) -> Iterator[Answer]:
    """Yield what a model says of each file, in order. Args: top: how many classes, from 1."""
    for part in (paths[start : start + BATCH] for start in range(0, len(paths), BATCH)):
        decoded = [_decoded(path, model.image_shape) for path in part]
        whole = [pixels for pixels in decoded if isinstance(pixels, np.ndarray)]
        rows = iter(model.probabilities(np.stack(whole)) if whole else ())
        for path, pixels in zip(part, decoded, strict=True):
            if isinstance(pixels, Invalid):
                yield Answer(path, reason=str(pixels))
                continue
            row = next(rows)
            order = np.argsort(-row, kind="stable")[:top]
            yield Answer(path, tuple(model.classes[c] for c in order), tuple(float(row[c]) for c in order))


def _decoded(path: Path, shape: tuple[int, int, int]) -> np.ndarray | Invalid:
    try:
        return pictures.one(path, shape)
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
        print("  ".join([*(f"{p:.3f} {c:16}" for c, p in _pairs(a)), str(a.path)]))


def _csv(found: Iterator[Answer], top: int) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["file", *(f"{name}{'' if i == 0 else f'_{i + 1}'}" for i in range(top) for name in ("class", "probability"))])
    for a in found:
        table.writerow([a.path, *(cell for pair in _pairs(a) for cell in pair)])


def _json(found: Iterator[Answer], top: int) -> None:
    """Print one list, an entry a line, without holding it."""
    before = "[\n "
    for a in found:
        entry = {"file": str(a.path), "class": a.classes[0], "probability": a.probabilities[0]}
        more = {"top": [{"class": c, "probability": p} for c, p in _pairs(a)]} if top > 1 else {}
        print(before + json.dumps(entry | more, ensure_ascii=False), end="")
        before = ",\n "
    print("[]" if before[0] == "[" else "\n]")


def _pairs(answer: Answer) -> Iterator[tuple[str, float]]:
    return zip(answer.classes, answer.probabilities, strict=True)


FORMS: dict[str, Callable] = {"table": _table, "json": _json, "csv": _csv}
