"""Arrays in an .npz: of any shape and type that means images and labels, and never a pickle."""

import io
import os

import numpy as np
import pytest
from files import images, refused, write_npz, write_zip

from job import sources


def test_npz_is_read_back_equal(tmp_path):
    """uint8 images, integer labels of both parts and the class names come back as they were saved."""
    x, y = images(), np.array([0, 1, 2, 1], np.uint8)
    path = write_npz(tmp_path / "my.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2], classes=np.array(["a", "b", "c"]))
    read = sources.read(path)
    assert np.array_equal(read.train.images, x) and read.train.labels.tolist() == y.tolist()
    assert np.array_equal(read.test.images, x[:2]) and read.test.labels.dtype == np.int64
    assert read.classes == ("a", "b", "c") and read.name == "my.npz"


@pytest.mark.parametrize(
    "labels",
    [np.array([[0], [1], [1], [0]], np.int8), np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32), np.eye(2, dtype=bool)[[0, 1, 1, 0]]],
)
def test_npz_labels(tmp_path, labels):
    """Labels may be a column, or one-hot of any type; classes are then named by number."""
    read = sources.read(write_npz(tmp_path / "a.npz", x_train=images(), y_train=labels))
    assert read.train.labels.tolist() == [0, 1, 1, 0] and read.classes == ("0", "1") and read.test is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npz_floats(tmp_path, dtype):
    """Floats from 0 to 1 are scaled by 255 and rounded: every byte survives the way there and back."""
    x = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    read = sources.read(write_npz(tmp_path / "a.npz", x_train=(x / 255).astype(dtype), y_train=[0, 1]))
    assert np.array_equal(read.train.images, np.repeat(x[..., None], 3, axis=3))


def test_npz_channels(tmp_path):
    """One channel is repeated, a fourth is alpha and goes over white."""
    grey = images(2, 4, 4, 1)
    assert (sources.read(write_npz(tmp_path / "a.npz", x_train=grey, y_train=[0, 1])).train.images == grey).all()
    clear = np.zeros((2, 4, 4, 4), np.uint8)
    clear[1, ..., 3] = 255
    read = sources.read(write_npz(tmp_path / "b.npz", x_train=clear, y_train=[0, 1])).train.images
    assert (read[0] == 255).all() and (read[1] == 0).all()


def test_npz_is_resized(tmp_path):
    """data.image_size makes all images that square; parts of two sizes need it."""
    path = write_npz(tmp_path / "a.npz", x_train=images(2), y_train=[0, 1], x_test=images(2, 8, 8), y_test=[0, 1])
    message = refused(path)
    assert "6 x 5 and 8 x 8" in message and "data.image_size" in message
    read = sources.read(path, 7)
    assert read.train.images.shape == read.test.images.shape == (2, 7, 7, 3)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"train_images": images(), "train_labels": [0, 1, 0, 1]}, "train_images, train_labels: expected x_train, y_train"),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "x_test": images()}, "x_test"),
        ({"x_train": images(4, 3, 32, 32), "y_train": [0, 1, 0, 1]}, "(4, 3, 32, 32)"),
        ({"x_train": images(4, 32), "y_train": [0, 1, 0, 1]}, "(4, 32)"),
        ({"x_train": images(0, 4, 4), "y_train": []}, "(0, 4, 4)"),
        ({"x_train": images(), "y_train": [0, 1, 0]}, "4 images in x_train and 3 labels"),
        ({"x_train": images(dtype=np.int64), "y_train": [0, 1, 0, 1]}, "int64"),
        ({"x_train": images(dtype=np.float32), "y_train": [0, 1, 0, 1]}, "float 0..1"),
        ({"x_train": np.full((4, 5, 5), np.nan), "y_train": [0, 1, 0, 1]}, "from nan to nan"),
        ({"x_train": images(), "y_train": [1, 2, 1, 2]}, "1..2: expected 0..k-1"),
        ({"x_train": images(), "y_train": [0, 0, 0, 0]}, "only 1 class"),
        ({"x_train": images(), "y_train": [0.0, 1.0, 0.0, 1.0]}, "float64"),
        ({"x_train": images(), "y_train": [[1, 1], [0, 1], [0, 1], [0, 1]]}, "not one-hot"),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "x_test": images(1), "y_test": [2]}, "test labels are 2..2"),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "classes": ["a", "b", "c"]}, "class 'c' (label 2) has no training image"),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "classes": ["a", "a"]}, "different names"),
        ({"x_train": images(), "y_train": [0, 1, 0, -1], "classes": ["a", "b"]}, "-1..1"),
        ({"x_train": images(), "y_train": [0, 1, 0, 1], "classes": np.array(["a", "b"], object)}, "classes"),
    ],
)
def test_npz_refused(tmp_path, arrays, said):
    """Wrong keys, shapes, types, ranges and labels are Invalid, with what was found and what is expected."""
    path = write_npz(tmp_path / "a.npz", **arrays)
    message = refused(path)
    assert said in message and path in message


def test_npz_is_never_unpickled(tmp_path):
    """An object array in an .npz is a pickle: it is refused and does not run."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    refused(write_npz(tmp_path / "a.npz", x_train=np.array([Evil()], object), y_train=[0]))
    assert not (tmp_path / "ran").exists()


def test_a_damaged_npz(tmp_path):
    """A file cut short, no .npz at all, a lone .npy or bytes that are no array: Invalid with the path."""
    path = tmp_path / "a.npz"
    whole = write_npz(path, x_train=images(), y_train=[0, 1, 0, 1]) and path.read_bytes()
    buffer = io.BytesIO()
    np.save(buffer, images())
    for data in (whole[:-30], whole[:30], b"", b"text", buffer.getvalue()):
        path.write_bytes(data)
        assert str(path) in refused(str(path))
    assert "no array" in refused(write_zip(path, {"x_train": b"text", "y_train": b"text"}))
