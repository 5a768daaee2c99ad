"""Labels in arrays, of any form that can mean but one thing: numbers from 0 or from 1, one-hot rows, names."""

import numpy as np

from job import errors
from job.data import names

FORMS = "expected integers [n] or [n, 1], names, or one-hot [n, k]"


def read(
    given: dict[str, tuple[str, np.ndarray]], classes: np.ndarray | None, what: str
) -> tuple[tuple[str, ...], dict[str, np.ndarray], list[str]]:
    """Return class names, the labels of each part (int64 [n], 0..k-1) and notes.

    Args:
        given: part ("train", perhaps "test") -> what its labels are called in errors, and they.
        classes: their names in order, if given. what: names that array in errors.

    Raises: Invalid.
    """
    named = None if classes is None else _names(classes, what)
    found = {part: _plain(labels, called) for part, (called, labels) in given.items()}
    if any(labels.dtype.kind == "U" for labels in found.values()):
        return _of_names(given, found, named)
    first = 1 if given["train"][1].shape[1:] in ((), (1,)) and _from_one(found, named) else 0
    k = len(named) if named else len(np.unique(found["train"]))
    for part, labels in found.items():
        if first and (labels.min() < 1 or labels.max() > k):
            raise errors.Invalid(
                f"{given[part][0]} has labels {labels.min()}..{labels.max()}, and those of training are 1..{k}: use the same"
            )
    notes = [f"labels are 1..{k}: they are taken for classes counted from 1"] if first else []
    numbers = {part: labels - first for part, labels in found.items()}
    return named or _counted(given["train"][0], numbers["train"], first), numbers, notes


def _plain(labels: np.ndarray, what: str) -> np.ndarray:
    """Return int64 [n] or text [n] of labels in any form. Raises: Invalid."""
    if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
        if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise errors.Invalid(
                f"{what} {labels.shape} is not one-hot: expected one 1 in each row and zeros else"
            )
        return labels.argmax(axis=1).astype(np.int64)
    if (
        labels.ndim not in (1, 2)
        or labels.shape[1:] not in ((), (1,))
        or labels.dtype.kind not in "iufUS"
    ):
        raise errors.Invalid(f"{what} is {labels.dtype} {labels.shape}: {FORMS}")
    labels = labels.reshape(-1)
    if labels.dtype.kind in "US":
        return np.array(_texts(labels, what), str)
    if labels.dtype.kind == "f" and not (
        np.isfinite(labels).all() and (labels == np.rint(labels)).all()
    ):
        raise errors.Invalid(f"{what} is {labels.dtype} and not of whole numbers: {FORMS}")
    return labels.astype(np.int64)


def _texts(array: np.ndarray, what: str) -> list[str]:
    """Return text or UTF-8 bytes as names that look the same only when they are. Raises: Invalid."""
    try:
        found = [value.decode() if isinstance(value, bytes) else value for value in array.tolist()]
    except UnicodeDecodeError as exc:
        raise errors.Invalid(
            f"{what} is {array.dtype} and not UTF-8 ({exc.reason}): save it as an array of str"
        ) from exc
    for name in set(found):
        names.checked(name, what)
    return found


def _names(classes: np.ndarray, what: str) -> tuple[str, ...]:
    """Return the names given. Raises: Invalid unless they differ, by more than how accents are written."""
    found = _texts(classes, what) if classes.ndim == 1 and classes.dtype.kind in "US" else [""]
    if "" in found or len(set(map(names.same, found))) != len(found):
        raise errors.Invalid(
            f"{what} is {classes.dtype} {classes.shape}: expected different names, none of them empty, an array [k] of str"
        )
    return tuple(found)


def _of_names(
    given: dict[str, tuple[str, np.ndarray]],
    found: dict[str, np.ndarray],
    named: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], dict[str, np.ndarray], list[str]]:
    """Return the same of labels that are names: the classes are those given, else those of training, sorted."""
    for part, labels in found.items():
        if labels.dtype.kind != "U":
            raise errors.Invalid(
                f"{given[part][0]} is {labels.dtype}, and labels of another part are names: use one form for both"
            )
    spelt = {part: [names.same(name) for name in labels.tolist()] for part, labels in found.items()}
    classes = named or _names(np.array(sorted(set(spelt["train"]))), given["train"][0])
    number = {names.same(name): i for i, name in enumerate(classes)}
    for part, labels in spelt.items():
        if unknown := set(labels).difference(number):
            raise errors.Invalid(
                f"{given[part][0]} has {names.some(unknown)}, no class: expected {names.some(classes)}"
            )
    return (
        classes,
        {
            part: np.array([number[name] for name in labels], np.int64)
            for part, labels in spelt.items()
        },
        [],
    )


def _from_one(found: dict[str, np.ndarray], named: tuple[str, ...] | None) -> bool:
    """Tell whether labels are counted from 1: the last of the names is used and no 0, or without names they are exactly 1..k."""
    train = found["train"]
    if not len(train):
        return False
    if named:
        return min(
            labels.min() for labels in found.values() if len(labels)
        ) == 1 and train.max() == len(named)
    present = np.unique(train)
    return np.array_equal(present, np.arange(1, len(present) + 1))


def _counted(what: str, labels: np.ndarray, first: int) -> tuple[str, ...]:
    """Return the labels themselves as names. Raises: Invalid unless they are 0..k-1 without a gap."""
    present = np.unique(labels)
    if not np.array_equal(present, np.arange(len(present))):
        seen = f"{len(present)} different labels, {present[0]}..{present[-1]}"
        raise errors.Invalid(f"{what} has {seen}: expected 0..k-1, or 1..k, without a gap")
    return tuple(str(label + first) for label in present)
