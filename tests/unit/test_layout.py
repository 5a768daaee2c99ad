"""Which files are images of which class: names of every system, common layouts, clear errors."""

import os
import shutil
import tarfile
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from job.data import names
from tests.support.datasets import (
    BLUE,
    GREEN,
    RED,
    encoded,
    read_source,
    refused,
    two_classes,
    write_folder,
    write_npz,
    write_tar,
    write_zip,
)

NOBODY = 65534
NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def classes(*found, **more):
    """Return a folder of class folders with two images each."""
    files = {}
    for n, name in enumerate(found):
        files |= {f"{name}/{i}.png": encoded((200, i, n)) for i in range(2)}
    return files | more


# --- names ---


@pytest.mark.parametrize("name", [b"caf\xe9/1.png", b"b/caf\xe9.png"])
def test_a_name_that_is_not_utf_8(tmp_path, name):
    """A class folder or an image whose name is not UTF-8 is refused, its bytes escaped.

    Other files with such names are noted.
    """
    for file in (name, b"a/1.png", b"b/1.png"):
        target = os.path.join(os.fsencode(tmp_path / "set"), file)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(os.fsdecode(target)).write_bytes(encoded(RED))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "set", "set")
    for source in (tmp_path / "set", tmp_path / "a.tar"):
        message = refused(str(source))
        assert r"\xe9" in message
        assert "is not UTF-8 text: rename it" in message
        message.encode()
    (tmp_path / "other").mkdir()
    write_folder(tmp_path / "other", classes("a", "b"))
    Path(os.fsdecode(os.fsencode(tmp_path / "other") + b"/a/caf\xe9.txt")).touch()
    (note,) = read_source(str(tmp_path / "other")).notes
    assert r"a/caf\xe9.txt" in note.encode().decode()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_names_in_an_npz_that_are_not_text(tmp_path, name):
    """A NUL or a lone surrogate in a name of `classes` is refused and shown escaped."""
    classes_given = np.array([name, "b"])
    arrays = {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": [0, 1]}
    message = refused(write_npz(tmp_path / "a.npz", **arrays, classes=classes_given))
    assert "classes of" in message
    assert "rename it" in message
    assert ascii(name)[2:-1] in message
    message.encode()


def test_two_spellings_of_a_name_are_one_class(tmp_path):
    """A class name composed in train/ and decomposed in test/ is one class.

    Two such folders in one part are joined, with a note.
    """
    files = {f"train/{NFC}/1.png": encoded(RED), f"test/{NFD}/1.png": encoded(RED)}
    read = read_source(write_folder(tmp_path / "set", files | two_classes()))
    assert read.classes == (NFC, "cat", "dog") or read.classes == ("cat", NFC, "dog")
    assert read.test.labels.tolist() == [read.classes.index(NFC)]
    assert read.notes == ()
    files = {
        f"{NFC}/1.png": encoded(RED),
        f"{NFD}/1.png": encoded(GREEN),
        "dog/1.png": encoded(RED),
    }
    for source in (write_folder(tmp_path / "both", files), write_zip(tmp_path / "a.zip", files)):
        read = read_source(source)
        assert read.classes == (NFC, "dog")
        assert read.train.labels.tolist() == [0, 0, 1]
        how = "accents are written in two ways"
        assert f"2 folders look like 'café' ({how}): they are one class" in read.notes


def test_classes_of_an_npz_in_two_spellings(tmp_path):
    """Names of `classes` that look the same are refused: they cannot be told apart."""
    arrays = {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": [0, 1], "classes": [NFC, NFD]}
    path = write_npz(tmp_path / "a.npz", **arrays)
    assert "different names" in refused(path)


def test_groups_in_two_spellings(tmp_path):
    """A group's name in two spellings is one group.

    A CSV names images of two spellings each by its own.
    """
    files = classes("a", "b") | {
        "g.csv": f"image,group\na/0.png,{NFC}\na/1.png,{NFD}\nb/0.png,x\nb/1.png,y\n".encode()
    }
    groups = read_source(write_folder(tmp_path / "set", files), groups="g.csv").train.groups
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 3
    files = {f"a/{NFC}.png": encoded(RED), f"a/{NFD}.png": encoded(RED), "b/1.png": encoded(RED)}
    files["g.csv"] = f"image,group\na/{NFC}.png,one\na/{NFD}.png,two\nb/1.png,three\n".encode()
    groups = read_source(write_folder(tmp_path / "two", files), groups="g.csv").train.groups
    assert len(set(groups.tolist())) == 3


def test_names_that_differ_in_case(tmp_path):
    """Two classes that differ only in case stay two, with a note.

    One in test/ that differs only in case from train/ is refused with a hint.
    """
    read = read_source(write_zip(tmp_path / "a.zip", classes("Cat", "cat")))
    assert read.classes == ("Cat", "cat")
    assert read.notes == ("classes differ in upper and lower case only: Cat, cat",)
    files = two_classes(**{"test/Cat/1.png": encoded(RED)})
    assert "did you mean 'cat'?" in refused(write_zip(tmp_path / "b.zip", files))


@pytest.mark.parametrize(
    "name",
    [
        "lost+found/x",
        "__pycache__/x.pyc",
        "a/@eaDir/0.jpg",
        "$RECYCLE.BIN/1.png",
        "System Volume Information/x",
        "a/.ipynb_checkpoints/0.png",
        "__MACOSX/a/0.png",
        "a/THUMBS.DB",
        "a/desktop.ini",
        "#recycle/a/0.png",
        ".Trash-1000/0.png",
        "@eaDir/a/0/0.png",
        "train/@eaDir/x.jpg",
    ],
)
def test_what_systems_make_is_skipped(tmp_path, name):
    """Folders and files that systems make are neither classes nor images, and cause no note."""
    name = f"train/{name}" if name.startswith("a/") else name
    files = two_classes(**{"train/a/0.png": encoded(GREEN), name: b"no image"})
    for source in (
        write_folder(tmp_path / "set", files),
        write_tar(tmp_path / "a.tar", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        read = read_source(source)
        assert read.classes == ("a", "cat", "dog")
        assert len(read.train.labels) == 3
        assert read.notes == ()


def test_a_closed_folder_of_the_system_is_skipped():
    """The root of a volume has a lost+found that a plain user may not open: it is skipped."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    me = os.geteuid()
    try:
        write_folder(top / "set", classes("a", "b"))
        (top / "set/lost+found").mkdir(0)
        if me == 0:
            os.seteuid(NOBODY)
        assert read_source(str(top / "set")).classes == ("a", "b")
    finally:
        os.seteuid(me)
        shutil.rmtree(top)


def test_hidden_names():
    """A name is hidden if a part of it is, in any case, but not if it merely begins alike."""
    assert all(map(names.hidden, ("a/.x", "LOST+FOUND/a", "b/@EADIR", "Desktop.ini")))
    assert not any(map(names.hidden, ("a/b.png", "lost", "thumbs", "desktop", "")))


# --- parts ---


def test_a_class_called_train_or_test(tmp_path):
    """`train` or `test` beside other folders with images is a class, with a note.

    A class of that name within a part needs no note.
    """
    read = read_source(write_folder(tmp_path / "voc", classes("bus", "car", "test", "train")))
    assert read.classes == ("bus", "car", "test", "train")
    assert read.test is None
    assert len(read.train.labels) == 8
    assert read.notes == (
        "train/ is read as a class called 'train', since it holds images itself, as bus, car do",
    )
    inner = classes("train/bus", "train/train", "train/test", "test/train")
    read = read_source(write_zip(tmp_path / "a.zip", inner))
    assert read.classes == ("bus", "test", "train")
    assert read.test.labels.tolist() == [2, 2]
    assert read.notes == ()
    read = read_source(write_zip(tmp_path / "b.zip", classes("voc/car", "voc/train")))
    assert read.classes == ("car", "train")
    read = read_source(write_zip(tmp_path / "c.zip", classes("car", "test", "validation")))
    assert read.classes == ("car", "test", "validation")


def test_an_ambiguous_train_is_refused(tmp_path):
    """Images directly in train/, without a class beside it, are refused with what to do."""
    for n, folders in enumerate((("train", "test"), ("train", "val"), ("train",))):
        message = refused(write_folder(tmp_path / str(n), classes(*folders)))
        assert "no class folder in train/" in message
        assert "holds 2 images itself" in message
        assert "if `train` is a class" in message


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "DEV"])
def test_a_validation_part_is_understood(tmp_path, name):
    """It ends the training part, whatever it is called; images outside of classes are not used."""
    files = {f"{name}/cat/{i}.png": encoded(RED) for i in range(3)}
    files |= {f"{name}/dog/1.png": encoded(GREEN), f"{name}/2.png": encoded(BLUE)}
    read = read_source(write_folder(tmp_path / "set", two_classes(**files)))
    assert read.train.labels.tolist() == [0, 1, 0, 0, 0, 1]
    assert read.train.validation.tolist() == [False, False, True, True, True, True]
    (note,) = read.notes
    assert note.startswith("1 files are not used")


def test_two_validation_parts_are_refused(tmp_path):
    """Only one folder may be the validation part."""
    files = {"val/cat/1.png": encoded(RED), "valid/cat/1.png": encoded(RED)}
    message = refused(write_folder(tmp_path / "set", two_classes(**files)))
    assert "has val, valid, which all mean a validation part: keep one of them" in message


def test_a_class_of_the_validation_part_alone_is_refused(tmp_path):
    """The training part has all classes."""
    files = two_classes(**{"val/cow/1.png": encoded(RED)})
    message = refused(write_folder(tmp_path / "set", files))
    assert "has cow in the validation part but not in the training part" in message


def test_nested_classes_are_joined_on_request(tmp_path):
    """A class is then called after all folders above its images."""
    names = ("animals/cat/1", "animals/cat/2", "animals/big/cow/1", "plants/1")
    files = {f"{part}/{name}.png": encoded(RED) for part in ("train", "test") for name in names}
    path = write_folder(tmp_path / "set", files)
    message = refused(path)
    assert "data.nested = \"join\" would call the class 'animals/big/cow'" in message
    read = read_source(path, join=True)
    assert read.classes == ("animals/big/cow", "animals/cat", "plants")
    assert read.train.labels.tolist() == [0, 1, 1, 2]


# --- unsupported layouts are named ---


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"cifar-100-python/train": b""}, "looks like CIFAR-100"),
        ({"cifar-10-batches-py/data_batch_1": b""}, "CIFAR-10, of which files are missing"),
        ({"cifar-10-batches-bin/data_batch_1.bin": b""}, "CIFAR-10, of which files are missing"),
        ({"train_32x32.mat": b""}, "MATLAB files"),
        ({"train.arrow": b""}, "Arrow files"),
        ({"pets/inner.zip": b""}, "name the inner archive itself"),
        (
            {"flat/train/1.png": encoded(RED), "flat/labels.csv": b"id,label\n1,a\n"},
            "if that has the labels, name it in data.labels, else put the",
        ),
        (
            {"1.png": encoded(RED), "2.png": encoded(RED), "labels.csv": b"id,label\n1,a\n"},
            "if that has the labels, name it in data.labels",
        ),
        (
            {"1.png": encoded(RED), "annotations.json": b"{}"},
            "save it as CSV, and name that in data.labels",
        ),
        (
            {"a/1.heic": b"", "a/2.HEIC": b"", "b/1.heic": b""},
            "it holds 2 .heic: convert it to JPEG",
        ),
        ({"a/1.txt": b"", "b/1.png": encoded(RED)}, "class folder 'a' of"),
        (
            {"train/a/x/1.png": encoded(RED), "train/b/x/1.png": encoded(RED)},
            "'train/a/x/1.png' of",
        ),
        (
            {"train/a/x/1.png": encoded(RED)},
            "is one level too deep: expected train/<class>/<image>",
        ),
        (
            {"in/out/a/1.png": encoded(RED), "in/out/b/1.png": encoded(RED)},
            "move what is in 'out' up, or name that folder as the data",
        ),
        (
            {"test/a/1.png": encoded(RED), "test/b/1.png": encoded(RED)},
            "class folders in test/ but no train/",
        ),
        (
            {"a/1.png": encoded(RED), "b/1.png": encoded(RED), "Val/a/1.png": encoded(RED)},
            "class folders in Val/ but no train/",
        ),
        (
            {"images/1.png": encoded(RED), "train.csv": b"id,label\n1,a\n"},
            "no class folders but 'train.csv': if that has the labels, name it in data.labels",
        ),
        (
            {"train2017/1.jpg": encoded(RED), "annotations/a.json": b"{}"},
            "it holds 1 .json: if it has the labels, save it as CSV",
        ),
    ],
)
def test_another_layout_is_named(tmp_path, files, words):
    """Data of another form or layout is refused in one sentence.

    It names what was seen and what to do, for folders and archives.
    """
    for source in (write_folder(tmp_path / "set", files), write_tar(tmp_path / "a.tar", files)):
        assert words in refused(source)


def test_folders_without_a_file(tmp_path):
    """A class folder that holds only folders is refused, and those folders are named."""
    write_folder(tmp_path / "set", classes("a", "b"))
    for name in ("left", "right"):
        (tmp_path / "set/c" / name).mkdir(parents=True)
    assert "only folders without a file: left, right" in refused(str(tmp_path / "set"))
