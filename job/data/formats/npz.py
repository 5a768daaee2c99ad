"""A data set as arrays in an .npz: images and labels of each part, class names, groups."""

from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np

from job import errors
from job.data import archives, names, pixels
from job.data import groups as grouping
from job.data.dataset import Part
from job.data.formats import labels, layout, npz_array
from job.data.images import Images
from job.data.workspace import Workspace

KEYS = ("x_train", "y_train", "x_test", "y_test", "classes")
# What the images and the labels of a part are called, in any case. The first scheme applies
# whose training part is in the file.
SCHEMES = (
    ("x_{}", "y_{}"),
    ("{}_images", "{}_labels"),  # MedMNIST
    ("images_{}", "labels_{}"),
    ("{}_x", "{}_y"),
    ("x", "y"),  # a training part alone
    ("images", "labels"),
)


class _Keys(NamedTuple):
    """Which array is what."""

    ours: dict[str, str]  # one of `KEYS` -> the key in the file
    left_out: dict[str, str]  # images -> labels of a validation part


class _File:
    """The arrays of an open .npz."""

    def __init__(self, path: Path, arrays: np.lib.npyio.NpzFile, work: Workspace):
        if not isinstance(arrays.zip, ZipFile):
            raise ValueError("closed already")
        self.path = path
        self.keys = arrays.files
        self.work = work
        self._zip = arrays.zip

    def array(self, key: str) -> np.ndarray:
        """Return an array. Raises: errors.Invalid."""
        member = next(name for name in (f"{key}.npy", key) if name in self._zip.namelist())
        with archives.reading(self.path):
            return npz_array.read(self._zip, member, f"{key} of {self.path}", self.work)


def read(
    path: Path, groups: str | None, work: Workspace
) -> tuple[tuple[str, ...], Part, Part | None, list[str]]:
    """Read an .npz.

    Args:
        path: the file.
        groups: `data.groups`, the name of its arrays of groups, if any.
        work: for the pixels.

    Returns:
        The class names, the training part, the test part if there is one, and notes.

    Raises:
        errors.Invalid: damaged; unknown keys, shapes, types or values. An object array is
            refused, since it would be a pickle.
    """
    with archives.reading(path):
        # A lone .npy is not an .npz; the memory map leaves its bytes on the disk.
        arrays = np.load(path, mmap_mode="r", allow_pickle=False)
    keys = _find_keys(path, sorted(getattr(arrays, "files", ())))
    parts = ("train", "test") if "x_test" in keys.ours else ("train",)
    with arrays:
        file = _File(path, arrays, work)
        notes = _unread(file, keys, groups) + _left_out(file, keys)
        images, image_notes = _images(file, keys.ours, parts)
        known = _labels(file, keys.ours, parts)
        _check_lengths(path, keys.ours, images, known.numbers)
        lengths = {part: len(numbers) for part, numbers in known.numbers.items()}
        group_of = _groups(file, groups, lengths) if groups else {}
    read_parts = {
        part: Part(images[part], known.numbers[part], group_of.get(part)) for part in parts
    }
    notes += [*image_notes, *known.notes]
    return known.classes, read_parts["train"], read_parts.get("test"), notes


def _find_keys(path: Path, files: list[str]) -> _Keys:
    """Return which array is what, by the first scheme that applies. Raises: Invalid."""
    for images, labels_ in SCHEMES:
        parts = layout.PARTS if "{}" in images else ("train",)
        forms = {}
        for part in parts:
            forms[f"x_{part}"] = images.format(part)
            forms[f"y_{part}"] = labels_.format(part)
        forms["classes"] = "classes"
        ours = {name: _key(path, files, form) for name, form in forms.items()}
        ours = {name: key for name, key in ours.items() if key}
        is_whole = ("x_test" in ours) == ("y_test" in ours)
        if "x_train" in ours and "y_train" in ours and is_whole:
            left_out = {
                _key(path, files, images.format(part)): _key(path, files, labels_.format(part))
                for part in layout.LEFT_OUT
                if len(parts) > 1
            }
            return _Keys(ours, {x: y for x, y in left_out.items() if x and y})
    raise errors.Invalid(
        f"{path} has {names.list_some(files) or 'no keys'}: "
        "expected x_train, y_train[, x_test, y_test][, classes], "
        "or the same called train_images, train_labels, in any case"
    )


def _key(path: Path, files: list[str], name: str) -> str | None:
    """Return the key of this name; the exact case takes precedence. Raises: Invalid for several."""
    matches = [key for key in files if key.lower() == name]
    if name in matches:
        return name
    if len(matches) > 1:
        raise errors.Invalid(
            f"{path} has {names.list_some(matches)}, which differ only in case: "
            "leave one of them out"
        )
    return matches[0] if matches else None


def _unread(file: _File, keys: _Keys, groups: str | None) -> list[str]:
    """Return a note of the arrays that are not used."""
    known = {*keys.ours.values(), *keys.left_out, *keys.left_out.values()}
    if groups:
        known |= {f"{groups}_{part}" for part in layout.PARTS}
    others = set(file.keys) - known
    if not others:
        return []
    note = f"{names.list_some(others)} not read; known keys are {names.list_some(KEYS)}"
    if groups is None:
        note += '; data.groups = "patient" reads patient_train and patient_test'
    return [note]


def _left_out(file: _File, keys: _Keys) -> list[str]:
    """Return a note per validation part."""
    return [
        f"{len(file.array(y))} images in {x} are left out: only training and test are read; "
        f"join them to {keys.ours['x_train']} to use them"
        for x, y in keys.left_out.items()
    ]


def _images(
    file: _File, keys: dict[str, str], parts: tuple[str, ...]
) -> tuple[dict[str, Images], list[str]]:
    """Return the images of each part, and notes.

    The floats of the test part have the range that those of the training part have.
    """
    images = {}
    notes = []
    whole = None  # floats are whole numbers 0..255; None before the first floats
    for part in parts:
        key = keys[f"x_{part}"]
        values = file.array(key)
        if values.dtype.kind == "f":
            if whole is None:
                whole = pixels.are_whole(values)
            if whole:
                notes.append(
                    f"{key} holds whole numbers above 1 as {values.dtype}: they are read as 0..255"
                )
        converted = pixels.rgb(values, f"{key} of {file.path}", bool(whole))
        images[part] = file.work.write(converted, pixels.rgb_shape(values))
    return images, notes


def _labels(file: _File, keys: dict[str, str], parts: tuple[str, ...]) -> labels.Labels:
    given = {}
    for part in parts:
        key = keys[f"y_{part}"]
        given[part] = (f"{key} of {file.path}", file.array(key))
    classes = file.array(keys["classes"]) if "classes" in keys else None
    return labels.read(given, classes, f"{keys.get('classes')} of {file.path}")


def _check_lengths(
    path: Path,
    keys: dict[str, str],
    images: dict[str, Images],
    numbers: dict[str, np.ndarray],
) -> None:
    for part, values in images.items():
        if len(values) != len(numbers[part]):
            raise errors.Invalid(
                f"{path} has {len(values)} images in {keys[f'x_{part}']} and "
                f"{len(numbers[part])} labels in {keys[f'y_{part}']}: "
                "expected as many labels as images"
            )


def _groups(file: _File, groups: str, lengths: dict[str, int]) -> dict[str, np.ndarray]:
    keys = {part: f"{groups}_{part}" for part in lengths}
    arrays = {part: file.array(key) for part, key in keys.items() if key in file.keys}
    with grouping.naming_key(groups):
        return grouping.of_arrays(groups, arrays, lengths)
