"""Arrays in an .npz: of any shape and type that means images and labels, and never a pickle."""

import io
import os
import tracemalloc

import numpy as np
import pytest

from tests.support.datasets import (
    encoded,
    images,
    read_source,
    refused,
    write_folder,
    write_npz,
    write_zip,
)


def test_npz_is_read_back_equal(tmp_path):
    """uint8 images, integer labels of both parts and class names come back as saved."""
    x = images()
    y = np.array([0, 1, 2, 1], np.uint8)
    arrays = {"x_train": x, "y_train": y, "x_test": x[:2], "y_test": y[:2]}
    path = write_npz(tmp_path / "my.npz", **arrays, classes=np.array(["a", "b", "c"]))
    read = read_source(path)
    assert np.array_equal(read.train.images[:], x)
    assert read.train.labels.tolist() == y.tolist()
    assert np.array_equal(read.test.images[:], x[:2])
    assert read.test.labels.dtype == np.int64
    assert read.classes == ("a", "b", "c")
    assert read.name == "my.npz"


@pytest.mark.parametrize(
    "labels",
    [
        np.array([[0], [1], [1], [0]], np.int8),
        np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32),
        np.eye(2, dtype=bool)[[0, 1, 1, 0]],
    ],
)
def test_npz_labels(tmp_path, labels):
    """Labels may be a column, or one-hot of any type; classes are then named by number."""
    read = read_source(write_npz(tmp_path / "a.npz", x_train=images(), y_train=labels))
    assert read.train.labels.tolist() == [0, 1, 1, 0]
    assert read.classes == ("0", "1")
    assert read.test is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npz_floats(tmp_path, dtype):
    """Floats from 0 to 1 are scaled by 255 and rounded: every byte survives the round trip."""
    x = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    path = write_npz(tmp_path / "a.npz", x_train=(x / 255).astype(dtype), y_train=[0, 1])
    read = read_source(path)
    assert np.array_equal(read.train.images[:], np.repeat(x[..., None], 3, axis=3))


def test_npz_channels(tmp_path):
    """One channel is repeated; a fourth is alpha and goes over white."""
    grey = images(2, 4, 4, 1)
    read = read_source(write_npz(tmp_path / "a.npz", x_train=grey, y_train=[0, 1]))
    assert (read.train.images[:] == grey).all()
    clear = np.zeros((2, 4, 4, 4), np.uint8)
    clear[1, ..., 3] = 255
    read = read_source(write_npz(tmp_path / "b.npz", x_train=clear, y_train=[0, 1])).train.images[:]
    assert (read[0] == 255).all()
    assert (read[1] == 0).all()


def test_npz_is_resized(tmp_path):
    """data.image_size makes all images that square; parts of two sizes need it."""
    arrays = {"x_train": images(2), "x_test": images(2, 8, 8)}
    path = write_npz(tmp_path / "a.npz", **arrays, y_train=[0, 1], y_test=[0, 1])
    message = refused(path)
    assert "6 x 5 and 8 x 8" in message
    assert "data.image_size" in message
    read = read_source(path, 7)
    assert read.train.images.shape == read.test.images.shape == (2, 7, 7, 3)


@pytest.mark.parametrize(
    "form",
    [
        "X_train Y_train X_test Y_test",
        "train_images train_labels test_images test_labels",
        "TRAIN_X train_y test_x test_y",
        "images_train labels_train images_test labels_test",
    ],
)
def test_npz_names_of_others(tmp_path, form):
    """Other common array names work in any case; labels may be a column, as in MedMNIST."""
    x = images()
    y = np.array([[0], [1], [1], [0]])
    arrays = dict(zip(form.split(), (x, y, x[:3], y[:3]), strict=True))
    path = write_npz(tmp_path / "a.npz", **arrays, CLASSES=["a", "b"])
    read = read_source(path)
    assert np.array_equal(read.train.images[:], x)
    assert read.train.labels.tolist() == [0, 1, 1, 0]
    assert np.array_equal(read.test.images[:], x[:3])
    assert read.classes == ("a", "b")
    assert read.notes == ()
    for pair in (("x", "Y"), ("images", "labels")):
        alone = read_source(write_npz(tmp_path / "b.npz", **dict(zip(pair, (x, y), strict=True))))
        assert np.array_equal(alone.train.images[:], x)
        assert alone.test is None
        assert alone.notes == ()


def test_our_own_names_take_precedence(tmp_path):
    """Other common names of arrays beside x_train and y_train are not read."""
    x = images()
    y = [0, 1, 1, 0]
    arrays = {"x_train": x, "y_train": y, "train_images": x[:2], "train_labels": [1, 0]}
    both = read_source(write_npz(tmp_path / "b.npz", **arrays, X_train=x[:1]))
    assert len(both.train.images) == 4
    assert both.test is None
    assert "X_train, train_images, train_labels not read" in both.notes[0]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int64, np.uint64])
def test_npz_integers(tmp_path, dtype):
    """Integers of any type with values in 0..255 are read as they are."""
    x = images() // 2
    path = write_npz(tmp_path / "a.npz", x_train=x.astype(dtype), y_train=[0, 1, 0, 1])
    assert np.array_equal(read_source(path).train.images[:], x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npz_floats_that_are_whole_numbers(tmp_path, dtype):
    """Whole-number floats above 1 are read as 0..255, with a note, in a dark test part too."""
    x = images()
    dark = np.ones((1, 5, 6, 3))
    arrays = {"x_train": x.astype(dtype), "x_test": dark.astype(dtype)}
    read = read_source(write_npz(tmp_path / "a.npz", **arrays, y_train=[0, 1, 0, 1], y_test=[0]))
    assert np.array_equal(read.train.images[:], x)
    assert (read.test.images[:] == 1).all()
    kind = np.dtype(dtype)
    note = f"x_train holds whole numbers above 1 as {kind}: they are read as 0..255"
    assert read.notes[0] == note


def test_npz_labels_that_are_names(tmp_path):
    """Labels may be names, as text or bytes, in two spellings.

    They become the sorted classes, or are found in `classes`.
    """
    y = np.array(["dog", "cat", "cafe\u0301", "caf\u00e9"])
    arrays = {"x_train": images(), "y_train": y, "x_test": images(2), "y_test": [["cat"], ["dog"]]}
    read = read_source(write_npz(tmp_path / "a.npz", **arrays))
    assert read.classes == ("caf\u00e9", "cat", "dog")
    assert read.train.labels.tolist() == [2, 1, 0, 0]
    assert read.test.labels.tolist() == [1, 2]
    y = np.array([b"b", b"a", b"a", b"b"])
    path = write_npz(tmp_path / "b.npz", x_train=images(), y_train=y, classes=["b", "a"])
    assert read_source(path).classes == ("b", "a")
    assert read_source(path).train.labels.tolist() == [0, 1, 1, 0]


def test_npz_labels_from_one(tmp_path):
    """Labels 1..k are counted from 1, with a note.

    So are labels that use the last of k names by its number from 1.
    """
    x = images()
    y = np.array([1, 2, 3, 1])
    for more, classes in (({}, ("1", "2", "3")), ({"classes": ["a", "b", "c"]}, ("a", "b", "c"))):
        read = read_source(
            write_npz(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:1], y_test=[2], **more)
        )
        assert read.classes == classes
        assert read.train.labels.tolist() == [0, 1, 2, 0]
        assert read.test.labels.tolist() == [1]
        assert read.notes == ("labels are 1..3: they are read as classes counted from 1",)
    floats = read_source(write_npz(tmp_path / "b.npz", x_train=x, y_train=[0.0, 1.0, 2.0, 1.0]))
    assert floats.classes == ("0", "1", "2")
    assert floats.train.labels.tolist() == [0, 1, 2, 1]
    assert floats.notes == ()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"pixels": images(), "targets": [0, 1, 0, 1]},
            "pixels, targets: expected x_train, y_train",
        ),
        (
            {"X_TRAIN": images(), "X_train": images(), "y_train": [0, 1, 0, 1]},
            "X_TRAIN, X_train, which differ only in case",
        ),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "x_test": images()}, "x_test"),
        ({"x_train": images(4, 5, 32, 32), "y_train": [0, 1, 0, 1]}, "(4, 5, 32, 32)"),
        ({"x_train": images(4, 32), "y_train": [0, 1, 0, 1]}, "(4, 32)"),
        ({"x_train": images(0, 4, 4), "y_train": []}, "(0, 4, 4)"),
        ({"x_train": images(), "y_train": [0, 1, 0]}, "4 images in x_train and 3 labels"),
        ({"x_train": images().astype(int) - 200, "y_train": [0, 1, 0, 1]}, "is int64 from -"),
        ({"x_train": images().astype(np.uint32) * 2, "y_train": [0, 1, 0, 1]}, "is uint32 from "),
        ({"x_train": images().astype(">i2") * -2, "y_train": [0, 1, 0, 1]}, "is int16 from -"),
        ({"x_train": images() > 9, "y_train": [0, 1, 0, 1]}, "is bool: expected integers 0..255"),
        (
            {"x_train": images() + np.float32(0.5), "y_train": [0, 1, 0, 1]},
            "floats 0..1, or floats that are whole numbers 0..255",
        ),
        (
            {
                "x_train": images() / 255,
                "y_train": [0, 1, 0, 1],
                "x_test": images(1) * 1.0,
                "y_test": [0],
            },
            "x_test of",
        ),
        (
            {
                "x_train": images() * 1.0,
                "y_train": [0, 1, 0, 1],
                "x_test": images(1) / 100,
                "y_test": [0],
            },
            "not all whole",
        ),
        ({"x_train": np.full((4, 5, 5), np.nan), "y_train": [0, 1, 0, 1]}, "from nan to nan"),
        ({"x_train": images(), "y_train": [1, 3, 1, 3]}, "1..3: expected 0..k-1"),
        ({"x_train": images(), "y_train": [2, 3, 2, 3]}, "2..3: expected 0..k-1"),
        (
            {"x_train": images(), "y_train": [1, 2, 1, 2], "x_test": images(1), "y_test": [0]},
            "has labels 0..0, and the training labels are 1..2",
        ),
        ({"x_train": images(), "y_train": np.eye(3)[[1, 2, 1, 2]]}, "1..2: expected 0..k-1"),
        (
            {
                "x_train": images(),
                "y_train": ["a", "b", "a", "b"],
                "x_test": images(1),
                "y_test": ["c"],
            },
            "y_test of",
        ),
        (
            {
                "x_train": images(),
                "y_train": ["a", "b", "a", "b"],
                "x_test": images(1),
                "y_test": [1],
            },
            "use one form for both",
        ),
        (
            {"x_train": images(), "y_train": ["a", "b", "a", "b"], "classes": ["a", "c"]},
            "has unknown classes (b): expected a, c",
        ),
        ({"x_train": images(), "y_train": ["a", "b\0", "a", "b\0c"]}, "holds a NUL character"),
        ({"x_train": images(), "y_train": ["a", "", "a", ""]}, "expected different names"),
        ({"x_train": images(), "y_train": np.array([b"a", b"\xe9", b"a", b"a"])}, "not UTF-8"),
        ({"x_train": images(), "y_train": [0, 0, 0, 0]}, "only 1 class"),
        (
            {"x_train": images(), "y_train": [0.0, 1.5, 0.0, 1.0]},
            "is float64 with values that are not whole",
        ),
        (
            {"x_train": images(), "y_train": [0.0, np.nan, 0.0, 1.0]},
            "is float64 with values that are not whole",
        ),
        ({"x_train": images(), "y_train": [[1, 1, 0]] * 4}, "(4, 3) is not one-hot"),
        ({"x_train": images(), "y_train": [[1, 1], [0, 1], [0, 1], [0, 1]]}, "not one-hot"),
        (
            {"x_train": images(), "y_train": [0, 1, 0, 1], "x_test": images(1), "y_test": [2]},
            "test labels are 2..2",
        ),
        (
            {"x_train": images(), "y_train": [0, 1, 0, 1], "classes": ["a", "b", "c"]},
            "class 'c' (label 2) has no training image",
        ),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "classes": ["a", "a"]}, "different names"),
        ({"x_train": images(), "y_train": [0, 1, 0, -1], "classes": ["a", "b"]}, "-1..1"),
        (
            {"x_train": images(), "y_train": [0, 1, 0, 1], "classes": np.array(["a", "b"], object)},
            "classes",
        ),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path, arrays, words):
    """Wrong keys, shapes, types, ranges and labels are Invalid; the error says what is expected."""
    path = write_npz(tmp_path / "a.npz", **arrays)
    message = refused(path)
    assert words in message
    assert path in message


def test_npz_is_never_unpickled(tmp_path):
    """An object array in an .npz is a pickle: it is refused and does not run."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    refused(write_npz(tmp_path / "a.npz", x_train=np.array([Evil()], object), y_train=[0]))
    assert not (tmp_path / "ran").exists()


def test_a_damaged_npz(tmp_path):
    """A truncated file, no .npz, a lone .npy or bytes that are no array: Invalid with the path."""
    path = tmp_path / "a.npz"
    whole = write_npz(path, x_train=images(), y_train=[0, 1, 0, 1]) and path.read_bytes()
    buffer = io.BytesIO()
    np.save(buffer, images())
    for data in (whole[:-30], whole[:30], b"", b"text", buffer.getvalue()):
        path.write_bytes(data)
        assert str(path) in refused(str(path))
    assert "is not an array" in refused(write_zip(path, {"x_train": b"text", "y_train": b"text"}))


def npy(shape: tuple, content: bytes = b"") -> bytes:
    """Return an .npy of uint8 whose header claims this shape, whatever is in it."""
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + content


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"x_train.npy": npy((64 << 20,), bytes(64 << 20))}, "unpacks to 67,108,992 bytes from"),
        ({"x_train": bytes(64 << 20)}, "unpacks to 67,108,864 bytes from"),
        ({"x_train.npy": npy((1 << 40, 8, 8), b"x")}, "is more than its 129 bytes"),
    ],
)
def test_an_npz_takes_no_more_memory_than_it_is_worth(tmp_path, files, words):
    """6 MB that would unpack to 6 GB, or claim to, are refused by size alone."""
    path = write_zip(tmp_path / "a.npz", files | {"y_train.npy": npy((2,), b"\0\1")})
    tracemalloc.start()
    try:
        assert words in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_equal_bytes_are_read_as_they_are_stored(tmp_path):
    """An uncompressed .npz, which the error suggests, may hold any number of equal bytes."""
    x = np.zeros((2, 2048, 2048, 3), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x_train=x, y_train=[0, 1])
    assert "save it by numpy.savez" in refused(str(tmp_path / "a.npz"))
    read = read_source(write_npz(tmp_path / "a.npz", x_train=x, y_train=[0, 1]))
    assert read.train.images.shape == x.shape


def test_a_lone_npy_is_not_read(tmp_path):
    """A .npy of any size under the name of an .npz is refused before it takes memory."""
    with open(tmp_path / "a.npz", "wb") as file:
        file.write(npy((1 << 33,)))
        file.truncate(file.tell() + (1 << 33))
    assert "has no keys" in refused(str(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.eye(4, dtype=np.uint8), "values are only 0 and 1, of 0..255"),
        (np.zeros((4, 4), np.int64), "all pixels of all images have the value 0"),
        (np.full((4, 4), 9.0), "all pixels of all images have the value 9"),
        (
            np.arange(16, dtype=np.uint8).reshape(4, 4),
            "the largest value of all pixels is 15, of 0..255",
        ),
        (np.eye(4), None),
        (np.arange(48, dtype=np.uint8).reshape(12, 4), None),
    ],
)
def test_almost_black_images_are_noted(tmp_path, values, words):
    """Masks of 0 and 1, constant images and images of few bits are noted, in arrays and files.

    Floats 0 and 1 are black and white.
    """
    path = write_npz(tmp_path / "a.npz", x_train=np.stack([values] * 2), y_train=[0, 1])
    notes = [*read_source(path).notes]
    if values.dtype == np.uint8:
        files = {f"{c}/1.png": encoded(values) for c in "ab"}
        notes += read_source(write_folder(tmp_path / "set", files)).notes
    expected = [note for note in notes if "read as" not in note]
    assert [note for note in notes if words and words in note] == expected
    assert bool(notes) == bool(words)
