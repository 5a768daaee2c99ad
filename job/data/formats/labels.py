"""Labels in arrays, in any unambiguous form: numbers from 0 or from 1, one-hot rows, names."""

from dataclasses import dataclass

import numpy as np

from job import errors
from job.data import names

FORMS = "expected integers [n] or [n, 1], names, or one-hot [n, k]"


@dataclass(frozen=True)
class Labels:
    """The labels of a data set, as numbers."""

    classes: tuple[str, ...]
    numbers: dict[str, np.ndarray]  # part ("train", perhaps "test") -> int64 [n], 0..k-1
    notes: list[str]  # for the user


def read(given: dict[str, tuple[str, np.ndarray]], classes: np.ndarray | None, what: str) -> Labels:
    """Return the classes and the labels of each part.

    Args:
        given: part ("train", perhaps "test") -> what errors call its labels, and the labels.
        classes: the names of the classes in order, if given.
        what: what errors call the array of these names.

    Raises:
        errors.Invalid: labels of no known form, or not of these classes.
    """
    listed = None if classes is None else _class_names(classes, what)
    values = {part: _flatten(labels, called) for part, (called, labels) in given.items()}
    called = {part: name for part, (name, _) in given.items()}
    if any(labels.dtype.kind == "U" for labels in values.values()):
        return _from_names(called, values, listed)
    one_hot = given["train"][1].shape[1:] not in ((), (1,))
    first = 1 if not one_hot and _start_at_one(values, listed) else 0
    k = len(listed) if listed else len(np.unique(values["train"]))
    notes = []
    if first:
        _check_up_to(called, values, k)
        notes.append(f"labels are 1..{k}: they are read as classes counted from 1")
    numbers = {part: labels - first for part, labels in values.items()}
    return Labels(listed or _count_up(called["train"], numbers["train"], first), numbers, notes)


def _check_up_to(called: dict[str, str], values: dict[str, np.ndarray], k: int) -> None:
    for part, labels in values.items():
        low = labels.min()
        high = labels.max()
        if low < 1 or high > k:
            raise errors.Invalid(
                f"{called[part]} has labels {low}..{high}, and the training labels are 1..{k}: "
                "use the same labels in both parts"
            )


def _flatten(labels: np.ndarray, what: str) -> np.ndarray:
    """Return int64 [n] or text [n] of labels in any form. Raises: Invalid."""
    kind = labels.dtype.kind
    if labels.ndim == 2 and labels.shape[1] > 1 and kind in "biuf":
        return _from_one_hot(labels, what)
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)) or kind not in "iufUS":
        raise errors.Invalid(f"{what} is {labels.dtype} {labels.shape}: {FORMS}")
    labels = labels.reshape(-1)
    if kind in "US":
        return np.array(_texts(labels, what), str)
    if kind == "f" and not (np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
        raise errors.Invalid(f"{what} is {labels.dtype} with values that are not whole: {FORMS}")
    return labels.astype(np.int64)


def _from_one_hot(rows: np.ndarray, what: str) -> np.ndarray:
    zeros_and_ones = ((rows == 0) | (rows == 1)).all()
    if not (zeros_and_ones and (rows.sum(axis=1) == 1).all()):
        raise errors.Invalid(
            f"{what} {rows.shape} is not one-hot: expected a single 1 in each row, and zeros"
        )
    return rows.argmax(axis=1).astype(np.int64)


def _texts(array: np.ndarray, what: str) -> list[str]:
    """Return text, or UTF-8 bytes, as names. Raises: Invalid."""
    try:
        texts = [value.decode() if isinstance(value, bytes) else value for value in array.tolist()]
    except UnicodeDecodeError as exc:
        raise errors.Invalid(
            f"{what} is {array.dtype} and not UTF-8 ({exc.reason}): save it as an array of str"
        ) from exc
    for name in set(texts):
        names.check_text(name, what)
    return texts


def _class_names(classes: np.ndarray, what: str) -> tuple[str, ...]:
    """Return the names of the classes. Raises: Invalid for two that look the same."""
    is_list = classes.ndim == 1 and classes.dtype.kind in "US"
    listed = _texts(classes, what) if is_list else [""]
    if "" in listed or len({names.normalize(name) for name in listed}) != len(listed):
        raise errors.Invalid(
            f"{what} is {classes.dtype} {classes.shape}: "
            "expected different names, none of them empty, in an array [k] of str"
        )
    return tuple(listed)


def _from_names(
    called: dict[str, str], values: dict[str, np.ndarray], listed: tuple[str, ...] | None
) -> Labels:
    """Return named labels as numbers: in the order listed, else sorted. Raises: Invalid."""
    for part, labels in values.items():
        if labels.dtype.kind != "U":
            raise errors.Invalid(
                f"{called[part]} is {labels.dtype}, and the labels of another part are names: "
                "use one form for both"
            )
    spelled = {
        part: [names.normalize(name) for name in labels.tolist()] for part, labels in values.items()
    }
    classes = listed or _class_names(np.array(sorted(set(spelled["train"]))), called["train"])
    number = {names.normalize(name): i for i, name in enumerate(classes)}
    for part, labels in spelled.items():
        if unknown := set(labels).difference(number):
            raise errors.Invalid(
                f"{called[part]} has unknown classes ({names.list_some(unknown)}): "
                f"expected {names.list_some(classes)}"
            )
    numbers = {
        part: np.array([number[name] for name in labels], np.int64)
        for part, labels in spelled.items()
    }
    return Labels(classes, numbers, [])


def _start_at_one(values: dict[str, np.ndarray], listed: tuple[str, ...] | None) -> bool:
    """Tell whether labels count from 1.

    With names, the last one is used and no 0; without names, the labels are exactly 1..k.
    """
    train = values["train"]
    if not len(train):
        return False
    if listed:
        lowest = min(labels.min() for labels in values.values() if len(labels))
        return lowest == 1 and train.max() == len(listed)
    present = np.unique(train)
    return np.array_equal(present, np.arange(1, len(present) + 1))


def _count_up(what: str, labels: np.ndarray, first: int) -> tuple[str, ...]:
    """Return the labels themselves as names. Raises: Invalid unless they are 0..k-1, no gap."""
    present = np.unique(labels)
    if not np.array_equal(present, np.arange(len(present))):
        labeled = f"{len(present)} different labels, {present[0]}..{present[-1]}"
        raise errors.Invalid(f"{what} has {labeled}: expected 0..k-1, or 1..k, without a gap")
    return tuple(str(label + first) for label in present)
