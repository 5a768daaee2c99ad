"""Who is compared with whom: stratified splits that keep equal images on one side."""

import hashlib

import numpy as np

from job.errors import Invalid


def image_groups(images: np.ndarray) -> np.ndarray:
    """Return one number per image, equal for identical pixels. Args: images: uint8 [n, h, w, c]."""
    digests = [hashlib.blake2b(np.ascontiguousarray(i).data, digest_size=16).digest() for i in images]
    return np.unique(np.array(digests, dtype="S16"), return_inverse=True)[1].astype(np.int64)


def take(labels: np.ndarray, groups: np.ndarray, n: int, seed: int, what: str) -> np.ndarray:
    """Return about n rows, stratified, whole groups only, sorted.

    The number is exact when no image stands twice. Raises: Invalid when the rows or a class do not suffice.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    if n > len(labels):
        raise Invalid(f"{what}: {n} images asked for, there are {len(labels)}")
    if n == len(labels):
        return np.arange(len(labels))
    first, strata = _strata(labels, groups)
    size = min(max(round(n * len(first) / len(labels)), 1), len(first) - 1)
    _enough(strata, 2, what)
    classes = len(np.unique(strata))
    if min(size, len(first) - size) < classes:
        raise Invalid(
            f"{what}: {n} of {len(labels)} images cannot hold each of {classes} classes on both sides; ask for at least {classes}, and leave as many"
        )
    chosen, _ = next(StratifiedShuffleSplit(1, train_size=size, test_size=len(first) - size, random_state=seed).split(first, strata))
    mask = np.zeros(int(groups.max()) + 1, bool)
    mask[groups[first[chosen]]] = True
    return np.flatnonzero(mask[groups])


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the fold each row is left out in, int64 [n], 0..count-1; stratified, whole groups only.

    Raises: Invalid when a class has fewer distinct images than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    first, strata = _strata(labels, groups)
    _enough(strata, count, f"folds.count = {count}")
    of_group = np.empty(int(groups.max()) + 1, np.int64)
    for fold, (_, left_out) in enumerate(StratifiedKFold(count, shuffle=True, random_state=seed).split(first, strata)):
        of_group[groups[first[left_out]]] = fold
    return of_group[groups]


def _strata(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's first row and that row's label: a group is split whole, by its first label."""
    first = np.unique(groups, return_index=True)[1]
    return first, labels[first]


def _enough(strata: np.ndarray, needed: int, what: str) -> None:
    classes, counts = np.unique(strata, return_counts=True)
    if counts.min() < needed:
        raise Invalid(
            f"{what}: class {classes[counts.argmin()]} has {counts.min()} distinct images, too few to stratify; it needs at least {needed}: add images or leave the class out"
        )
