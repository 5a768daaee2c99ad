"""A data set as arrays in an .npz: images and labels of a training and perhaps a test part, names of the classes, groups."""

from pathlib import Path

import numpy as np

from job import errors
from job.data import archives, labels, layout, names, pictures
from job.data import groups as grouping
from job.data.dataset import Part

KEYS = ("x_train", "y_train", "x_test", "y_test", "classes")
SCHEMES = (  # how images and labels of a part are called, in any case; the first whose training part is there
    ("x_{}", "y_{}"),
    ("{}_images", "{}_labels"),  # MedMNIST
    ("images_{}", "labels_{}"),
    ("{}_x", "{}_y"),
    ("x", "y"),  # a training part alone
    ("images", "labels"),
)


def read(path: Path, groups: str | None) -> tuple[tuple[str, ...], Part, Part | None, list[str]]:
    """Return class names, both parts and notes; an object array is refused, it would be a pickle."""
    with archives.reading(path):
        arrays = np.load(
            path, mmap_mode="r", allow_pickle=False
        )  # a lone .npy, which is none, stays on the disk
    keys, left_out = _keys(path, sorted(getattr(arrays, "files", ())))
    parts = ("train", "test") if "x_test" in keys else ("train",)
    with arrays:
        notes = _unread(
            path, arrays, {*keys.values(), *left_out, *left_out.values()}, groups
        ) + _left_out(path, arrays, left_out, keys)
        images, counted = _images(path, arrays, keys, parts)
        given = {
            part: (f"{keys[f'y_{part}']} of {path}", _array(path, arrays, keys[f"y_{part}"]))
            for part in parts
        }
        named = _array(path, arrays, keys["classes"]) if "classes" in keys else None
        classes, numbers, noted = labels.read(given, named, f"{keys.get('classes')} of {path}")
        for part in parts:
            if len(images[part]) != len(numbers[part]):
                seen = f"{len(images[part])} images in {keys[f'x_{part}']} and {len(numbers[part])} labels in {keys[f'y_{part}']}"
                raise errors.Invalid(f"{path} has {seen}: expected as many labels as images")
        together = (
            _groups(path, arrays, groups, {part: len(of) for part, of in numbers.items()})
            if groups
            else {}
        )
    found = {part: Part(images[part], numbers[part], together.get(part)) for part in parts}
    return classes, found["train"], found.get("test"), [*notes, *counted, *noted]


def _keys(path: Path, files: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return which key is which of `KEYS`, and {images: labels} of a validation part. Raises: Invalid."""
    for images, labels_ in SCHEMES:
        parts = layout.PARTS if "{}" in images else ("train",)
        forms = {
            f"{xy}_{part}": form.format(part)
            for part in parts
            for xy, form in (("x", images), ("y", labels_))
        }
        keys = {
            ours: key
            for ours, name in (forms | {"classes": "classes"}).items()
            if (key := _key(path, files, name))
        }
        if (
            "x_train" not in keys
            or "y_train" not in keys
            or ("x_test" in keys) != ("y_test" in keys)
        ):
            continue
        others = {
            _key(path, files, images.format(part)): _key(path, files, labels_.format(part))
            for part in layout.LEFT_OUT
            if len(parts) > 1
        }
        return keys, {x: y for x, y in others.items() if x and y}
    raise errors.Invalid(
        f"{path} has {names.some(files) or 'no keys'}: expected x_train, y_train[, x_test, y_test][, classes], "
        "or the same called train_images, train_labels, in any case"
    )


def _key(path: Path, files: list[str], name: str) -> str | None:
    """Return the key of this name, in this case before any other. Raises: Invalid for several."""
    found = [key for key in files if key.lower() == name]
    if len(found) > 1 and name not in found:
        raise errors.Invalid(
            f"{path} has {names.some(found)}, which are one name in two cases: leave one of them out"
        )
    return name if name in found else next(iter(found), None)


def _unread(
    path: Path, arrays: np.lib.npyio.NpzFile, known: set[str], groups: str | None
) -> list[str]:
    ours = {f"{groups}_{part}" for part in layout.PARTS} if groups else set()
    others = set(arrays.files).difference(known, ours)
    hint = (
        '; data.groups = "patient" reads patient_train and patient_test' if groups is None else ""
    )
    return (
        [f"{names.some(others)} not read; known keys are {names.some(KEYS)}{hint}"]
        if others
        else []
    )


def _left_out(
    path: Path, arrays: np.lib.npyio.NpzFile, left_out: dict[str, str], keys: dict[str, str]
) -> list[str]:
    return [
        f"{len(_array(path, arrays, y))} images in {x} are left out: training and test are read; join them to {keys['x_train']} to use them"
        for x, y in left_out.items()
    ]


def _images(
    path: Path, arrays: np.lib.npyio.NpzFile, keys: dict[str, str], parts: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the images of each part, uint8 [n, height, width, 3], and notes; floats mean in both parts what they mean in training."""
    found, notes, counts = {}, [], None
    for part in parts:
        key = keys[f"x_{part}"]
        images = _array(path, arrays, key)
        if images.dtype.kind == "f":
            counts = pictures.counts(images) if counts is None else counts
            notes += (
                [f"{key} holds whole numbers above 1 as {images.dtype}: they are taken for 0..255"]
                if counts
                else []
            )
        found[part] = pictures.rgb(images, f"{key} of {path}", bool(counts))
    return found, notes


def _groups(
    path: Path, arrays: np.lib.npyio.NpzFile, groups: str, lengths: dict[str, int]
) -> dict[str, np.ndarray]:
    keys = {part: f"{groups}_{part}" for part in lengths}
    named = {part: _array(path, arrays, key) for part, key in keys.items() if key in arrays.files}
    with grouping.key_named(groups):
        return grouping.of_arrays(groups, named, lengths)


def _array(path: Path, arrays: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    named = next(name for name in (f"{key}.npy", key) if name in arrays.zip.namelist())
    with archives.reading(path):
        return archives.array(arrays.zip, named, f"{key} of {path}")
