"""Wrong records and arrays in files of other tools: one sentence each, with what to do."""

import gzip
import struct
import sys

import numpy as np
import pytest

from job.data.formats import idx, parquet, tfrecords
from job.sentences import machine_error
from tests.support import layouts
from tests.support.datasets import (
    RED,
    data_id,
    encoded,
    images,
    read_source,
    refused,
    write_folder,
    write_npz,
    write_tar,
)

PNG = encoded(RED)
PAIR = {"1.png": PNG, "1.cls": b"cat", "2.png": PNG, "2.cls": b"dog"}


# --- WebDataset ---


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"3.png": PNG}, "sample '3' has no label (.cls), 1 of 3 samples lack it: expected"),
        ({"a/3.cls": b"1"}, "sample 'a/3' has no image, 1 of 3 samples lack it: expected"),
        (
            {"1.jpg": PNG},
            "has the images 1.jpg, 1.png in one sample, whose name ends at",
        ),
        ({"3.png": PNG, "3.cls": b" "}, 'has the label "": expected a name, or a whole number'),
        ({"3.png": PNG, "3.cls": b"\xff"}, "'3.cls' of"),
        ({"3.png": PNG[:40], "3.cls": b"cat"}, "image '3.png' of"),
    ],
)
def test_wrong_samples(tmp_path, members, words):
    """A half pair, a damaged image or label is Invalid, with its name."""
    assert words in refused(write_tar(tmp_path / "a.tar", PAIR | members, "w"))


def test_a_field_that_is_missing(tmp_path):
    """The sentence names the fields that are there."""
    files = {"1.png": PNG, "1.json": b'{"breed": "cat", "age": 1}'}
    message = refused(write_tar(tmp_path / "a.tar", files, "w"), labels="species")
    assert "data.labels = 'species': '1.json' of" in message
    assert "has no such field, it has breed, age" in message


def test_shards_of_which_some_say_no_part(tmp_path):
    """Either each file names its part, or none does."""
    for name in ("train-0", "other"):
        write_tar(tmp_path / f"{name}.tar", PAIR, "w")
    assert "other.tar name no part, other files do: put train," in refused(str(tmp_path))
    (tmp_path / "train-0.tar").rename(tmp_path / "more.tar")
    assert len(read_source(str(tmp_path)).train.labels) == 4


def test_numbers_as_labels(tmp_path):
    """Text that counts without a gap is numbers, in their order; any other is names."""
    files = {f"{i:02}.png": PNG for i in range(11)}
    files |= {f"{i:02}.cls": b"%d\n" % i for i in range(11)}
    read = read_source(write_tar(tmp_path / "a.tar", files, "w"))
    assert read.classes == tuple(map(str, range(11)))
    files["10.cls"] = b"12"
    read = read_source(write_tar(tmp_path / "b.tar", files, "w"))
    assert read.classes == ("0", "1", "12", *map(str, range(2, 10)))


# --- Parquet ---


def write_parquet(path, **columns):
    """Write a Parquet file; return its path."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1]}, "has no such column of images, it has a: expected image or img or jpg"),
        ({"image": [PNG]}, "no such column of labels, it has image: expected label or labels"),
        ({"image": [{"url": "u"}], "label": [1]}, "column 'image' of"),
        ({"image": [PNG, PNG], "label": [0, None]}, "row 1 has the label null: expected a name"),
        ({"image": [PNG, PNG], "label": [0.5, 1.0]}, "row 0 has the label 0.5: expected a name"),
        ({"image": [PNG, PNG], "label": [-1, 0]}, "2 different labels, -1..0: expected 0..k-1"),
        ({"image": [PNG, None], "label": [0, 1]}, "image 'row 1' of"),
        ({"image": [PNG, PNG], "label": [0, 0]}, "there is only 1 class"),
        ({"image": ["a.png"], "label": [1]}, "is string: expected the bytes of image files"),
    ],
)
def test_wrong_tables(tmp_path, columns, words):
    """A column, a label or an image that is missing is Invalid, with what there is."""
    assert words in refused(write_parquet(tmp_path / "a.parquet", **columns))


def test_a_column_by_its_name(tmp_path):
    """data.labels and data.groups name columns; a wrong name is Invalid."""
    columns = {"image": [PNG] * 4, "kind": ["x", "y", "x", "y"], "who": [1, 2, 1, 3]}
    path = write_parquet(tmp_path / "a.parquet", **columns)
    read = read_source(path, labels="kind", groups="who")
    assert read.classes == ("x", "y")
    assert read.train.labels.tolist() == [0, 0, 1, 1]
    assert read.train.groups.tolist() == [0, 0, 1, 2]
    assert 'data.labels = "sort": ' in refused(path, labels="sort")
    assert "it has image, kind, who: expected sort" in refused(path, labels="sort")


def test_a_damaged_parquet(tmp_path):
    """A file that is cut short is Invalid."""
    path = tmp_path / "a.parquet"
    write_parquet(path, image=[PNG], label=[1])
    path.write_bytes(path.read_bytes()[:-9])
    assert "is damaged, cut short or of another format" in refused(str(path))


def test_files_that_name_other_classes(tmp_path):
    """All files of a data set have the same names of classes."""
    folder = layouts.parquet(tmp_path / "a", layouts.pictures())
    write_parquet(tmp_path / "a/data/test-x.parquet", image=[{"bytes": PNG}], label=[0])
    assert "its files name different classes" in refused(folder)


@pytest.mark.parametrize("form", [parquet, tfrecords])
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, form):
    """The sentence says what to install."""
    package = {parquet: "pyarrow", tfrecords: "google_crc32c"}[form]
    write = {parquet: layouts.parquet, tfrecords: layouts.tfrecords}[form]
    folder = write(tmp_path / "a", layouts.pictures())
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        read_source(folder)
    assert f"package {package} is not installed: run `pip install 'image-tuning-job[formats]'`" in (
        str(machine_error(caught.value))
    )


# --- TFRecords ---


def write_records(path, *records):
    """Write a TFRecords file; return its path."""
    path.write_bytes(b"".join(map(layouts.record, records)))
    return str(path)


GOOD = [layouts.example(image__encoded=PNG, image__class__label=label) for label in (1, 2)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"\xff\xff", "record 2 of"),
        (layouts.example(image__class__label=1), "has no image, it has image/class/label"),
        (
            layouts.example(image__encoded=PNG),
            "has no 'image/class/label', among image/encoded: expected one in each record; name",
        ),
        (
            layouts.example(image__encoded=PNG, image__class__label=[1, 0]),
            "has 2 values of 'image/class/label', among image/class/label, image/encoded: expected",
        ),
        (layouts.example(image__encoded=b"no", image__class__label=1), "image 'record 2' of"),
    ],
)
def test_wrong_records(tmp_path, record, words):
    """A record without an image or a label is Invalid, with its number and what it has."""
    assert words in refused(write_records(tmp_path / "a.tfrecord", *GOOD, record))


def test_records_of_another_maker(tmp_path):
    """data.labels and data.groups name features; a gzipped file is read, too."""
    made = [
        layouts.example(image=PNG, kind=b"xyx"[i : i + 1], who=i // 2, id=b"%d" % (9 - i))
        for i in range(3)
    ]
    path = write_records(tmp_path / "a.tfrecord", *made)
    packed = tmp_path / "b.tfrecord"
    packed.write_bytes(gzip.compress((tmp_path / "a.tfrecord").read_bytes()))
    for name in (path, str(packed)):
        read = read_source(name, labels="kind", groups="who")
        assert read.classes == ("x", "y")
        assert read.train.groups.tolist() == [1, 0, 0]


@pytest.mark.parametrize("at", [3, 9, 40, -3])
def test_damaged_records(tmp_path, at):
    """A byte that changed, wherever, and a lost end are Invalid."""
    path = tmp_path / "a.tfrecord"
    write_records(path, *GOOD)
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    assert "does not match its checksum" in refused(str(path))
    content[at] ^= 4
    path.write_bytes(content[:at])
    assert "does not match its checksum" in refused(str(path))


# --- IDX ---


X = np.zeros((4, 8, 8), np.uint8)
IDX = {
    "train-images-idx3-ubyte": layouts.idx_file(X),
    "train-labels-idx1-ubyte": layouts.idx_file(np.array([0, 1, 0, 1])),
}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"t10k-images-idx3-ubyte": layouts.idx_file(X)}, "no labels of the test part"),
        ({"train-labels-idx1-ubyte": b"\0\0\x08\x01"}, "is damaged or cut short"),
        ({"train-labels-idx1-ubyte": b"<html>"}, "is no IDX file"),
        ({"train-labels-idx1-ubyte": b""}, "is no IDX file"),
        (
            {"train-images-idx3-ubyte": gzip.compress(b"\0" * 99)[:-9]},
            "is damaged, cut short or of",
        ),
        ({"train-images-idx3-ubyte": layouts.idx_file(X)[:-1]}, "255 bytes after its header"),
        (
            {"emnist-train-images-idx3-ubyte": layouts.idx_file(X + 1)},
            "emnist-train-images-idx3-ubyte, train-images-idx3-ubyte, which differ and are the",
        ),
        ({"other-images-idx3-ubyte": b""}, "says no part: expected train, t10k or test"),
        ({"train-labels-idx1-ubyte": layouts.idx_file(X[:, 0, 0])}, "there is only 1 class"),
    ],
)
def test_wrong_idx(tmp_path, files, words):
    """A file that is missing, damaged or there twice is Invalid."""
    assert words in refused(write_folder(tmp_path, IDX | files))


def test_deep_idx(tmp_path):
    """Values of two bytes are scaled by the bits that they use."""
    deep = struct.pack(">HBB3I", 0, 0x0B, 3, 2, 8, 8) + np.full((2, 8, 8), 4095, ">i2").tobytes()
    labels = layouts.idx_file(np.array([0, 1]))
    files = {"train-images-idx3-ubyte": deep, "train-labels-idx1-ubyte": labels}
    read = read_source(write_folder(tmp_path, files))
    assert read.bits == 12
    assert read.train.images[:].min() == 255


# --- CIFAR ---


@pytest.mark.parametrize(
    ("binary", "name", "content", "words"),
    [
        (True, "test_batch.bin", b"\0" * 3072, "is not a batch of CIFAR-10 in its binary form"),
        (True, "data_batch_2.bin", b"", "is not a batch of CIFAR-10 in its binary form"),
        (True, "data_batch_1.bin", b"\7" * 3073, "the training labels are 0..7: expected 0..2"),
        (False, "data_batch_1", b"", "is not a readable pickle"),
        (False, "test_batch", b"\x80\x02}.", "is not a batch of CIFAR-10 for Python"),
        (False, "batches.meta", b"\x80\x02}.", "has no names of classes"),
        (False, "more/test_batch", b"", "has 'test_batch' twice"),
    ],
)
def test_wrong_batches(tmp_path, binary, name, content, words):
    """A batch that is damaged is Invalid, with its name."""
    files = layouts.cifar10_files(layouts.pictures(), binary)
    assert words in refused(write_folder(tmp_path, files | {name: content}))


def test_the_labels_of_cifar(tmp_path):
    """CIFAR-100 has two kinds of labels, the fine ones by default; CIFAR-10 has one."""
    folder = layouts.cifar100_binary(tmp_path / "a", layouts.pictures())
    assert read_source(folder).classes == tuple(f"fine{i}" for i in range(5))
    assert 'data.labels = "fin": CIFAR-100 in its binary form' in refused(folder, labels="fin")
    ten = layouts.cifar10_binary(tmp_path / "b", layouts.pictures())
    assert "has one kind of labels" in refused(ten, labels="fine")


# --- keys that a format has no use for ---


@pytest.mark.parametrize("name", layouts.FORMATS)
def test_a_key_without_use_is_refused(tmp_path, name):
    """data.nested is for class folders only."""
    write, keys = layouts.FORMATS[name]
    path = write(tmp_path / "a", layouts.pictures())
    if name in ("class folders", "table"):
        assert read_source(path, join=True, **keys).classes == layouts.CLASSES
    else:
        assert "data.nested = 'join': " in refused(path, join=True, **keys)


# --- arrays ---


def test_arrays_of_16_bits(tmp_path):
    """Values of 16 bits are scaled by the bits that those of all parts use, with a note."""
    x = images(4).astype(np.uint16)
    path = write_npz(
        tmp_path / "a.npz", x_train=x * 4, y_train=[0, 1, 0, 1], x_test=x * 2, y_test=[0, 1, 0, 1]
    )
    read = read_source(path)
    assert read.bits == 10
    assert np.array_equal(read.train.images[:], np.rint(x * 4 / 1023 * 255))
    assert np.array_equal(read.test.images[:], np.rint(x * 2 / 1023 * 255))
    assert read.notes[0].startswith("x_train is uint16: 0..1023 became 0..255")


# --- several files, and what lies beside them ---


def ident(source):
    """Return the id of the training part."""
    return data_id(source, source.train, source.train)


def test_records_without_names_are_the_same_in_more_files(tmp_path):
    """Their order is that of the files and of the rows in them."""
    pngs = [encoded((i, 0, 0)) for i in range(24)]
    examples = [layouts.example(image=png, label=i % 2) for i, png in enumerate(pngs)]
    for n in (1, 2):
        for form in ("parquet", "tfrecord"):
            (tmp_path / f"{form}{n}").mkdir()
        for i, some in enumerate(np.array_split(np.arange(24), n)):
            labels = [int(row) % 2 for row in some]
            columns = {"image": [pngs[row] for row in some], "label": labels}
            write_parquet(tmp_path / f"parquet{n}" / f"{i}.parquet", **columns)
            path = tmp_path / f"tfrecord{n}" / f"{i}.tfrecord"
            write_records(path, *(examples[row] for row in some))
    found = [read_source(str(folder)) for folder in sorted(tmp_path.iterdir())]
    assert len({ident(source) for source in found}) == 1


def test_a_shard_may_be_large(tmp_path):
    """The bound on the bytes of a member is one on an image, not on a file of records."""
    write_folder(tmp_path / "set", {"train/0.tar": b"", "val/0.tar": b""})
    for part in ("train", "val"):
        write_tar(tmp_path / "set" / part / "0.tar", PAIR, "w")
    with open(tmp_path / "set/val/0.tar", "r+b") as file:
        file.truncate(200_000_001)  # more of the zeros that end a tar
    read = read_source(str(tmp_path / "set"))
    assert read.train.validation.tolist() == [False, False, True, True]


def test_image_files_beside_records_are_refused(tmp_path):
    """It is not guessed which of them is the data."""
    folder = layouts.parquet(tmp_path / "a", layouts.pictures())
    write_folder(tmp_path / "a", {"assets/preview.png": PNG})
    message = refused(folder)
    assert "and 1 image files, such as 'assets/preview.png': name the folder or" in message


def test_masks_beside_an_image(tmp_path):
    """The image of a sample is the one with a plain suffix."""
    files = PAIR | {"1.seg.png": b"no image", "2.depth.png": b"no image"}
    assert len(read_source(write_tar(tmp_path / "a.tar", files, "w")).train.labels) == 2


def test_a_json_is_pointed_to(tmp_path):
    """Without .cls members, the fields of the JSON members are named."""
    write_tar(tmp_path / "0.tar", {"1.png": PNG, "1.json": b'{"species": "cat", "age": 1}'}, "w")
    message = refused(str(tmp_path))
    assert "name the field of its JSON in data.labels, one of age, species" in message


def test_one_feature_has_the_labels_of_all(tmp_path):
    """A record that lacks what the first one has is Invalid, though it has another label."""
    named = layouts.example(image=PNG, image__class__label=1, image__class__text=b"cat")
    message = refused(write_records(tmp_path / "a.tfrecord", named, GOOD[1]))
    assert "record 1 of" in message
    assert "has no 'image/class/text', among image/class/label" in message


def test_names_of_the_feature_that_is_asked_for(tmp_path):
    """TensorFlow Datasets keeps a file of names per feature."""
    made = [layouts.example(image=PNG, label=i, other=1 - i) for i in range(2)]
    names = {"label.labels.txt": b"cat\ndog\n", "other.labels.txt": b"day\nnight\n"}
    write_folder(tmp_path, names)
    write_records(tmp_path / "a.tfrecord", *made)
    assert read_source(str(tmp_path)).classes == ("cat", "dog")
    assert read_source(str(tmp_path), labels="other").classes == ("day", "night")


def test_plain_and_gzipped_idx(tmp_path, monkeypatch):
    """Both of one content are one file, as torchvision leaves them; a bomb is Invalid."""
    packed = {f"{name}.gz": gzip.compress(content) for name, content in IDX.items()}
    assert len(read_source(write_folder(tmp_path / "a", IDX | packed)).train.labels) == 4
    monkeypatch.setattr(idx, "MOST_BYTES", 100)
    assert "unpacks to more than 100 bytes" in refused(write_folder(tmp_path / "b", packed))


def test_a_group_of_validation_and_test(tmp_path):
    """A test part shares no group with a validation part, which is trained on."""
    parts = {f"x_{part}": images(4) for part in ("train", "val", "test")}
    parts |= {f"y_{part}": [0, 1, 0, 1] for part in ("train", "val", "test")}
    groups = {"p_train": [1, 2, 3, 4], "p_val": [5, 6, 7, 8], "p_test": [8, 9, 10, 11]}
    message = refused(write_npz(tmp_path / "a.npz", **parts, **groups), groups="p")
    assert "1 groups are in both the validation and the test part, for example '8'" in message


def test_validation_arrays_of_another_size(tmp_path):
    """data.image_size makes the parts equal before they are joined."""
    parts = {"x_train": images(4), "y_train": [0, 1, 0, 1], "x_val": images(2, 8, 8, 3)}
    path = write_npz(tmp_path / "a.npz", **parts, y_val=[0, 1])
    assert "6 x 5 and 8 x 8 (training, validation): set data.image_size" in refused(path)
    assert read_source(path, 8).train.images.shape == (6, 8, 8, 3)
    path = write_npz(tmp_path / "b.npz", **parts, y_val=[0, 2])
    assert "the validation labels are 0..2: expected 0..1" in refused(path, 8)


def test_a_test_part_without_labels(tmp_path):
    """Many shared data sets keep their test labels secret, as -1."""
    labels = {"y_train": [0, 1, 0, 1], "y_test": [-1] * 4}
    path = write_npz(tmp_path / "a.npz", x_train=images(), x_test=images(), **labels)
    assert "the test labels are all -1, so this part has none: leave it out" in refused(path)


def test_a_part_of_damaged_images_only(tmp_path):
    """Leaving out all images of a part is Invalid."""
    files = {"train/a/1.png": PNG, "train/b/1.png": PNG, "test/a/1.png": b"no"}
    message = refused(write_folder(tmp_path, files), skip=True)
    assert "no image of the test part of" in message


def test_nested_is_for_folders():
    """data.nested is refused where there are no folders."""
    assert 'data.nested = "join": digits has no folders' in refused("digits", join=True)
