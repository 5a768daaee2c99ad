"""Describe the data as `prepare` would understand it: `job prepare --describe` leaves nothing."""

import math
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from statistics import NormalDist

import numpy as np

from job.data import parts, sources
from job.data.dataset import Part, Source, groups_of
from job.data.workspace import workspace
from job.experiment.experiment import Experiment
from job.text import printable

SHOWN_CLASSES = 20
SHOWN_SIZES = 5
CHANCE = 0.02  # a note is due if chance alone gives the best trial a larger lead in accuracy
UNBALANCED = 3  # a note is due above this ratio of the largest to the smallest class


def describe(experiment: Experiment, location: str | None, cache_dir: Path) -> dict:
    """Return counts, sizes, splits and duplicates as `prepare` would make them, for `--json`.

    Args:
        experiment: whose data to read.
        location: where the data is instead of `data.source`, a path or URL.
        cache_dir: where downloads are kept, and decoded pixels meanwhile.

    Raises:
        errors.Invalid: as `sources.read`, `parts.cut` and `parts.make_splits`.
        errors.Unreachable: a download failed, or the disk is full.
    """
    with workspace(cache_dir) as work:
        source = sources.read_for(experiment.data, location, work)
        train, test = parts.cut(source, experiment)
        related = parts.relate(train, test)
    made = parts.make_splits(experiment, source.classes, train, related.train, test.labels)
    train_counts = _counts(train, source)
    return {
        "experiment": experiment.name,
        "source": source.name,
        "classes": [
            {"class": name, "train": of_train, "test": of_test}
            for name, of_train, of_test in zip(
                source.classes, train_counts, _counts(test, source), strict=True
            )
        ],
        "found": {
            "train": len(source.train.labels),
            "test": len(source.test.labels) if source.test else None,
        },
        "train": len(train.labels),
        "validation": int(made.validation.sum()),
        "folds": np.bincount(made.folds, minlength=experiment.folds.count).tolist(),
        "test": len(test.labels),
        "sizes": [
            {"width": width, "height": height, "images": n}
            for (width, height), n in sorted(source.sizes.items(), key=_most_frequent_first)
        ],
        "image_shape": list(train.images.shape[1:]),
        "duplicates": {"train": related.repeated, "train_test": int(related.copies.sum())},
        "conflicts": _conflicts(related.equal, train.labels),
        "groups": _groups(train, test),
        "damaged": list(source.damaged),
        "bytes": train.images.nbytes + test.images.nbytes,
        "notes": [
            *experiment.notes,
            *source.notes,
            *unbalanced(train_counts, experiment),
            *uncertain(int(made.validation.sum()), experiment),
        ],
    }


def _counts(part: Part, source: Source) -> list[int]:
    return np.bincount(part.labels, minlength=len(source.classes)).tolist()


def _most_frequent_first(item: tuple[tuple[int, int], int]) -> tuple[int, tuple[int, int]]:
    size, n = item
    return -n, size


def _conflicts(groups: np.ndarray, labels: np.ndarray) -> int:
    """Return how many training images appear under more than one class.

    Args:
        groups: int64 [n], equal for identical pixels.
        labels: int64 [n].
    """
    group_of_pair = np.unique(np.stack([groups, labels]), axis=1)[0]
    present, n_classes = np.unique(group_of_pair, return_counts=True)
    return int(np.isin(groups, present[n_classes > 1]).sum())


def _groups(train: Part, test: Part) -> dict | None:
    """Return how many groups each part has, and how many images the largest group has."""
    groups = groups_of(train, test)
    if groups is None:
        return None
    train_sizes, test_sizes = (np.unique(of, return_counts=True)[1] for of in groups)
    return {
        "train": len(train_sizes),
        "test": len(test_sizes),
        "largest": int(np.concatenate([train_sizes, test_sizes]).max()),
    }


def unbalanced(counts: Sequence[int], experiment: Experiment) -> list[str]:
    """Return a note if accuracy is the metric and some classes are much larger than others.

    Args:
        counts: training images per class.
        experiment: whose metric decides.
    """
    low = min(counts)
    high = max(counts)
    if experiment.search.metric != "accuracy" or high <= UNBALANCED * low:
        return []
    return [
        f"classes have {low:,} to {high:,} training images, "
        'and search.metric = "accuracy" counts the large ones most: '
        '"balanced_accuracy" counts each class the same, '
        'and class_weights = "balanced" gives each the same weight in training'
    ]


def uncertain(validation: int, experiment: Experiment) -> list[str]:
    """Return a note if the validation part is too small to tell the trials apart.

    The standard error of an accuracy is largest where that is 1/2. The lead that the best of equal
    trials has by chance is the expected largest of as many normal numbers.
    Source: Blom 1958, "Statistical Estimates and Transformed Beta-Variables".

    Args:
        validation: images that trials are scored on.
        experiment: whose trials are compared.
    """
    trials = experiment.search.trials
    error = 0.5 / math.sqrt(validation)
    lead = error * NormalDist().inv_cdf((trials - 0.375) / (trials + 0.25)) if trials > 1 else 0.0
    if lead <= CHANCE:
        return []
    most = experiment.most_repeats
    more = "only more images, or fewer trials, can change that"
    if experiment.repeats < most:
        more = (
            "with a larger data.validation, or search.repeats up to"
            f" {most}, the search can tell more trials apart"
        )
    return [
        f"{validation:,} validation images: the standard error of an accuracy is up to"
        f" {100 * error:.1f} points, and the best of {trials} equal trials leads by up to"
        f" {100 * lead:.1f} points by chance; {more}"
    ]


def lines(found: dict) -> list[str]:
    """Return a description for a person. Args: found: what `describe` returned."""
    test = "shipped" if found["found"]["test"] is not None else "held out, as none is shipped"
    height, width = found["image_shape"][:2]
    duplicates = found["duplicates"]
    described = [
        f"{found['experiment']}: {found['source']}",
        f"found        {found['found']['train']:,} training and {found['found']['test'] or 0:,} "
        f"test images of {len(found['classes']):,} classes",
        f"training     {found['train']:,} images, {found['validation']:,} of them to compare "
        f"trials on; {_folds(found['folds'])}",
        f"test         {found['test']:,} images, {test}",
        f"sizes        {_sizes(found['sizes'])}; staged as {width} x {height} (width x height)",
        f"duplicates   {duplicates['train']:,} within the training part; "
        f"{duplicates['train_test']:,} test images are in it too",
    ]
    if groups := found["groups"]:
        described.append(
            f"groups       {groups['train']:,} in the training part, {groups['test']:,} in the "
            f"test part, none in both; the largest has {groups['largest']:,} images"
        )
    described.append(
        f"staged       {found['bytes'] / 1e6:,.1f} MB of pixels; "
        "prepare needs twice that on the cache's disk"
    )
    described += _classes(found["classes"])
    if found["conflicts"]:
        described.append(
            f"note: {found['conflicts']:,} training images appear under more than one class"
        )
    return described + [f"note: {note}" for note in found["notes"]]


def _folds(sizes: list[int]) -> str:
    low = min(sizes)
    high = max(sizes)
    up_to = f" to {high:,}" if high > low else ""
    return f"{len(sizes)} folds of {low:,}{up_to}"


def _sizes(sizes: list[dict]) -> str:
    shown = ", ".join(
        f"{size['width']} x {size['height']} ({size['images']:,})" for size in sizes[:SHOWN_SIZES]
    )
    others = len(sizes) - SHOWN_SIZES
    return f"{shown} and {others:,} more" if others > 0 else shown


def _classes(classes: list[dict]) -> list[str]:
    """Return a line per class; of many, those with the fewest and the most training images."""
    shown = classes
    others = len(classes) - SHOWN_CLASSES
    if others > 0:
        by_size = sorted(classes, key=itemgetter("train"))
        half = SHOWN_CLASSES // 2
        shown = [*by_size[:half], *by_size[-half:]]
    width = max(len("class"), *(len(printable(row["class"])) for row in shown))
    table = [f"{'class':{width}} {'training':>10} {'test':>10}"]
    for row in shown:
        name = printable(row["class"])
        table.append(f"{name:{width}} {row['train']:>10,} {row['test']:>10,}")
    if others > 0:
        table.append(f"... and {others:,} classes between these")
    return table
