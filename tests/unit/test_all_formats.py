"""One data set in every format is one data set; a validation part is understood in each."""

import numpy as np
import pytest

from tests.support import layouts
from tests.support.datasets import data_id, read_source


def read(name, folder, of):
    """Write pictures in a format, and read them."""
    write, keys = layouts.FORMATS[name]
    return read_source(write(folder / "set", of), **keys)


def ident(source):
    """Return the id of all that was read."""
    return data_id(source, source.train, source.test)


@pytest.mark.parametrize("name", [name for name in layouts.FORMATS if name != "class folders"])
def test_every_format_gives_one_data_set(tmp_path, name):
    """The same images give the same data id, however they are kept."""
    of = layouts.pictures()
    reference = read("class folders", tmp_path / "folders", of)
    found = read(name, tmp_path, of)
    assert found.classes == layouts.CLASSES
    assert ident(found) == ident(reference)


def test_idx(tmp_path):
    """IDX files give what an .npz of gray images without names gives."""
    of = layouts.pictures(gray=True)
    images = {
        f"{key}_{part}": value
        for part, pair in layouts.arrays(of).items()
        for key, value in zip("xy", pair, strict=True)
    }
    np.savez(tmp_path / "a.npz", **images)
    reference = read_source(str(tmp_path / "a.npz"))
    assert ident(read_source(layouts.idx(tmp_path / "set", of))) == ident(reference)


SHIPPED = ("class folders", "table", "webdataset", "parquet", "tfrecords", "npz", "medmnist")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_validation_part_ends_the_training_part(tmp_path, name):
    """Its images follow those of the training part, flagged, in every format."""
    of = layouts.pictures(parts={"train": 9, "val": 3, "test": 6})
    found = read(name, tmp_path, of)
    assert found.train.validation.tolist() == [False] * 9 + [True] * 3
    pixels = np.stack([picture.pixels for picture in of])
    assert np.array_equal(found.train.images[:], pixels[:12])
    assert np.array_equal(found.test.images[:], pixels[12:])
    assert found.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2]
