"""Who is compared with whom: stratified splits that keep equal images, and groups a user named, on one side."""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from job.errors import Invalid

FINEST = 20  # heaps that whole groups are dealt into, for a split to take some
ABOUT = 3  # digits of the mean squared error of a part's shares: 0.001 is 3 points
TRIES = 10  # ways to deal into folds before it is said to be impossible


def image_groups(*parts: np.ndarray) -> np.ndarray:
    """Return one number per image, equal for identical pixels. Args: parts: uint8 [n, h, w, c], one after the other."""
    digests = [
        hashlib.blake2b(np.ascontiguousarray(i).data, digest_size=16).digest()
        for images in parts
        for i in images
    ]
    return np.unique(np.array(digests, dtype="S16"), return_inverse=True)[1].astype(np.int64)


def joined(images: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Return one number per row, equal for rows that identical images or named groups connect, however long the chain: int64 [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = (
        int(images.max()) + 1
    )  # each row connects the node of its image with the node of its group
    nodes = first + int(named.max()) + 1
    graph = coo_array(
        (np.ones(len(images), np.int8), (images, first + named)), shape=(nodes, nodes)
    )
    found = connected_components(graph, directed=False)[1][images]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


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
    """Return about n rows, stratified, whole groups only, sorted.

    The number is exact when no image stands twice and no groups are named.

    Args:
        what: the key that asks for it, for errors. classes: the names of the labels, for errors.
        named: groups are a user's: of any size, of several classes.
        test: labels of the test part, which is not among these rows, for errors.

    Raises: Invalid when the rows or a class do not suffice.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    if n > len(labels):
        raise Invalid(f"{what}: {n} images asked for, there are {len(labels)}")
    if n == len(labels):
        return np.arange(len(labels))
    if named:
        return _take_whole(labels, groups, n, seed, what, classes, test)
    first, strata = _strata(labels, groups)
    size = min(max(round(n * len(first) / len(labels)), 1), len(first) - 1)
    _enough(strata, 2, what, classes, labels, test)
    k = len(np.unique(strata))
    if min(size, len(first) - size) < k:
        least = math.ceil(100 * k / len(first)) / 100
        fractions = (
            f": a fraction of {least:g} to {1 - least:g}"
            if least <= 0.5
            else ": there are too few images"
        )
        raise Invalid(
            f"{what}: {n} of {len(labels)} images cannot hold each of {k} classes on both sides; ask for at least {k}, and leave as many{fractions}"
        )
    chosen, _ = next(
        StratifiedShuffleSplit(
            1, train_size=size, test_size=len(first) - size, random_state=seed
        ).split(first, strata)
    )
    mask = np.zeros(int(groups.max()) + 1, bool)
    mask[groups[first[chosen]]] = True
    return np.flatnonzero(mask[groups])


def folds(
    labels: np.ndarray,
    groups: np.ndarray,
    count: int,
    seed: int,
    classes: Sequence[str] | None = None,
    named: bool = False,
    test: np.ndarray | None = None,
) -> np.ndarray:
    """Return the fold each row is left out in, int64 [n], 0..count-1; stratified, whole groups only.

    Args: as `take`. Raises: Invalid when a class has fewer distinct images, or named groups, than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    what = f"folds.count = {count}"
    if named:
        return _folds_whole(labels, groups, count, seed, what, classes, test)
    first, strata = _strata(labels, groups)
    _enough(strata, count, what, classes, labels, test)
    of_group = np.empty(int(groups.max()) + 1, np.int64)
    for fold, (_, left_out) in enumerate(
        StratifiedKFold(count, shuffle=True, random_state=seed).split(first, strata)
    ):
        of_group[groups[first[left_out]]] = fold
    return of_group[groups]


def _strata(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's first row and that row's label: a group is split whole, by its first label."""
    first = np.unique(groups, return_index=True)[1]
    return first, labels[first]


def _enough(
    strata: np.ndarray,
    needed: int,
    what: str,
    names: Sequence[str] | None,
    labels: np.ndarray | None,
    test: np.ndarray | None,
) -> None:
    """Raise Invalid when a class has too few strata, saying where the images are that its owner may miss.

    Args: strata: the class of each distinct image, of each pair of class and named group if `labels` is None.
    """
    classes, counts = np.unique(strata, return_counts=True)
    if counts.min() >= needed:
        return
    fewest, least = classes[counts.argmin()], int(counts.min())
    kind = _many(least, "group" if labels is None else "distinct image")
    copies = 0 if labels is None else int((labels == fewest).sum()) - least
    held = 0 if test is None else int((test == fewest).sum())
    others = [_many(copies, "copy", "copies")] * bool(copies) + [
        f"{_many(held, 'image')} in the test part"
    ] * bool(held)
    besides = f", besides {' and '.join(others)}" if others else ""
    name = repr(names[fewest]) if names else fewest
    raise Invalid(
        f"{what}: class {name} has {kind}{besides}, too few to stratify; it needs at least {needed}: add images or leave the class out"
    )


def _many(n: int, one: str, several: str | None = None) -> str:
    return f"{n} {one if n == 1 else several or f'{one}s'}"


# --- named groups: of any size, of several classes ---


def _take_whole(labels, groups, n: int, seed: int, what: str, classes, test) -> np.ndarray:
    """Deal the groups into heaps and take some in a row that come near to n and to the mix of classes.

    Which of those that come about as near is drawn, so that a part held out is no choice of small groups.
    """
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    _enough(pairs[0], 2, what, classes, None, test)
    share, total = n / len(labels), np.bincount(labels)
    present = total > 0
    rng, found = np.random.default_rng(seed), []
    for heaps in (max(2, Fraction(share).limit_denominator(FINEST).denominator), FINEST):
        heap = _dealt(labels, groups, heaps, seed)
        counts = np.stack(
            [np.bincount(labels[heap == h], minlength=len(total)) for h in range(heaps)]
        )
        for start, some in np.ndindex(heaps, heaps):
            taken = np.arange(start, start + some) % heaps
            inside = counts[taken].sum(0)
            if ((inside > 0) & (inside < total))[present].all():
                off = (
                    np.append(inside[present] / total[present], inside.sum() / len(labels)) - share
                )
                found.append((round(float((off**2).mean()), ABOUT), rng.random(), heap, taken))
    if not found:
        raise Invalid(
            f"{what}: no part of {n} of {len(labels)} images and the rest both have each class with {len(np.unique(groups))} groups kept "
            "whole: the groups are too few or too large; name smaller ones, or leave out classes of few groups"
        )
    *_, heap, taken = min(found, key=lambda f: f[:2])
    return np.flatnonzero(np.isin(heap, taken))


def _folds_whole(labels, groups, count: int, seed: int, what: str, classes, test) -> np.ndarray:
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    _enough(pairs[0], count, what, classes, None, test)
    for attempt in range(TRIES):
        fold = _dealt(labels, groups, count, seed + attempt)
        if len(np.unique(np.stack([labels, fold]), axis=1)[0]) == count * len(np.unique(labels)):
            return fold
    raise Invalid(
        f"{what}: {len(np.unique(groups))} groups kept whole do not bring each class into each fold: ask for fewer folds"
    )


def _dealt(labels: np.ndarray, groups: np.ndarray, heaps: int, seed: int) -> np.ndarray:
    """Return the heap of each row, int64 [n], 0..heaps-1: of about equal size and mix of classes, whole groups only.

    The largest group first, ties at random, each goes where its classes (and images) are most lacking: the idea of
    scikit-learn's StratifiedGroupKFold, in time and memory that fit a group an image and a thousand classes.
    """
    total = np.bincount(labels).astype(float)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    shuffled = np.random.default_rng(seed).permutation(len(members))
    filled, size, heap = (
        np.zeros((heaps, len(total))),
        np.zeros(heaps),
        np.empty(len(labels), np.int64),
    )
    for g in sorted(shuffled, key=lambda g: -len(members[g])):
        present, counts = np.unique(labels[members[g]], return_counts=True)
        share, part = counts / total[present], len(members[g]) / len(labels)
        growth = (share * (2 * filled[:, present] + share)).sum(1) + part * (
            2 * size + part
        )  # of the sum of squares
        best = int(growth.argmin())
        filled[best, present] += share
        size[best] += part
        heap[members[g]] = best
    return heap
