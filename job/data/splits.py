"""Stratified splits that keep equal images, and the groups a user named, on one side."""

import math
from collections.abc import Sequence

import numpy as np

from job.data import whole_groups
from job.data.images import Images
from job.data.strata import Context, check_enough
from job.errors import Invalid


def image_groups(*parts: Images) -> np.ndarray:
    """Return one number per image, equal for identical pixels.

    Returns:
        int64 [sum of n], the parts one after the other.
    """
    digests = np.concatenate([images.digests for images in parts])
    return np.unique(digests, return_inverse=True)[1].astype(np.int64)


def join_groups(images: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return one number per row, equal for rows that any chain of images and groups connects.

    Args:
        images: int64 [n], equal for identical images.
        named: int64 [n], equal for images of a named group.

    Returns:
        int64 [n].
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Each row is an edge from the node of its image to the node of its group.
    first_group = int(images.max()) + 1
    n_nodes = first_group + int(named.max()) + 1
    edges = (np.ones(len(images), np.int8), (images, first_group + named))
    graph = coo_array(edges, shape=(n_nodes, n_nodes))
    components = connected_components(graph, directed=False)[1][images]
    return np.unique(components, return_inverse=True)[1].astype(np.int64)


def take(
    labels: np.ndarray,
    groups: np.ndarray,
    n: int,
    seed: int,
    what: str,
    classes: Sequence[str] | None = None,
    named: bool = False,
    test: np.ndarray | None = None,
) -> np.ndarray:
    """Return about n rows, stratified, whole groups only.

    The number is exact if no image is a duplicate and no groups are named.

    Args:
        labels: int64 [rows].
        groups: int64 [rows], equal for rows that stay together.
        n: how many rows to take.
        seed: of the draw.
        what: the key that asks for it, for errors.
        classes: the names of the labels, for errors.
        named: the groups are a user's: of any size, of several classes.
        test: labels of the test part, which is not among these rows, for errors.

    Returns:
        Indices of rows, sorted.

    Raises:
        errors.Invalid: there are too few rows, or too few of a class.
    """
    if n > len(labels):
        raise Invalid(f"{what}: {n} images asked for, there are {len(labels)}")
    if n == len(labels):
        return np.arange(len(labels))
    context = Context(what, classes, test)
    if named:
        return whole_groups.take(labels, groups, n, seed, context)
    return _take_stratified(labels, groups, n, seed, context)


def _take_stratified(
    labels: np.ndarray, groups: np.ndarray, n: int, seed: int, context: Context
) -> np.ndarray:
    from sklearn.model_selection import StratifiedShuffleSplit

    first, strata = _strata(labels, groups)
    size = min(max(round(n * len(first) / len(labels)), 1), len(first) - 1)
    rest = len(first) - size
    check_enough(strata, 2, context, labels)
    k = len(np.unique(strata))
    if min(size, rest) < k:
        raise _too_few(n, labels, k, len(first), context)
    split = StratifiedShuffleSplit(1, train_size=size, test_size=rest, random_state=seed)
    chosen, _ = next(split.split(first, strata))
    is_taken = np.zeros(int(groups.max()) + 1, bool)
    is_taken[groups[first[chosen]]] = True
    return np.flatnonzero(is_taken[groups])


def _too_few(n: int, labels: np.ndarray, k: int, n_groups: int, context: Context) -> Invalid:
    least = math.ceil(100 * k / n_groups) / 100
    advice = f"a fraction of {least:g} to {1 - least:g}"
    if least > 0.5:
        advice = "there are too few images"
    return Invalid(
        f"{context.what}: {n} of {len(labels)} images cannot hold each of {k} classes on both "
        f"sides; ask for at least {k}, and leave as many: {advice}"
    )


def folds(
    labels: np.ndarray,
    groups: np.ndarray,
    count: int,
    seed: int,
    classes: Sequence[str] | None = None,
    named: bool = False,
    test: np.ndarray | None = None,
) -> np.ndarray:
    """Return the fold that each row is left out in; stratified, whole groups only.

    Args:
        labels: int64 [rows].
        groups: int64 [rows], equal for rows that stay together.
        count: how many folds.
        seed: of the draw.
        classes: the names of the labels, for errors.
        named: the groups are a user's: of any size, of several classes.
        test: labels of the test part, which is not among these rows, for errors.

    Returns:
        int64 [rows], 0..count-1.

    Raises:
        errors.Invalid: a class has fewer distinct images, or named groups, than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    context = Context(f"folds.count = {count}", classes, test)
    if named:
        return whole_groups.fold(labels, groups, count, seed, context)
    first, strata = _strata(labels, groups)
    check_enough(strata, count, context, labels)
    split = StratifiedKFold(count, shuffle=True, random_state=seed).split(first, strata)
    fold_of_group = np.empty(int(groups.max()) + 1, np.int64)
    for fold, (_, left_out) in enumerate(split):
        fold_of_group[groups[first[left_out]]] = fold
    return fold_of_group[groups]


def _strata(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's first row and its label: a whole group is split by its first label."""
    first = np.unique(groups, return_index=True)[1]
    return first, labels[first]
