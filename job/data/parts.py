"""The parts of an experiment's data: training and test, what belongs together, the splits."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from job.data import splits
from job.data.dataset import Part, Source, groups_of
from job.errors import Invalid
from job.experiment.experiment import Experiment
from job.experiment.sections import SHIPPED
from job.randomness import derive


@dataclass(frozen=True)
class Related:
    """Which images of the two parts belong together."""

    # int64 [n], equal for images that stay together in every split of the training part.
    train: np.ndarray
    # The same of the test part, in the same numbers; None unless groups are named.
    test: np.ndarray | None
    copies: np.ndarray  # bool: the test image is in the training part too
    repeated: int  # images of the training part that are copies of another there
    equal: np.ndarray  # int64 of the training part, equal for identical pixels


@dataclass(frozen=True)
class Splits:
    """The splits of a training part."""

    # bool [repeats, n]: whether a repeat of a trial leaves a row out; at most one of them does.
    validation: np.ndarray
    folds: np.ndarray  # int64 [n], the fold that a row is left out in

    @classmethod
    def read(cls, file: Path | BinaryIO) -> Self:
        """Return the splits of .npz bytes."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls(np.atleast_2d(arrays["validation"]), arrays["folds"])

    @property
    def content(self) -> bytes:
        """The splits as .npz bytes; those of one repeat are the bytes of the first versions."""
        buffer = io.BytesIO()
        validation = self.validation if len(self.validation) > 1 else self.validation[0]
        np.savez_compressed(buffer, validation=validation, folds=self.folds)
        return buffer.getvalue()


def cut(source: Source, experiment: Experiment) -> tuple[Part, Part]:
    """Return the training and the test part of an experiment.

    A test part is held out if the source ships none, and both parts are reduced on request.
    Equal images, and groups, stay on one side of a part that is held out.

    Raises:
        errors.Invalid: a part would be empty, or there are too few images or groups.
    """
    data = experiment.data
    seed = experiment.seed
    if source.test is None:
        train, test = _hold_out(source, experiment)
    elif data.test:
        train = source.train
        test_seed = derive(seed, "test")
        test = _reduce(source.test, data.test, test_seed, "data.test", source.classes)
    else:
        train = source.train
        test = source.test
    if data.train:
        train_seed = derive(seed, "train")
        train = _reduce(train, data.train, train_seed, "data.train", source.classes)
    for name, part in (("training", train), ("test", test)):
        if len(part.labels) == 0:
            raise Invalid(f"the {name} part has no images")
    return train, test


def _hold_out(source: Source, experiment: Experiment) -> tuple[Part, Part]:
    """Return what remains of the training part, and the test part that is held out of it."""
    data = experiment.data
    whole = source.train
    if data.test:
        n = data.test
        what = f"data.test = {n}"
    else:
        n = round(data.holdout * len(whole.labels))
        what = f"data.holdout = {data.holdout}"
    together = splits.image_groups(whole.images)
    if whole.groups is not None:
        together = splits.join_groups(together, whole.groups)
    rows = np.arange(len(whole.labels))
    if data.validation == SHIPPED and whole.validation is not None:
        # The shipped validation part stays whole, and apart from the test part.
        rows = np.flatnonzero(~np.isin(together, together[whole.validation]))
    seed = derive(experiment.seed, "holdout")
    is_named = whole.groups is not None
    taken = splits.take(whole.labels[rows], together[rows], n, seed, what, source.classes, is_named)
    chosen = rows[taken]
    rest = np.setdiff1d(np.arange(len(whole.labels)), chosen)
    test = whole.select(chosen)
    return whole.select(rest), test


def _reduce(part: Part, n: int, seed: int, key: str, classes: Sequence[str]) -> Part:
    alone = np.arange(len(part.labels))
    return part.select(splits.take(part.labels, alone, n, seed, f"{key} = {n}", classes))


def relate(train: Part, test: Part) -> Related:
    """Return which images belong together.

    A copy of a training image in the test part joins no groups: it is counted instead.
    """
    n = len(train.labels)
    equal = splits.image_groups(train.images, test.images)
    equal_train = equal[:n]
    equal_test = equal[n:]
    copies = np.isin(equal_test, equal_train)
    repeated = n - len(np.unique(equal_train))
    groups = groups_of(train, test)
    if groups is None:
        return Related(equal_train, None, copies, repeated, equal_train)
    apart = np.concatenate([equal_train, equal_test + equal.max() + 1])
    together = splits.join_groups(apart, np.concatenate(groups))
    return Related(together[:n], together[n:], copies, repeated, equal_train)


def make_splits(
    experiment: Experiment,
    classes: Sequence[str],
    train: Part,
    together: np.ndarray,
    test: np.ndarray | None = None,
) -> Splits:
    """Return the splits of the training part of an experiment.

    Args:
        experiment: its seed, `data` and `folds` decide.
        classes: the names of the labels, for errors.
        train: the training part.
        together: int64 [n] of it, equal for images that stay together.
        test: labels of the test part, for errors.

    Raises:
        errors.Invalid: a class is too small; no validation part is shipped, or it shares a group
            with the other training images.
    """
    labels = train.labels
    named = train.groups is not None
    if experiment.data.validation == SHIPPED:
        validation = _shipped(train)[None]
    else:
        validation = _validation(experiment, classes, labels, together, named, test)
    count = experiment.folds.count
    seed = derive(experiment.seed, "folds")
    folds = splits.folds(labels, together, count, seed, classes, named, test)
    return Splits(validation, folds)


def _shipped(train: Part) -> np.ndarray:
    """Return which rows were shipped as a validation part, bool [n]. Raises: Invalid."""
    key = f'data.validation = "{SHIPPED}"'
    if train.validation is None or not train.validation.any():
        raise Invalid(
            f"{key}: the source ships no validation part (as val/ or x_val beside the training"
            " part): give a fraction, such as 0.2"
        )
    if train.validation.all():
        raise Invalid(f"{key}: no training image is left beside it; raise data.train")
    if train.groups is not None:
        shared = np.intersect1d(train.groups[train.validation], train.groups[~train.validation])
        if len(shared):
            raise Invalid(
                f"{key}: {len(shared)} groups of data.groups are in both the validation part and"
                " the other training images: move the images of a group to one part, or give a"
                " fraction, such as 0.2"
            )
    return train.validation


def _validation(
    experiment: Experiment,
    classes: Sequence[str],
    labels: np.ndarray,
    groups: np.ndarray,
    named: bool,
    test: np.ndarray | None,
) -> np.ndarray:
    """Return the validation parts, one after the other taken from what the earlier ones left."""
    fraction = experiment.data.validation
    if isinstance(fraction, str):
        raise TypeError(f"a fraction is needed, not {fraction!r}")
    repeats = experiment.repeats
    parts = np.zeros((repeats, len(labels)), bool)
    for repeat in range(repeats):
        rest = np.flatnonzero(~parts.any(axis=0))
        # Whole groups have made the earlier parts larger or smaller than asked for.
        taken = len(labels) - len(rest)
        n = max(round(fraction * (repeat + 1) * len(labels)) - taken, 1)
        what = f"data.validation = {fraction}"
        seed = derive(experiment.seed, "validation")
        if repeat:
            what += f", part {repeat + 1} of search.repeats = {repeats}"
            seed = derive(experiment.seed, "validation", repeat)
        chosen = splits.take(labels[rest], groups[rest], n, seed, what, classes, named, test)
        parts[repeat, rest[chosen]] = True
    return parts
