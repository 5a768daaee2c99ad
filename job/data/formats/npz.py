"""A data set as arrays in an .npz: images and labels of each part, class names, groups."""

from pathlib import Path
from zipfile import ZipFile

import numpy as np

from job import errors
from job.data import archives, names
from job.data import groups as grouping
from job.data.formats import npz_array, part_names
from job.data.formats.arrays import Arrays, Named
from job.data.workspace import Workspace

KEYS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "classes")
# What the images and the labels of a part are called, in any case. The first scheme applies
# whose training part is in the file.
SCHEMES = (
    ("x_{}", "y_{}"),
    ("{}_images", "{}_labels"),  # MedMNIST
    ("images_{}", "labels_{}"),
    ("{}_x", "{}_y"),
    ("{}_data", "{}_labels"),
    # A training part alone.
    ("x", "y"),
    ("images", "labels"),
    ("data", "labels"),
    ("data", "target"),
    ("image", "label"),
)
# Part -> the words for it in the names of arrays.
WORDS = {"train": ("train",), "validation": part_names.VALIDATION, "test": ("test",)}
CLASSES = ("classes", "class_names", "label_names")


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


def read(path: Path, groups: str | None, work: Workspace) -> Arrays:
    """Read an .npz.

    Args:
        path: the file.
        groups: `data.groups`, the name of its arrays of groups, if any.
        work: for large arrays.

    Raises:
        errors.Invalid: damaged; unknown keys. An object array is refused, since it would be a
            pickle.
    """
    with archives.reading(path):
        # A lone .npy is not an .npz; the memory map leaves its bytes on the disk.
        arrays = np.load(path, mmap_mode="r", allow_pickle=False)
    files: list[str] = sorted(getattr(arrays, "files", []))
    keys = _find_keys(path, files)
    classes_key = _first_key(path, files, CLASSES)
    with arrays:
        file = _File(path, arrays, work)
        known = [*(key for pair in keys.values() for key in pair), classes_key]
        found = Arrays(
            path,
            images={part: Named(x, file.array(x)) for part, (x, _) in keys.items()},
            labels={part: Named(y, file.array(y)) for part, (_, y) in keys.items()},
            classes=Named(classes_key, file.array(classes_key)) if classes_key else None,
        )
        if groups:
            group_keys = {part: _group_key(files, groups, part) for part in keys}
            known += group_keys.values()
            arrays_of = {part: file.array(key) for part, key in group_keys.items() if key in files}
            lengths = {part: len(named.values) for part, named in found.labels.items()}
            with grouping.naming_key(groups):
                found.groups = grouping.of_arrays(group_keys, arrays_of, lengths)
    found.notes += _unread(file, known, groups)
    return found


def _find_keys(path: Path, files: list[str]) -> dict[str, tuple[str, str]]:
    """Return the keys of images and labels of each part, by the first scheme that applies.

    Raises: Invalid.
    """
    for images, labels in SCHEMES:
        found = {}
        is_half = False
        for part in part_names.PARTS if "{}" in images else ("train",):
            for word in WORDS[part]:
                x = _key(path, files, images.format(word))
                y = _key(path, files, labels.format(word))
                if x and y and part in found:
                    raise errors.Invalid(
                        f"{path} has {found[part][0]} and {x}, which both mean a {part} part: leave"
                        " one of them out"
                    )
                if x and y:
                    found[part] = (x, y)
                elif x or y:
                    is_half = is_half or part == "test"
        if "train" in found and not is_half:
            return found
    raise errors.Invalid(
        f"{path} has {names.list_some(files) or 'no keys'}: "
        "expected x_train, y_train[, x_val, y_val][, x_test, y_test][, classes], "
        "or the same called train_images, train_labels, in any case"
    )


def _first_key(path: Path, files: list[str], known: tuple[str, ...]) -> str | None:
    return next((key for name in known if (key := _key(path, files, name))), None)


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


def _unread(file: _File, known: list[str | None], groups: str | None) -> list[str]:
    """Return a note of the arrays that are not used."""
    others = set(file.keys).difference(key for key in known if key)
    if not others:
        return []
    note = f"{names.list_some(others)} not read; known keys are {names.list_some(KEYS)}"
    if groups is None:
        note += '; data.groups = "patient" reads patient_train and patient_test'
    return [note]


def _group_key(files: list[str], groups: str, part: str) -> str:
    """Return the key of the groups of a part, or what it should be."""
    keys = [f"{groups}_{word}" for word in WORDS[part]]
    return next((key for key in keys if key in files), keys[0])
