"""CIFAR-10's archive: found, checked by its hash, read back equal, and its pickles run no code."""

import hashlib
import os
import pickle

import numpy as np
import pytest

from job import errors
from job.data.formats import cifar10, pickles
from tests.support.cifar_archive import cifar_files, python2_batch, python3_batch
from tests.support.datasets import read_source, refused, write_tar


@pytest.mark.parametrize("batch", [python2_batch, python3_batch])
def test_cifar10_is_read_back_equal(tmp_path, batch):
    """Python 2 and Python 3 pickles are read to [n, height, width, channel], in order."""
    files, images, labels = cifar_files(batch)
    path = write_tar(tmp_path / cifar10.NAME, files)
    for location in (path, str(tmp_path)):
        read = read_source("cifar10", location=location)
        assert read.name == "CIFAR-10"
        assert read.classes == tuple(f"class{i}" for i in range(10))
        assert np.array_equal(read.train.images[:], images[:50].transpose(0, 2, 3, 1))
        assert np.array_equal(read.test.images[:], images[50:].transpose(0, 2, 3, 1))
        assert read.train.labels.tolist() == labels[:50]
        assert read.test.labels.tolist() == labels[50:]
        assert read.train.images[:].dtype == np.uint8
        assert read.train.labels.dtype == np.int64


def test_cifar10_is_resized(tmp_path):
    """data.image_size applies to CIFAR-10 when it differs from 32."""
    path = write_tar(tmp_path / "c.tar.gz", cifar_files()[0])
    assert read_source("cifar10", 16, path).train.images.shape == (50, 16, 16, 3)


@pytest.mark.parametrize("member", ["data_batch_3", "batches.meta"])
def test_a_pickle_runs_nothing(tmp_path, member):
    """A pickle that names os.system is refused by member and global, and runs no command."""

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    files = cifar_files()[0]
    files[f"cifar-10-batches-py/{member}"] = pickle.dumps(
        {b"data": Evil(), b"labels": [0]}, protocol=2
    )
    message = refused("cifar10", location=write_tar(tmp_path / "c.tar.gz", files))
    assert f"cifar-10-batches-py/{member}" in message
    assert f"{os.system.__module__}.system" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["cbuiltins\neval\n", "c__builtin__\neval\n", "cnumpy\nload\n", "c_codecs\ndecode\n"]
)
def test_no_other_global_is_reached(name):
    """A pickle can name neither builtins nor other functions of the permitted modules."""
    with pytest.raises(errors.Invalid, match=r"member 'm': the pickle asks for \w+\.\w+"):
        pickles.unpickle(b"\x80\x02" + name.encode() + b".", "m")


FLOATS = python3_batch(np.zeros((1, 3072)), [0])


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02", b"no pickle", b"\x80\x02r\xff\xff\xff\xff.", FLOATS]
)
def test_a_damaged_pickle_is_named(data):
    """A pickle that is truncated, invalid or holds floats is Invalid; its member is named."""
    with pytest.raises(errors.Invalid, match="member 'm' is not a readable pickle"):
        pickles.unpickle(data, "m")


# The text of a small pickle, encoded ten thousand times.
REPEATED = pickle.dumps("x" * 1000)[:-1] + b"c_codecs\nencode\nq\x01"
REPEATED += b"h\x01h\x00\x85R" * 10_000 + b"."


@pytest.mark.parametrize(
    ("data", "words"),
    [
        # "remember this as number ...": a table of 2.1 GB
        (b"\x80\x02}r\xff\xff\xff\x07.", "object 134,217,727 of 2"),
        (b"\x80\x02}p134217727\n.", "object 134,217,727 of 2"),
        (b"\x80\x02" + b"]" * 500_001 + b".", "more than 500,000 opcodes"),
        (b"\x80\x05\x96\x00\x00\x00\x80\x00\x00\x00\x00.", "expected 2147483648 bytes"),
        (REPEATED, "again and again"),
    ],
)
def test_a_pickle_takes_no_more_memory_than_it_has_bytes(data, words):
    """Numbers, lengths and repetitions that would fill the memory are refused before they do."""
    with pytest.raises(errors.Invalid, match=f"member 'm' is not a readable pickle \\(.*{words}"):
        pickles.unpickle(data, "m")


def test_a_batch_of_another_shape_is_refused(tmp_path):
    """A batch with fewer labels than images, or with labels above 9, is Invalid and named."""
    for labels in ([0] * 9, [10] * 10, "0" * 10):
        files = cifar_files()[0]
        files["cifar-10-batches-py/test_batch"] = pickle.dumps(
            {b"data": np.zeros((10, 3072), np.uint8), b"labels": labels}, protocol=2
        )
        assert "test_batch" in refused("cifar10", location=write_tar(tmp_path / "c.tar.gz", files))


def test_a_missing_batch_is_named(tmp_path):
    """An archive that lacks a batch is Invalid; the error names it and the official archive."""
    files = cifar_files()[0]
    del files["cifar-10-batches-py/data_batch_4"]
    message = refused("cifar10", location=write_tar(tmp_path / "c.tar.gz", files))
    assert "data_batch_4" in message
    assert cifar10.URL in message


def test_a_copy_in_the_cache_of_keras_must_be_complete(tmp_path, monkeypatch):
    """Keras' archive is found by its own name in KERAS_HOME, but only with Keras' SHA-256."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = tmp_path / "datasets" / "cifar-10-batches-py-target_archive"
    path.parent.mkdir()
    write_tar(path, cifar_files()[0])
    assert cifar10.cached() != path
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert cifar10.cached() == path
    assert len(read_source("cifar10").train.images) == 50


def test_the_names_are_those_of_keras():
    """URL, SHA-256 and cache name are the ones in the installed Keras, read as text."""
    path = os.path.join(os.path.dirname(np.__file__), "../keras/src/datasets/cifar10.py")
    if not os.path.exists(path):
        pytest.skip("keras is not installed")
    with open(path) as file:
        text = file.read()
    assert cifar10.URL in text
    assert cifar10.SHA256 in text
    assert f'"{cifar10.IN_KERAS[0].removesuffix("_archive")}"' in text


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_cifar10_is_refused(tmp_path):
    """A pipe is refused, whether the location names it or its folder."""
    os.mkfifo(tmp_path / cifar10.NAME)
    for location in (tmp_path, tmp_path / cifar10.NAME):
        assert "neither a file nor a folder" in refused("cifar10", location=str(location))


def test_cifar100_is_recognized(tmp_path):
    """CIFAR-100 given for CIFAR-10 is named as what it is."""
    files = {f"cifar-100-python/{name}": b"" for name in ("train", "test", "meta")}
    path = write_tar(tmp_path / "c.tar.gz", files)
    assert "it looks like CIFAR-100 (" in refused("cifar10", location=path)
