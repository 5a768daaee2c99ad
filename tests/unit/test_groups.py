"""Images that belong together: groups stay whole in every split, and their file may be wrong."""

import unicodedata

import numpy as np
import pytest

from job.data import parts, splits
from job.data.dataset import Part, Source
from job.data.images import Images
from job.errors import Invalid
from job.experiment.specification import parse
from tests.support.datasets import (
    data_id,
    encoded,
    images,
    read_source,
    refused,
    two_classes,
    write_folder,
    write_npz,
    write_tar,
)

CSV = "image,group\ntrain/cat/1.png,anna\ntrain/dog/1.png,ben\n"


def read(path, groups, **options):
    """Return the groups of the training images."""
    return read_source(str(path), groups=groups, **options).train.groups.tolist()


def patients(n=300, groups=40, classes=4, seed=0):
    """Return labels and groups of patients of very different size, each with several classes."""
    rng = np.random.default_rng(seed)
    size = rng.pareto(2.5, groups) + 0.2
    named = np.concatenate([np.arange(groups), rng.choice(groups, n - groups, p=size / size.sum())])
    labels = rng.choice(classes, n, p=np.array([8, 4, 2, 2]) / 16)
    return labels, rng.permutation(named)


def most_sides(groups, side):
    """Return the largest number of sides that one group is on."""
    return max(len(set(side[groups == g].tolist())) for g in np.unique(groups))


@pytest.mark.parametrize("seed", range(5))
def test_splits_keep_groups_whole(seed):
    """No group is on both sides of a part or in two folds.

    Sizes come near to what was asked, and each class is on each side.
    """
    labels, groups = patients(seed=seed)
    for n in (30, 75, 200):
        taken = np.isin(np.arange(300), splits.take(labels, groups, n, seed, "x", named=True))
        assert most_sides(groups, taken) == 1
        assert taken.sum() == pytest.approx(n, abs=25)
        assert (np.bincount(labels[taken], minlength=4) > 0).all()
        assert (np.bincount(labels[~taken], minlength=4) > 0).all()
    folds = splits.folds(labels, groups, 3, seed, named=True)
    assert most_sides(groups, folds) == 1
    assert (np.bincount(folds) > 60).all()
    assert all((np.bincount(labels[folds == f], minlength=4) > 0).all() for f in range(3))
    assert (folds == splits.folds(labels, groups, 3, seed, named=True)).all()


def test_groups_of_one_are_a_plain_split():
    """Where each image is its own group, parts and folds are stratified as without groups."""
    labels = np.repeat(np.arange(4), 50)
    alone = np.arange(200)
    taken = splits.take(labels, alone, 40, 1, "x", named=True)
    assert np.bincount(labels[taken]).tolist() == pytest.approx([10] * 4, abs=1)
    folds = splits.folds(labels, alone, 5, 1, named=True)
    assert [np.bincount(labels[folds == f]).tolist() for f in range(5)] == [[10] * 4] * 5


def test_large_groups_are_held_out_as_often_as_small_ones():
    """Over many seeds, a large group is held out as often as its share says."""
    labels = np.arange(120) % 2
    groups = np.repeat(np.arange(12), [40, *[8] * 5, *[6, 6, 7, 7, 7, 7]])
    held = []
    for seed in range(40):
        taken = splits.take(labels, groups, 60, seed, "x", named=True)
        held.append(0 in groups[taken])
    assert 10 < sum(held) < 30


def test_equal_images_join_groups():
    """Groups that share an image are one group, however long the chain."""
    together = splits.join_groups(np.array([0, 1, 1, 2, 3]), np.array([0, 0, 1, 1, 2]))
    assert len(set(together[:4].tolist())) == 1
    assert together[4] != together[0]


def test_too_few_groups():
    """A class with too few groups to split is one sentence that names the class."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    groups = np.array([0, 1, 2, 3, 3, 3])
    with pytest.raises(Invalid, match=r"data.holdout = 0.2: class 'owl' has 1 group, too few"):
        splits.take(labels, groups, 2, 1, "data.holdout = 0.2", ("wren", "owl"), named=True)
    words = "class 'owl' has 2 groups, too few to stratify; it needs at least 3"
    labels = np.array([0, 0, 0, 1, 1])
    with pytest.raises(Invalid, match=words):
        splits.folds(labels, np.arange(5), 3, 1, ("wren", "owl"), named=True)


def test_held_out_part_and_splits_share_no_group():
    """Held-out part, validation and folds share no group, nor groups that equal images connect."""
    labels, groups = patients(400, 60)
    pixels = np.random.default_rng(1).integers(0, 256, (400, 4, 4, 3), np.uint8)
    pixels[7] = pixels[399]  # joins two groups
    tree = {
        "name": "x",
        "data": {"source": "x", "groups": "g.csv"},
        "search": {"repeats": 3},
        "folds": {"count": 3},
        "models": {"cnn": {}},
    }
    source = Source("x", tuple("abcd"), Part(Images.of(pixels), labels, groups), None, {})
    experiment = parse(tree)
    train, test = parts.cut(source, experiment)
    assert len(np.intersect1d(train.groups, test.groups)) == 0
    assert len(test.labels) == pytest.approx(80, abs=25)
    related = parts.relate(train, test)
    assert len(np.intersect1d(related.train, related.test)) == 0
    assert not related.copies.any()
    made = parts.make_splits(experiment, source.classes, train, related.train)
    for side in (*made.validation, made.folds):
        assert most_sides(train.groups, side) == 1
    assert made.validation.sum(axis=0).max() == 1
    assert made.validation.sum(axis=1) == pytest.approx(0.2 * len(train.labels), abs=25)
    rolled = Part(source.train.images, labels, np.roll(groups, 1))
    other = Source("x", tuple("abcd"), rolled, None, {})
    ids = {data_id(s, *parts.cut(s, experiment)) for s in (source, other)}
    assert len(ids) == 2  # other groups are other data


def test_a_csv_is_found_in_the_data_else_beside_it(tmp_path, monkeypatch):
    """The file in the folder or archive comes first, then the one at the path.

    Names may include or omit a folder around the classes.
    """
    monkeypatch.chdir(tmp_path)
    folder = write_folder(tmp_path / "set", two_classes(**{"groups.csv": CSV.encode()}))
    (tmp_path / "groups.csv").write_text(CSV.replace("ben", "anna"))
    assert read(folder, "groups.csv") == [0, 1]
    assert read(folder, str(tmp_path / "groups.csv")) == [0, 0]
    for files in (two_classes(**{"groups.csv": CSV.encode()}), two_classes()):
        around = {f"top/{name}": content for name, content in files.items()}
        path = write_tar(tmp_path / "a.tar.gz", around)
        assert read(path, "groups.csv") == ([0, 1] if "groups.csv" in files else [0, 0])
    (tmp_path / "groups.csv").write_text(CSV.replace("train/", "top/train/"))
    assert read(path, "groups.csv") == [0, 1]


def test_a_csv_as_programs_write_it(tmp_path):
    """A byte order mark, other columns, ./ and decomposed accents do not matter.

    Rows without an image are counted.
    """
    name = "train/cat/é.png"
    decomposed = unicodedata.normalize("NFD", name)
    rows = f"\ufeffgroup,age,image\r\n7,3,./{decomposed}\r\n8,3,train/dog/1.png\r\n9,3,gone.png\r\n"
    files = {
        unicodedata.normalize("NFC", name): encoded(images(1)[0]),
        "train/dog/1.png": encoded(images(1)[0]),
        "g.csv": rows.encode(),
    }
    found = read_source(write_folder(tmp_path / "set", files), groups="g.csv")
    assert found.train.groups.tolist() == [0, 1]
    assert found.notes == (
        "data.groups: 1 rows match no image of the data, for example 'gone.png' (line 4)",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "train/cat/1.png,anna\n",
            'its first line is "train/cat/1.png,anna": expected `image,group` as the first',
        ),
        ("", 'its first line is "": expected'),
        ("image;group\n", 'its first line is "image;group": expected'),
        ("image,group\n", "it has no row after the first"),
        (CSV.replace("ben", ""), "line 3 has no group"),
        (CSV + "train/cat/1.png,ben\n", "'train/cat/1.png' is listed twice, in lines 2 and 4"),
        (
            CSV.replace("train/dog/1.png,ben\n", ""),
            "1 of 2 images have no row, for example 'train/dog/1.png'",
        ),
        (
            CSV.replace("train/", "set/train/"),
            "2 of 2 images have no row, for example 'train/cat/1.png'"
            " (the first row is of 'set/train",
        ),
        (b"image,group\n\xff,1\n", "it is not UTF-8 text"),
    ],
)
def test_a_wrong_csv_is_refused(tmp_path, text, words):
    """The error names the line, the image and what is expected."""
    content = text if isinstance(text, bytes) else text.encode()
    path = write_folder(tmp_path / "set", two_classes(**{"g.csv": content}))
    message = refused(path, groups="g.csv")
    assert words in message
    assert f'data.source = "{path}": data.groups = "g.csv": ' in message


def test_a_csv_that_is_not_there(tmp_path):
    """The error names the places searched; sources without file names cannot have groups."""
    message = refused(write_folder(tmp_path / "set", two_classes()), groups="nope.csv")
    assert "no such file in the data" in message
    assert "nope.csv" in message
    assert "remove the key" in refused("digits", groups="g.csv")


def test_a_group_in_both_shipped_parts_is_refused(tmp_path):
    """The error names the group, two of its images and what to do."""
    rows = CSV + "test/dog/1.png,anna\n"
    files = {"test/dog/1.png": encoded((0, 0, 255)), "g.csv": rows.encode()}
    path = write_folder(tmp_path / "set", two_classes(**files))
    message = refused(path, groups="g.csv")
    assert "1 groups are in both the training and the test part" in message
    assert "test part, for example 'anna' (train/cat/1.png and test/dog/1.png)" in message
    assert "let data.holdout make the test part" in message


def test_groups_of_an_npz(tmp_path):
    """data.groups = "patient" reads patient_train and patient_test, as numbers or text.

    A missing or wrong array is refused, an unused one is noted.
    """
    arrays = {"x_train": images(4), "y_train": [0, 1, 0, 1], "x_test": images(2), "y_test": [0, 1]}
    path = write_npz(
        tmp_path / "a.npz", **arrays, patient_train=["b", "a", "b", "c"], patient_test=["d", "d"]
    )
    found = read_source(path, 3, groups="patient")
    assert found.train.groups.tolist() == [1, 0, 1, 2]
    assert found.test.groups.tolist() == [3, 3]
    assert found.test.images.shape[1] == 3
    assert found.notes == ()
    (note,) = read_source(path, 3).notes
    assert "patient_test, patient_train not read" in note
    assert 'data.groups = "patient" reads patient_train' in note
    message = refused(path, groups="groups.csv")
    assert "has no array groups.csv_train: data.groups names the arrays" in message
    for wrong in ([1, 2, 3], [0.5, 1, 2, 3]):
        path = write_npz(tmp_path / "b.npz", **arrays, patient_train=wrong, patient_test=["d", "d"])
        assert "patient_train is " in refused(path, groups="patient")
    path = write_npz(tmp_path / "c.npz", **arrays, patient_train=[1, 2, 3, 4], patient_test=[5, 1])
    message = refused(path, groups="patient")
    assert "for example '1' (row 0 of x_train and row 1 of x_test)" in message
