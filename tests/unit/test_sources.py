"""What `sources.read` promises: the same arrays of the same bytes, and one sentence for whatever is wrong."""

import gzip
import hashlib
import http.server
import io
import logging
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from job import archives, downloads, errors, sources

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image, format="PNG", **options):
    """The bytes of an image: a Pillow image, an array or a colour of 4 x 4 pixels."""
    if isinstance(image, tuple):
        image = Image.new("RGB", (4, 4), image)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def two_classes(**more):
    """The smallest folder that can be read, plus other files: {name: bytes}."""
    return {"train/cat/1.png": encoded(RED), "train/dog/1.png": encoded(GREEN), **more}


def write_folder(root, files):
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return str(root)


def write_tar(path, files, mode="w:gz", extra=()):
    """A tar of {name: bytes} and of extra TarInfo."""
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return str(path)


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def refused(*args, error=errors.Invalid, **options):
    """The one sentence `read` refuses with."""
    with pytest.raises(error) as caught:
        sources.read(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def one_pixel(tmp_path, name, data, **options):
    """The top left pixel of an image file, read as the first of a folder."""
    files = {f"a/{name}": data, f"b/{name}": data}
    return sources.read(write_folder(tmp_path / "set", files), **options).train.images[0, 0, 0].tolist()


# --- CIFAR-10 ---


def python2_string(data):
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data


def python2_batch(data, labels):
    """A batch pickled as Python 2 with its numpy did: strings of bytes, numpy.core, protocol 2."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01"
    array += b"M" + struct.pack("<H", len(data)) + b"M" + struct.pack("<H", 3072) + b"\x86"
    array += b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    array += python2_string(data.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + python2_string(b"data") + array + python2_string(b"labels") + numbers + b"u."


def python3_batch(data, labels):
    return pickle.dumps({b"data": data, b"labels": list(labels)}, protocol=2)


def cifar_files(batch=python3_batch):
    """A tiny CIFAR-10: (members, images [60, 3, 32, 32] of the five training batches and the test batch, labels)."""
    images = np.random.default_rng(0).integers(0, 256, (60, 3072), np.uint8)
    labels = [i % 10 for i in range(60)]
    meta = {b"label_names": [f"class{i}".encode() for i in range(10)], b"num_vis": 3072}
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps(meta, protocol=2)}
    for i, name in enumerate([*sources.CIFAR10_TRAIN, "test_batch"]):
        files[f"cifar-10-batches-py/{name}"] = batch(images[i * 10 : i * 10 + 10], labels[i * 10 : i * 10 + 10])
    return {**files, "cifar-10-batches-py/readme.html": b"<p>"}, images.reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize("batch", [python2_batch, python3_batch])
def test_cifar10_is_read_back_equal(tmp_path, batch):
    """The official layout is read to [n, height, width, channel] in order, of Python 2 and of Python 3 pickles."""
    files, images, labels = cifar_files(batch)
    path = write_tar(tmp_path / sources.CIFAR10_NAME, files)
    for location in (path, str(tmp_path)):
        read = sources.read("cifar10", location=location)
        assert read.name == "CIFAR-10" and read.classes == tuple(f"class{i}" for i in range(10))
        assert np.array_equal(read.train.images, images[:50].transpose(0, 2, 3, 1))
        assert np.array_equal(read.test.images, images[50:].transpose(0, 2, 3, 1))
        assert read.train.labels.tolist() == labels[:50] and read.test.labels.tolist() == labels[50:]
        assert read.train.images.dtype == np.uint8 and read.train.labels.dtype == np.int64


def test_cifar10_is_resized(tmp_path):
    """data.image_size applies to CIFAR-10 when it differs from 32."""
    path = write_tar(tmp_path / "c.tar.gz", cifar_files()[0])
    assert sources.read("cifar10", 16, path).train.images.shape == (50, 16, 16, 3)


@pytest.mark.parametrize("member", ["data_batch_3", "batches.meta"])
def test_a_pickle_runs_nothing(tmp_path, member):
    """A pickle that names os.system is refused with member and global, and the command does not run."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    files = cifar_files()[0]
    files[f"cifar-10-batches-py/{member}"] = pickle.dumps({b"data": Evil(), b"labels": [0]}, protocol=2)
    message = refused("cifar10", location=write_tar(tmp_path / "c.tar.gz", files))
    assert f"cifar-10-batches-py/{member}" in message and f"{os.system.__module__}.system" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["cbuiltins\neval\n", "c__builtin__\neval\n", "cnumpy\nload\n", "c_codecs\ndecode\n"])
def test_no_other_global_is_reached(name):
    """Neither builtins nor other functions of the permitted modules can be named by a pickle."""
    with pytest.raises(errors.Invalid, match=r"member 'm': the pickle asks for \w+\.\w+"):
        archives.unpickle(b"\x80\x02" + name.encode() + b".", "m")


@pytest.mark.parametrize("data", [b"", b"\x80\x02", b"no pickle", b"\x80\x02r\xff\xff\xff\xff.", python3_batch(np.zeros((1, 3072)), [0])])
def test_a_damaged_pickle_is_named(data):
    """A pickle that is cut short, no pickle or holds floats is Invalid and names its member."""
    with pytest.raises(errors.Invalid, match="member 'm' is no readable pickle"):
        archives.unpickle(data, "m")


def test_a_batch_of_another_shape_is_refused(tmp_path):
    """A batch with fewer labels than images, or labels beyond 9, is Invalid and named."""
    for labels in ([0] * 9, [10] * 10, "0" * 10):
        files = cifar_files()[0]
        files["cifar-10-batches-py/test_batch"] = pickle.dumps({b"data": np.zeros((10, 3072), np.uint8), b"labels": labels}, protocol=2)
        assert "test_batch" in refused("cifar10", location=write_tar(tmp_path / "c.tar.gz", files))


def test_a_missing_batch_is_named(tmp_path):
    """An archive without one of the batches is Invalid, naming the member and the official archive."""
    files = cifar_files()[0]
    del files["cifar-10-batches-py/data_batch_4"]
    message = refused("cifar10", location=write_tar(tmp_path / "c.tar.gz", files))
    assert "data_batch_4" in message and sources.CIFAR10_URL in message


def test_a_copy_in_the_cache_of_keras_counts_only_whole(tmp_path, monkeypatch):
    """Keras' archive is found under its own name in KERAS_HOME, and only with the SHA-256 Keras compares."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "datasets" / "cifar-10-batches-py-target_archive"
    path.parent.mkdir()
    write_tar(path, cifar_files()[0])
    assert sources.cached_cifar10() != path
    monkeypatch.setattr(sources, "CIFAR10_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert sources.cached_cifar10() == path
    assert len(sources.read("cifar10").train.images) == 50


def test_the_names_are_those_of_keras():
    """URL, SHA-256 and cache name are the ones in the installed Keras, read as text."""
    path = os.path.join(os.path.dirname(np.__file__), "../keras/src/datasets/cifar10.py")
    if not os.path.exists(path):
        pytest.skip("keras is not installed")
    with open(path) as file:
        text = file.read()
    assert sources.CIFAR10_URL in text and sources.CIFAR10_SHA256 in text
    assert f'"{sources.CIFAR10_IN_KERAS[0].removesuffix("_archive")}"' in text


def test_no_heavy_import():
    """Importing sources imports neither scikit-learn nor Keras nor TensorFlow."""
    code = "import sys; from job import sources; print({'sklearn', 'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# --- digits ---


def test_digits():
    """The digits are 32 x 32 (or image_size), three equal channels, the full 0..255, without a test part."""
    read = sources.read("digits", location="")
    assert read.train.images.shape == (1797, 32, 32, 3) and read.train.images.dtype == np.uint8
    assert (read.train.images.min(), read.train.images.max()) == (0, 255)
    assert (read.train.images == read.train.images[..., :1]).all()
    assert read.classes == tuple("0123456789") and read.name == "digits" and read.test is None
    assert sources.read("digits", 8).train.images.shape == (1797, 8, 8, 3)


# --- .npz ---


def images(n=4, *shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, 256, (n, *(shape or (5, 6, 3)))).astype(dtype)


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


# --- folders ---


def test_folder_with_train_and_test(tmp_path):
    """Classes are sorted by name, images by file name; suffixes in any case; two reads are equal."""
    files = {
        "train/dog/b.PNG": encoded(GREEN),
        "train/dog/a.bmp": encoded(BLUE, "BMP"),
        "train/cat/1.webp": encoded(RED, "WEBP", lossless=True),
        "test/dog/1.Png": encoded(WHITE),
    }
    path = write_folder(tmp_path / "pets", files)
    read = sources.read(path)
    assert read.name == "pets" and read.classes == ("cat", "dog")
    assert read.train.images[:, 0, 0].tolist() == [list(RED), list(BLUE), list(GREEN)]
    assert read.train.labels.tolist() == [0, 1, 1] and read.test.labels.tolist() == [1]
    assert read.test.images.shape == (1, 4, 4, 3) and read.train.images.dtype == np.uint8
    assert np.array_equal(sources.read(path).train.images, read.train.images)


def test_folder_of_classes(tmp_path):
    """Without train/ the class folders at the top are all training part; JPEG is read too."""
    read = sources.read(write_folder(tmp_path / "set", {"a/1.jpg": encoded(WHITE, "JPEG"), "b/1.jpeg": encoded(WHITE, "JPEG")}))
    assert read.classes == ("a", "b") and read.test is None and (read.train.images == 255).all()


def test_what_is_no_image_is_ignored_and_counted(tmp_path, caplog):
    """Hidden files are passed over in silence; other files, and folders beside train/ and test/, are counted in a warning."""
    more = {"train/cat/.DS_Store": b"", "train/cat/Thumbs.db": b"", "README.md": b"", "val/cat/1.png": b"no image"}
    with caplog.at_level(logging.WARNING):
        read = sources.read(write_folder(tmp_path / "set", two_classes(**more)))
    assert len(read.train.images) == 2
    assert [record.name for record in caplog.records] == ["job.pictures"] and "3 files are not used" in caplog.text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (two_classes(**{"train/empty/notes.txt": b""}), "class folder 'train/empty'"),
        (two_classes(**{"test/bird/1.png": encoded(RED)}), "bird in test/ but not in train/"),
        (two_classes(**{"train/cat/more/1.png": encoded(RED)}), "'train/cat/more/1.png'"),
        (two_classes(**{"Test/cat/1.png": encoded(RED)}), "folder 'Test' of"),
        ({"Training/cat/1.png": encoded(RED), "test/cat/1.png": encoded(RED)}, "rename it to 'train'"),
        ({"a/1.png": encoded(RED), "a/2.png": encoded(RED)}, "only 1 class"),
        ({"1.png": encoded(RED)}, "no class folder: expected train/<class>/<image>"),
        ({"train/1.png": encoded(RED)}, "no class folder in train/"),
        (two_classes(**{"train/cat/2.png": encoded(RED)[:45]}), "image 'train/cat/2.png'"),
        (two_classes(**{"train/cat/2.png": encoded(RED)[:-13]}), "image 'train/cat/2.png'"),  # the last checksum
        (two_classes(**{"train/cat/2.jpg": encoded(images(1, 64, 64)[0], "JPEG")[:-200]}), "image 'train/cat/2.jpg'"),
        (two_classes(**{"train/cat/2.png": b"GIF89a no image"}), "image 'train/cat/2.png'"),
        (two_classes(**{"train/cat/2.png": b""}), "image 'train/cat/2.png'"),
        (two_classes(**{"train/cat/2.png": encoded(Image.new("L", (4, 4)), "GIF")}), "no PNG, JPEG, BMP, WEBP"),
    ],
)
def test_folder_refused(tmp_path, files, said):
    """An empty class, an unknown one, a wrong depth and a damaged image are Invalid, naming folder or file."""
    path = write_folder(tmp_path / "set", files)
    message = refused(path)
    assert said in message and f'data.source = "{path}"' in message


def test_an_empty_folder_and_an_empty_class(tmp_path):
    """A folder without anything, and a class folder that is quite empty, are Invalid."""
    (tmp_path / "set").mkdir()
    assert "no class folder" in refused(str(tmp_path / "set"))
    path = write_folder(tmp_path / "set", two_classes())
    (tmp_path / "set/train/fox").mkdir()
    assert "'train/fox'" in refused(path)


def test_links_on_the_own_disk(tmp_path):
    """In a folder links are followed; one to nothing is Invalid, one to its own parent ends."""
    path = write_folder(tmp_path / "set", two_classes())
    (tmp_path / "set/train/dog/2.png").symlink_to(tmp_path / "set/train/cat/1.png")
    (tmp_path / "set/self").symlink_to(tmp_path / "set")
    assert len(sources.read(path).train.images) == 3
    (tmp_path / "set/train/dog/3.png").symlink_to(tmp_path / "gone")
    assert "neither a file nor a folder" in refused(path)


# --- sizes ---


def test_unequal_sizes(tmp_path):
    """Images of two sizes are Invalid with both sizes, unless data.image_size makes them equal."""
    files = two_classes(**{"test/cat/1.png": encoded(Image.new("RGB", (9, 6), RED))})
    path = write_folder(tmp_path / "set", files)
    message = refused(path)
    assert "9 x 6" in message and "4 x 4" in message and "'train/cat/1.png'" in message and "set data.image_size" in message
    read = sources.read(path, 5)
    assert read.train.images.shape == (2, 5, 5, 3) and read.test.images[0, 0, 0].tolist() == list(RED)


def test_height_and_width(tmp_path):
    """data.image_size may be [height, width], for every kind of source; images that are not square stay so without it."""
    folder = write_folder(tmp_path / "set", {f"{c}/1.png": encoded(Image.new("RGB", (9, 6), RED)) for c in "ab"})
    npz = write_npz(tmp_path / "a.npz", x_train=images(2, 6, 9), y_train=[0, 1])
    for source in (folder, npz):
        assert sources.read(source).train.images.shape == (2, 6, 9, 3)
        assert sources.read(source, [4, 12]).train.images.shape == (2, 4, 12, 3)
    assert sources.read("digits", [8, 12]).train.images.shape == (1797, 8, 12, 3)
    assert "data.image_size = [0, 4]" in refused(npz, [0, 4])


def test_all_that_is_damaged_and_all_sizes_are_said_at_once(tmp_path):
    """Who mends images need not do so one by one: the damaged ones are all named; of the sizes the extremes and the most frequent."""
    files = two_classes(**{f"train/cat/{i}.png": encoded(Image.new("RGB", (size, 6), RED)) for i, size in enumerate((5, 9, 7, 7, 7))})
    message = refused(write_folder(tmp_path / "sizes", files))
    for words in ("4 x 4 (1 images, 'train/dog/1.png')", "9 x 6 (1 images,", "7 x 6 (3 images,", "[height, width]"):
        assert words in message
    assert "5 x 6" not in message and "and 1 more sizes" in message
    message = refused(write_folder(tmp_path / "bad", two_classes(**{f"train/dog/{i}.jpg": b"no image" for i in (7, 8, 9)})))
    assert "image 'train/dog/7.jpg'" in message and "so are train/dog/8.jpg, train/dog/9.jpg" in message


def test_making_smaller_averages(tmp_path):
    """Making an image smaller averages over its pixels: a fine chessboard becomes grey, not black or white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = sources.read(write_folder(tmp_path / "set", {"a/1.png": encoded(board), "b/1.png": encoded(board)}), 8).train.images
    assert pixels.shape == (2, 8, 8, 3) and 120 < pixels.min() <= pixels.max() < 135


def test_an_image_size_that_cannot_be(tmp_path):
    """data.image_size below one pixel is Invalid."""
    assert "data.image_size = 0" in refused("digits", 0)


@pytest.mark.parametrize("side", [7072, 10000, 20000])
def test_a_huge_image_is_refused(tmp_path, side):
    """More than 50 million pixels are refused by the header alone, naming the file and the size."""
    header = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b"")):
        header += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", archives.zlib.crc32(kind + data))
    message = refused(write_folder(tmp_path / "set", {"a/big.png": header, "b/big.png": header}))
    assert "'a/big.png'" in message and (f"{side} x {side}" in message or str(side * side) in message)


# --- kinds of images ---


def test_grey_and_palette(tmp_path):
    """Grey, one bit and palette images become RGB."""
    assert one_pixel(tmp_path / "l", "1.png", encoded(Image.new("L", (4, 4), 77))) == [77] * 3
    assert one_pixel(tmp_path / "1", "1.png", encoded(Image.new("1", (4, 4), 1))) == [255] * 3
    assert one_pixel(tmp_path / "p", "1.png", encoded(Image.new("RGB", (4, 4), RED).quantize())) == list(RED)


def test_alpha_goes_over_white(tmp_path):
    """Transparent pixels become white and half transparent ones half white, of RGBA, LA and palette images."""
    assert one_pixel(tmp_path / "a", "1.png", encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) == [255] * 3
    assert one_pixel(tmp_path / "b", "1.png", encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 128)))) == [255, 127, 127]
    assert one_pixel(tmp_path / "c", "1.png", encoded(Image.new("LA", (4, 4), (0, 0)))) == [255] * 3
    assert one_pixel(tmp_path / "d", "1.png", encoded(Image.new("P", (4, 4), 0), transparency=0)) == [255] * 3
    assert one_pixel(tmp_path / "e", "1.webp", encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "WEBP", lossless=True)) == [255] * 3


def test_cmyk(tmp_path):
    """A CMYK JPEG becomes RGB, not inverted."""
    red, green, blue = one_pixel(tmp_path, "1.jpg", encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))
    assert red > 245 and green < 10 and blue < 10


@pytest.mark.parametrize(("deep", "flat"), [(0, 0), (128, 0), (129, 1), (257 * 100, 100), (32768, 128), (65535, 255)])
def test_16_bit_grey_is_scaled(tmp_path, deep, flat):
    """16-bit grey is scaled to 8 bits by 255/65535, rounded, where Pillow's convert() would clip it to white."""
    assert one_pixel(tmp_path, "1.png", encoded(np.full((4, 4), deep, np.uint16))) == [flat] * 3


def test_exif_orientation(tmp_path):
    """An image its EXIF data say lies on its side is turned upright before its size is looked at."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = WHITE
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left becomes the top
    data = encoded(pixels, "JPEG", exif=exif, quality=100)
    read = sources.read(write_folder(tmp_path / "set", {"a/1.jpg": data, "b/1.jpg": data})).train.images
    assert read.shape == (2, 16, 8, 3) and read[0, :7].min() > 240 and read[0, 9:].max() < 15


# --- archives ---


@pytest.mark.parametrize("top", ["", "./", "pets/", "./pets-1.0/"])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip"])
def test_archives_equal_the_folder(tmp_path, suffix, top):
    """An archive of a folder, with or without one folder around it, in any order, reads as the folder does."""
    files = two_classes(**{"test/dog/1.png": encoded(BLUE), "train/cat/0.png": encoded(WHITE)})
    folder = sources.read(write_folder(tmp_path / "set", files))
    packed = {f"{top}{name}": files[name] for name in reversed(files)}
    packed |= {f"{top}._cat.png": b"", "__MACOSX/pets/train/x/1.png": b"", f"{top}README": b""}
    path = tmp_path / f"pets.{suffix}"
    mode = {"tgz": "w:gz", "tar": "w"}.get(suffix, f"w:{suffix[4:]}")
    read = sources.read(write_zip(path, packed) if suffix == "zip" else write_tar(path, packed, mode))
    assert read.name == path.name and read.classes == folder.classes
    for part in ("train", "test"):
        assert np.array_equal(getattr(read, part).images, getattr(folder, part).images)
        assert np.array_equal(getattr(read, part).labels, getattr(folder, part).labels)


def test_classes_at_the_top_of_an_archive(tmp_path):
    """<class>/<image> and one folder around it are told apart."""
    files = {"a/1.png": encoded(RED), "b/1.png": encoded(RED)}
    for n, top in enumerate(("", "around/")):
        packed = {f"{top}{name}": data for name, data in files.items()}
        assert sources.read(write_zip(tmp_path / f"{n}.zip", packed)).classes == ("a", "b")


@pytest.mark.parametrize("kind", ["tar", "gztar", "zip"])
def test_archives_as_tools_make_them(tmp_path, caplog, kind):
    """Folders are members too in what tar and zip write: none is taken for a file, and an empty class is noticed."""
    write_folder(tmp_path / "in/pets", two_classes())
    with caplog.at_level(logging.WARNING):
        read = sources.read(shutil.make_archive(str(tmp_path / "a"), kind, tmp_path / "in", "pets"))
    assert read.classes == ("cat", "dog") and len(read.train.images) == 2 and not caplog.records
    (tmp_path / "in/pets/train/fox").mkdir()
    assert "'pets/train/fox'" in refused(shutil.make_archive(str(tmp_path / "b"), kind, tmp_path / "in"))


@pytest.mark.parametrize("name", ["../evil.png", "train/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    """A member with an absolute name or with '..' makes the archive Invalid, tar and zip; nothing is written."""
    for write, path in ((write_tar, tmp_path / "a.tar.gz"), (write_zip, tmp_path / "a.zip")):
        message = refused(write(path, two_classes(**{name: encoded(RED)})))
        assert repr(name) in message and "leads out" in message
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "a.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    """A link, device or pipe in a tar makes it Invalid, by name."""
    info = tarfile.TarInfo("train/cat/2.png")
    info.type, info.linkname = kind, "/etc/passwd"
    message = refused(write_tar(tmp_path / "a.tar", two_classes(), "w", [info]))
    assert "'train/cat/2.png'" in message and "link or a device" in message


def test_links_in_a_zip_are_refused(tmp_path):
    """A symbolic link in a zip makes it Invalid, by name."""
    path = tmp_path / "a.zip"
    write_zip(path, two_classes())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("train/cat/2.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "link or a device" in refused(str(path))


def test_bombs_are_refused(tmp_path):
    """A member that says it has more than 200 MB is refused before it is read, in tar and zip."""
    bomb = two_classes(**{"train/cat/2.png": bytes(archives.MEMBER_BYTES + 1)})
    assert "200,000,001 bytes" in refused(write_zip(tmp_path / "a.zip", bomb))
    info = tarfile.TarInfo("train/cat/2.png")
    info.size = 10**12
    (tmp_path / "a.tar").write_bytes(info.tobuf())
    assert "1,000,000,000,000 bytes" in refused(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_an_archive_cut_short_is_refused(tmp_path, suffix):
    """Wherever an archive is cut, between members too, it is Invalid and never a smaller data set."""
    rng = np.random.default_rng(2)
    files = {f"{c}/{i}.png": encoded(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)) for c in "ab" for i in range(3)}
    path = tmp_path / f"a.{suffix}"
    write_zip(path, files) if suffix == "zip" else write_tar(path, files, f"w:{suffix[4:]}" if suffix != "tar" else "w")
    whole = path.read_bytes()
    end = len(files) * 1024 if suffix == "tar" else len(whole) - 1  # a tar ends with kilobytes of zeros
    for cut in sorted({*range(0, end, 512), *range(1, end, 331), end}):
        path.write_bytes(whole[:cut])
        assert str(path) in refused(str(path))
    path.write_bytes(whole)
    assert len(sources.read(str(path)).train.images) == 6


def test_a_flipped_bit_is_noticed(tmp_path):
    """A broken header inside a tar, and a wrong checksum of a gzip, are Invalid: tarfile alone takes them for the end."""
    files = {f"{c}/{i}.png": encoded(RED) for c in "ab" for i in range(3)}
    path = tmp_path / "a.tar"
    data = bytearray(write_tar(path, files, "w") and path.read_bytes())
    data[4 * 1024] ^= 1  # the name in the fifth header
    path.write_bytes(data)
    assert "no end of archive" in refused(str(path))
    path = tmp_path / "a.tar.gz"
    data = bytearray(gzip.compress(write_tar(tmp_path / "b.tar", files, "w") and (tmp_path / "b.tar").read_bytes()))
    path.write_bytes(data)
    assert len(sources.read(str(path)).train.images) == 6
    data[-8] ^= 1  # the checksum
    path.write_bytes(data)
    assert str(path) in refused(str(path))


def test_an_encrypted_zip_is_refused(tmp_path):
    """A member flagged as encrypted is Invalid: there is nobody to ask for a password."""
    path = tmp_path / "a.zip"
    data = bytearray(write_zip(path, two_classes()) and path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted" in refused(str(path))


# --- where it is found ---


@pytest.mark.parametrize("where", ["", "cifar-10", "/nowhere/a.npz", "gs://bucket/a.npz", "ftp://host/a.npz", "a.rar"])
def test_what_is_not_supported(tmp_path, monkeypatch, where):
    """What is not there or of no kind that is read is Invalid (78) and the message lists what is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    message = refused(where)
    assert f'data.source = "{where}"' in message and '"cifar10", "digits", a folder' in message
    assert errors.Invalid.exit_code == 78


def test_a_location_is_blamed_by_its_name(tmp_path):
    """With --data or JOB_DATA the message names them, and the name of the source stays that of the experiment."""
    assert '--data (or JOB_DATA) = "/nowhere"' in refused("cifar10", location="/nowhere")
    assert "cifar-10-python.tar.gz" in refused("cifar10", location=str(tmp_path))
    path = write_folder(tmp_path / "set", two_classes())
    assert sources.read("https://host/pets.zip", location=path).name == "pets.zip"


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `files` of its server; /short breaks off, /503 is busy."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        data = self.server.files.get(path)
        if path == "/503.zip" or data is None:
            return self.send_error(503 if path == "/503.zip" else 404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (path == "/short.zip") * 9))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine, with .url, .files and .asked."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.files, server.asked, server.url = {}, [], f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_url_is_downloaded_once(tmp_path, server):
    """An archive at a URL is read from the cache folder from the second time on, and nothing else is left there."""
    server.files["/x/pets.zip"] = open(write_zip(tmp_path / "pets.zip", two_classes()), "rb").read()
    for _ in range(2):
        read = sources.read(f"{server.url}/x/pets.zip?token=secret", cache_dir=tmp_path / "cache")
    assert read.name == "pets.zip" and read.classes == ("cat", "dog") and server.asked == ["/x/pets.zip"]
    assert len(os.listdir(tmp_path / "cache/downloads")) == 1


def test_cifar10_by_url(tmp_path, server):
    """The location of cifar10 may be a URL of the archive."""
    server.files["/c.tar.gz"] = open(write_tar(tmp_path / "c.tar.gz", cifar_files()[0]), "rb").read()
    assert len(sources.read("cifar10", None, f"{server.url}/c.tar.gz", tmp_path / "cache").test.labels) == 10


def test_cifar10_is_downloaded_when_keras_has_none(tmp_path, server, monkeypatch):
    """Without a location and without Keras' copy the official archive comes into the cache folder, once, by its hash."""
    data = open(write_tar(tmp_path / "c.tar.gz", cifar_files()[0]), "rb").read()
    server.files["/c.tar.gz"] = data + b"changed"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(sources, "CIFAR10_URL", f"{server.url}/c.tar.gz")
    monkeypatch.setattr(sources, "CIFAR10_SHA256", hashlib.sha256(data).hexdigest())
    assert "SHA-256" in refused("cifar10", cache_dir=tmp_path / "cache")
    server.files["/c.tar.gz"] = data
    for _ in range(2):
        assert len(sources.read("cifar10", cache_dir=tmp_path / "cache").train.images) == 50
    assert len(server.asked) == 2 and os.listdir(tmp_path / "cache") == [sources.CIFAR10_NAME]


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/none.zip", errors.Invalid, "404"),
        ("/503.zip", errors.Unreachable, "503"),
        ("/short.zip", errors.Unreachable, "broke off 9 bytes"),
    ],
)
def test_a_failed_download_leaves_nothing(tmp_path, server, path, error, said):
    """A missing file is Invalid, a busy server or a broken connection Unreachable; no part of a file stays, no secret is shown."""
    server.files["/short.zip"] = b"PK"
    message = refused(f"{server.url}{path}?token=secret", cache_dir=tmp_path, error=error)
    assert said in message and "secret" not in message
    assert os.listdir(tmp_path / "downloads") == []


def test_no_server(tmp_path, monkeypatch):
    """A refused connection is Unreachable (69): waiting may mend it."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "try again" in refused(f"http://127.0.0.1:{port}/a.zip", cache_dir=tmp_path, error=errors.Unreachable)


def test_another_hash_is_refused(tmp_path, server):
    """A download whose SHA-256 differs is Invalid with both hashes and does not take the name; the right one does."""
    server.files["/a"] = b"abc"
    with pytest.raises(errors.Invalid, match="has the SHA-256 ba7816bf.*, not 0000: get the file"):
        downloads.download(f"{server.url}/a", tmp_path / "a", "0000")
    assert os.listdir(tmp_path) == []
    assert downloads.download(f"{server.url}/a", tmp_path / "a", hashlib.sha256(b"abc").hexdigest()).read_bytes() == b"abc"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_said(tmp_path):
    """A full disk is Unreachable (69) and said to be one."""
    with pytest.raises(errors.Unreachable, match="the disk of .* is full"):
        with downloads._writing(tmp_path / "a"), open("/dev/full", "wb", buffering=0) as full:
            downloads._write([b"abc"], full)


def test_a_cache_that_cannot_be_written(tmp_path, server):
    """A cache folder that cannot be made is Invalid and names JOB_CACHE_DIR."""
    (tmp_path / "file").write_bytes(b"")
    server.files["/a.zip"] = b"PK"
    assert "JOB_CACHE_DIR" in refused(f"{server.url}/a.zip", cache_dir=tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://me:secret@host:8/a/b.zip?token=secret#secret", "https://host:8/a/b.zip"),
        ("https://host/b.zip?mail=secret@host", "https://host/b.zip"),
        ("https://me:secret/secret@host/b.zip", "https://..."),
        ("https://[::1]:80/b.zip", "https://[::1]:80/b.zip"),
        ("/data/a?b#c.zip", "/data/a?b#c.zip"),
    ],
)
def test_no_secret_of_a_url_is_shown(url, said):
    """User, password, query and fragment of a URL appear in no message."""
    assert downloads.shown(url) == said


@pytest.mark.parametrize("key", ["../a.png", "a/../../b.png", "/etc/a.png", "a//b.png", "./a.png"])
def test_no_object_of_a_bucket_leads_elsewhere(key):
    """A key that would be written outside of the folder for a bucket's objects is Invalid, by name."""
    downloads.check_below("s3://b/p", ["a/b.png", "ü x.png", "..a"])
    with pytest.raises(errors.Invalid, match="is no path below it"):
        downloads.check_below("s3://b/p", ["a/b.png", key])
