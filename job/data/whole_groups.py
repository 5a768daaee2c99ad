"""Split rows by groups that a user named: whole, of any size, of several classes."""

from fractions import Fraction
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from job.data.strata import Context, check_enough
from job.errors import Invalid

FINEST = 20  # bins that whole groups are dealt into, for a split to take some of them
ABOUT = 3  # digits of the mean squared error of a part's shares: 0.001 is 3 points
TRIES = 10  # seeds that are tried before folds are refused as impossible


class _Candidate(NamedTuple):
    """A part that holds each class, as does the rest."""

    error: float  # mean squared error of its shares, rounded
    draw: float  # decides between candidates of equal error
    bin_of: np.ndarray  # the bin of each row
    taken: np.ndarray  # the bins that make the part


def take(labels: np.ndarray, groups: np.ndarray, n: int, seed: int, context: Context) -> np.ndarray:
    """Deal the groups into bins and take adjacent ones that come near to n and the class mix.

    Of those that come about as near, one is drawn, so that a held-out part does not favor small
    groups.

    Args:
        labels: int64 [rows].
        groups: int64 [rows].
        n: how many rows to take, about.
        seed: of the draw.
        context: of the split, for errors.

    Returns:
        Indices of rows, sorted.

    Raises:
        errors.Invalid: a class is in too few groups, or no part fits.
    """
    check_enough(_pair_classes(labels, groups), 2, context, None)
    share = n / len(labels)
    rng = np.random.default_rng(seed)
    candidates: list[_Candidate] = []
    for bins in (max(2, Fraction(share).limit_denominator(FINEST).denominator), FINEST):
        bin_of = _deal(labels, groups, bins, seed)
        candidates += _candidates(labels, bin_of, bins, share, rng)
    if not candidates:
        n_groups = len(np.unique(groups))
        raise Invalid(
            f"{context.what}: {n} of {len(labels)} images cannot be taken so that they and the "
            f"rest both have each class, as {n_groups} groups stay whole: the groups are too few "
            "or too large; name smaller ones, or leave out classes with few groups"
        )
    best = min(candidates, key=attrgetter("error", "draw"))
    return np.flatnonzero(np.isin(best.bin_of, best.taken))


def _candidates(
    labels: np.ndarray, bin_of: np.ndarray, bins: int, share: float, rng: np.random.Generator
) -> list[_Candidate]:
    total = np.bincount(labels)
    present = total > 0
    counts = np.stack([np.bincount(labels[bin_of == b], minlength=len(total)) for b in range(bins)])
    candidates = []
    for start, length in np.ndindex(bins, bins):
        taken = np.arange(start, start + length) % bins
        inside = counts[taken].sum(0)
        if ((inside > 0) & (inside < total))[present].all():
            shares = np.append(inside[present] / total[present], inside.sum() / len(labels))
            error = round(float(((shares - share) ** 2).mean()), ABOUT)
            candidates.append(_Candidate(error, rng.random(), bin_of, taken))
    return candidates


def fold(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int, context: Context
) -> np.ndarray:
    """Deal the groups into folds that each hold each class.

    Args:
        labels: int64 [rows].
        groups: int64 [rows].
        count: how many folds.
        seed: of the first try; later ones take the next numbers.
        context: of the split, for errors.

    Returns:
        The fold of each row, int64 [rows], 0..count-1.

    Raises:
        errors.Invalid: a class is in too few groups, or no try fits.
    """
    check_enough(_pair_classes(labels, groups), count, context, None)
    for attempt in range(TRIES):
        fold_of = _deal(labels, groups, count, seed + attempt)
        if len(_pair_classes(labels, fold_of)) == count * len(np.unique(labels)):
            return fold_of
    raise Invalid(
        f"{context.what}: {len(np.unique(groups))} groups that stay whole do not bring each class "
        "into each fold: ask for fewer folds"
    )


def _pair_classes(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the class of each different pair of class and group."""
    return np.unique(np.stack([labels, groups]), axis=1)[0]


def _deal(labels: np.ndarray, groups: np.ndarray, bins: int, seed: int) -> np.ndarray:
    """Deal whole groups into bins of about equal size and class mix.

    From the largest group on, ties at random, each goes where its classes (and images) are most
    lacking: the idea of scikit-learn's StratifiedGroupKFold, in time and memory that fit one
    group per image and a thousand classes.

    Returns:
        The bin of each row, int64 [n], 0..bins-1.
    """
    total = np.bincount(labels).astype(float)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    shuffled = np.random.default_rng(seed).permutation(len(members))
    filled = np.zeros((bins, len(total)))
    size = np.zeros(bins)
    bin_of = np.empty(len(labels), np.int64)
    for g in sorted(shuffled, key=lambda g: -len(members[g])):
        present, counts = np.unique(labels[members[g]], return_counts=True)
        share = counts / total[present]
        part = len(members[g]) / len(labels)
        # How much the sum of squares would grow in each bin.
        growth = (share * (2 * filled[:, present] + share)).sum(1) + part * (2 * size + part)
        best = int(growth.argmin())
        filled[best, present] += share
        size[best] += part
        bin_of[members[g]] = best
    return bin_of
