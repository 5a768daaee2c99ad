"""Splits: stratified, deterministic, equal images on one side."""

import io

import numpy as np
import pytest

from job.data import parts, splits
from job.data.dataset import Part, Source
from job.data.images import Images
from job.errors import Invalid
from job.experiment.experiment import Experiment
from job.experiment.specification import parse

LABELS = np.repeat(np.arange(4), 50)
ALONE = np.arange(200)


def test_a_slice_is_exact_and_stratified():
    """Without copies a slice has exactly n rows, equally many per class, every time."""
    rows = splits.take(LABELS, ALONE, 40, 1, "x")
    assert len(rows) == 40
    assert np.bincount(LABELS[rows]).tolist() == [10, 10, 10, 10]
    assert (rows == splits.take(LABELS, ALONE, 40, 1, "x")).all()
    assert (rows != splits.take(LABELS, ALONE, 40, 2, "x")).any()


def test_copies_stay_together():
    """Identical images fall on one side of a slice and into one fold."""
    groups = ALONE // 3
    inside = np.isin(ALONE, splits.take(LABELS, groups, 60, 1, "x"))
    folds = splits.folds(LABELS, groups, 5, 1)
    for group in np.unique(groups):
        assert len(set(inside[groups == group])) == 1
        assert len(set(folds[groups == group])) == 1


def test_folds_are_stratified():
    """Each fold has the same share of each class."""
    folds = splits.folds(LABELS, ALONE, 5, 1)
    assert [np.bincount(LABELS[folds == f]).tolist() for f in range(5)] == [[10] * 4] * 5


def test_equal_pixels_are_one_group():
    """Identical decoded images share a group, whatever else differs."""
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[1, 0, 0, 0] = 1
    groups = splits.image_groups(Images.of(images))
    assert groups[0] == groups[2] != groups[1]


def validation_of(repeats: int, validation: float, n: int) -> np.ndarray:
    """Return the validation parts of an experiment on n images of 4 classes."""
    tree = {
        "name": "x",
        "data": {"source": "x", "validation": validation},
        "search": {"repeats": repeats},
        "models": {"cnn": {}},
    }
    train = Part(Images.of(np.zeros((n, 1, 1, 3), np.uint8)), np.arange(n) % 4)
    return parts.make_splits(parse(tree), "abcd", train, np.arange(n)).validation


@pytest.mark.parametrize(
    ("repeats", "validation", "n"), [(5, 0.2, 203), (3, 0.3, 90), (2, 0.5, 40)]
)
def test_each_repeat_leaves_out_other_images(repeats, validation, n):
    """The parts are disjoint and stratified, of one size, and the first is that of one repeat."""
    made = validation_of(repeats, validation, n)
    assert made.sum(axis=0).max() == 1
    for part in made:
        assert part.sum() == pytest.approx(validation * n, abs=1)
        counts = np.bincount(np.flatnonzero(part) % 4, minlength=4)
        assert counts == pytest.approx(np.full(4, validation * n / 4), abs=1.5)
    assert (made[:1] == validation_of(1, validation, n)).all()


def test_splits_are_read_as_they_were_written():
    """Those of one repeat have one dimension less in their file, as the first versions wrote it."""
    for repeats, shape in ((1, (40,)), (2, (2, 40))):
        validation = validation_of(repeats, 0.2, 40)
        made = parts.Splits(validation, np.arange(40) % 2)
        with np.load(io.BytesIO(made.content)) as file:
            assert file["validation"].shape == shape
        assert (parts.Splits.read(io.BytesIO(made.content)).validation == validation).all()


def test_too_few_images():
    """Too few images, or a class too small to stratify, is one sentence."""
    with pytest.raises(Invalid, match="500 images asked for, there are 200"):
        splits.take(LABELS, ALONE, 500, 1, "data.train = 500")
    with pytest.raises(Invalid, match=r"folds.count = 60: class 0 has 50 distinct images"):
        splits.folds(LABELS, ALONE, 60, 1)
    words = "cannot hold each of 4 classes .* a fraction of 0.02 to 0.98"
    with pytest.raises(Invalid, match=words):
        splits.take(LABELS, ALONE, 3, 1, "x")


def test_a_small_class_names_its_other_images():
    """The error names copies, which count once, and images in the test part."""
    labels = np.array([0] * 6 + [1] * 9)
    groups = np.array([0, 1, 2, 3, 3, 3, *range(4, 13)])
    words = (
        "'a' has 4 distinct images, besides 2 copies and 1 image in the test part, too few to strat"
    )
    with pytest.raises(Invalid, match=words):
        splits.folds(labels, groups, 5, 1, "ab", test=np.array([0, 1, 1]))
    labels = np.array([0, 0, 1, 1, 1])
    groups = np.array([0, 0, 1, 2, 3])
    words = "'a' has 1 distinct image, besides 1 copy, too few to stratify; it needs at least 2"
    with pytest.raises(Invalid, match=words):
        splits.take(labels, groups, 2, 1, "data.holdout = 0.2", "ab")
    words = "'a' has 1 group, besides 3 images in the test part, too few"
    with pytest.raises(Invalid, match=words):
        splits.folds(labels, groups, 2, 1, "ab", named=True, test=np.zeros(3, int))


def experiment_of(**data) -> Experiment:
    """Return an experiment with these keys of [data]."""
    return parse({"name": "x", "data": {"source": "x", **data}, "models": {"cnn": {}}})


def shipping(n: int, n_validation: int, groups: np.ndarray | None = None) -> Source:
    """Return images of 4 classes, the last of which are shipped as a validation part."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, 2, 2, 3), np.uint8)
    flags = np.arange(n) >= n - n_validation
    train = Part(Images.of(pixels), np.arange(n) % 4, groups, flags)
    return Source("x", tuple("abcd"), train, None, {})


def test_a_shipped_validation_part_is_the_validation_part():
    """Trials are scored on all of it; the test part is held out of the rest, folds are of all."""
    experiment = experiment_of(validation="shipped")
    train, test = parts.cut(shipping(200, 40), experiment)
    assert len(test.labels) == 40
    related = parts.relate(train, test)
    made = parts.make_splits(experiment, "abcd", train, related.train)
    assert made.validation.shape == (1, 160)
    assert np.flatnonzero(made.validation[0]).tolist() == [*range(120, 160)]
    assert np.bincount(made.folds).tolist() == [32] * 5


def test_a_shipped_validation_part_that_is_not_used_is_training():
    """A fraction draws validation images from all."""
    experiment = experiment_of(validation=0.5)
    train, _ = parts.cut(shipping(200, 40), experiment)
    validation = parts.make_splits(experiment, "abcd", train, np.arange(160)).validation
    assert validation.sum() == 80
    assert validation[0][~train.validation].any()


def test_a_validation_part_that_cannot_be_used():
    """None shipped, nothing beside it and a common group are Invalid, with what to do."""
    experiment = experiment_of(validation="shipped", holdout=0.1)
    common = np.arange(200) % 50
    for source, words in (
        (shipping(200, 0), "ships no validation part"),
        (shipping(200, 200), "no training image is left beside it"),
        (shipping(200, 40, common), "40 groups of data.groups are in both"),
    ):
        with pytest.raises(Invalid, match=words):
            parts.make_splits(experiment, "abcd", source.train, np.arange(200))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"data": {"validation": "ship"}}, 'expected a number from 0.01 to 0.9, or "shipped"'),
        (
            {"data": {"validation": "shipped"}, "search": {"repeats": 2}},
            'search.repeats = 2 with data.validation = "shipped": each repeat',
        ),
    ],
)
def test_a_wrong_validation_is_refused(tree, words):
    """A word of no meaning, and repeats of one part, are Invalid."""
    tree = {"name": "x", "models": {"cnn": {}}} | tree
    tree["data"]["source"] = "x"
    with pytest.raises(Invalid) as caught:
        parse(tree)
    assert words in str(caught.value)
