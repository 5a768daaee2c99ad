"""A data set as arrays in an .npz: x_train, y_train and perhaps x_test, y_test, classes, and those of data.groups."""

from pathlib import Path

import numpy as np

from job import archives, errors, layout, pictures
from job import groups as grouping
from job.dataset import Part

KEYS = ("x_train", "y_train", "x_test", "y_test", "classes")


def read(path: Path, groups: str | None) -> tuple[tuple[str, ...], Part, Part | None, list[str]]:
    """Return class names, both parts and notes; an object array is refused, it would be a pickle."""
    with archives.reading(path):
        arrays = np.load(path, allow_pickle=False)
    found = set(getattr(arrays, "files", ()))
    if not {"x_train", "y_train"} <= found or ("x_test" in found) != ("y_test" in found):
        raise errors.Invalid(f"{path} has {layout.some(found) or 'no keys'}: expected x_train, y_train[, x_test, y_test][, classes]")
    ours = {f"{groups}_{part}" for part in ("train", "test")} if groups else set()
    notes = []
    if others := found.difference(KEYS, ours):
        hint = '; data.groups = "patient" reads patient_train and patient_test' if groups is None else ""
        notes.append(f"{layout.some(others)} not read; known keys are {layout.some(KEYS)}{hint}")
    with arrays:
        train = _part(path, arrays, "train")
        test = _part(path, arrays, "test") if "x_test" in found else None
        names = _array(path, arrays, "classes") if "classes" in found else None
        parts = {"train": train} | ({"test": test} if test else {})
        if groups:
            named = {part: _array(path, arrays, f"{groups}_{part}") for part in parts if f"{groups}_{part}" in found}
            with grouping.key_named(groups):
                numbers = grouping.of_arrays(groups, named, {part: len(p.labels) for part, p in parts.items()})
            parts = {part: Part(p.images, p.labels, numbers[part]) for part, p in parts.items()}
    return _classes(path, names, train.labels), parts["train"], parts.get("test"), notes


def _array(path: Path, arrays: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    with archives.reading(path):
        try:
            array = arrays[key]
        except ValueError as exc:
            raise errors.Invalid(f"{key} of {path} cannot be read ({exc}): save plain numbers or text by numpy.savez") from exc
    if not isinstance(array, np.ndarray):  # a member of a zip that numpy did not write
        raise errors.Invalid(f"{key} of {path} is no array: save it by numpy.savez")
    return array


def _part(path: Path, arrays: np.lib.npyio.NpzFile, part: str) -> Part:
    images = pictures.rgb(_array(path, arrays, f"x_{part}"), f"x_{part} of {path}")
    labels = _numbers(_array(path, arrays, f"y_{part}"), f"y_{part} of {path}")
    if len(images) != len(labels):
        seen = f"{len(images)} images in x_{part} and {len(labels)} labels in y_{part}"
        raise errors.Invalid(f"{path} has {seen}: expected as many labels as images")
    return Part(images, labels)


def _numbers(labels: np.ndarray, what: str) -> np.ndarray:
    """int64 [n] of integers [n] or [n, 1], or of one-hot rows [n, k] of any type."""
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise errors.Invalid(f"{what} {labels.shape} is not one-hot: expected one 1 in each row and zeros else")
        return labels.argmax(axis=1).astype(np.int64)
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)) or labels.dtype.kind not in "iu":
        raise errors.Invalid(f"{what} is {labels.dtype} {labels.shape}: expected integers [n] or [n, 1], or one-hot [n, k]")
    return labels.reshape(-1).astype(np.int64)


def _classes(path: Path, names: np.ndarray | None, labels: np.ndarray) -> tuple[str, ...]:
    """The names given, else the labels themselves, which must then be 0..k-1 without a gap."""
    if names is None:
        present = np.unique(labels)
        if not np.array_equal(present, np.arange(len(present))):
            seen = f"{len(present)} different labels, {present[0]}..{present[-1]}"
            raise errors.Invalid(f"y_train of {path} has {seen}: expected 0..k-1 without a gap")
        return tuple(str(label) for label in present)
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names) or "" in names.tolist():
        raise errors.Invalid(f"classes of {path} is {names.dtype} {names.shape}: expected different names, an array [k] of str")
    return tuple(names.tolist())
