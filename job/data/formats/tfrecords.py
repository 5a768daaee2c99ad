"""TFRecords with an image file and its label in each `tf.train.Example`.

Sources: tensorflow.org/tutorials/load_data/tfrecord, "TFRecord format details"; the names of the
features are those of TensorFlow's ImageNet scripts and of TensorFlow Datasets.
"""

import gzip
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from job.data import archives
from job.data.archives import MEMBER_BYTES, Member
from job.data.formats import part_names, plan
from job.data.formats.plan import Plan, Record, Records
from job.errors import Invalid

NAME = re.compile(
    r"(\.tfrecords?|\.tfrec)(-\d+-of-\d+)?(\.gz)?$|-\d{5}-of-\d{5}(\.gz)?$", re.IGNORECASE
)
IMAGES = ("image/encoded", "image", "encoded", "image_raw", "image/image_raw")
# Names come before numbers.
LABELS = ("image/class/text", "image/class/label", "label", "class")
FILE_NAMES = ("image/filename", "filename", "file_name", "image/key", "id")
CLASSES = "{}.labels.txt"  # of TensorFlow Datasets, for a feature: a name per line


def is_of(name: str) -> bool:
    """Tell whether a file is called as TFRecords are."""
    return NAME.search(name) is not None


def read(path: Path, files: list[str] | None, label: str | None, group: str | None) -> Plan:
    """Return the plan of one file, or of all in a folder.

    Args:
        path: the file, or the folder.
        files: those in the folder; None if `path` is the file.
        label: `data.labels`, the feature with the label; None to find it by its name.
        group: `data.groups`, the feature with the group; None for no groups.

    Raises:
        Invalid: damaged; a record without an image or a label, or with several.
    """
    by_part = part_names.by_part(files, str(path)) if files else {"train": [""]}
    every = [name for of in by_part.values() for name in of]
    label = label or _label_feature(path / by_part["train"][0])
    found = {
        part: [record for name in of for record in _records(path / name, name, label, group)]
        for part, of in by_part.items()
    }
    records = Records(
        path,
        found,
        label_name=f"feature {label!r}",
        members=partial(_members, path, every),
        version=plan.version_of(path, every),
        classes=_classes(path / every[0], label, found["train"]),
    )
    return plan.of_records(records)


def _label_feature(path: Path) -> str:
    """Return the feature with the label, by the first record of a file. Raises: Invalid."""
    _, features = next(_examples(path), (0, {}))
    for key in LABELS:
        if any(value != b"" for value in features.get(key, ())):
            return key
    if not features:
        raise Invalid(f"{path} has no record: expected one or more")
    raise Invalid(
        f"record 0 of {path} has no {' or '.join(map(repr, LABELS[:3]))}, it has"
        f" {', '.join(sorted(features))}: name the feature with the label in data.labels"
    )


def _classes(file: Path, label: str, records: list[Record]) -> list[str] | None:
    """Return the names of classes that lie beside a file of numbers; None for none."""
    names_file = file.parent / CLASSES.format(label.replace("/", "_"))
    if not names_file.is_file() or not all(isinstance(record.label, int) for record in records):
        return None
    with archives.reading(names_file):
        return [name for name in names_file.read_text("utf-8").split("\n") if name]


def _members(path: Path, files: list[str]) -> Iterator[Member]:
    for name in files:
        for number, features in _examples(path / name):
            what = f"record {number} of {path / name}"
            yield Member(_name(name, number), False, partial(_image, features, what))


def _image(features: dict[str, list], what: str) -> bytes:
    """Return the image file of a record. Raises: Invalid."""
    for key in IMAGES:
        found = [value for value in features.get(key, ()) if isinstance(value, bytes)]
        if len(found) > 1:
            raise Invalid(f"{what} has {len(found)} images in {key!r}: expected one per record")
        if found:
            return found[0]
    raise Invalid(
        f"{what} has no image, it has {', '.join(sorted(features))}: expected the bytes of an"
        f" image file as {IMAGES[0]!r} or {IMAGES[1]!r}"
    )


def _records(path: Path, name: str, label: str, group: str | None) -> Iterator[Record]:
    """Yield the label, place and group of each record. Raises: Invalid."""
    for number, features in _examples(path):
        what = f"record {number} of {path}"
        _image(features, what)
        file_name = next((value for key in FILE_NAMES for value in features.get(key, ())), "")
        if isinstance(file_name, bytes):
            file_name = file_name.decode("utf-8", "backslashreplace")
        group_of = _only(features, group, "data.groups", what) if group else None
        yield Record(
            _name(name, number),
            plan.number_or_text(_only(features, label, "data.labels", what), what),
            (*PurePosixPath(str(file_name)).parts, name, f"{number:012}"),
            None if group_of is None else str(plan.number_or_text(group_of, what)),
        )


def _name(file: str, number: int) -> str:
    return f"{file}/record {number}" if file else f"record {number}"


def _only(features: dict[str, list], key: str, setting: str, what: str) -> Any:
    """Return the one value of a feature. Raises: Invalid."""
    values = features.get(key, [])
    if len(values) != 1 or values[0] == b"":
        has = f"{len(values)} values of {key!r}" if len(values) > 1 else f"no {key!r}"
        raise Invalid(
            f"{what} has {has}, among {', '.join(sorted(features))}: expected one in each record;"
            f" name another feature in {setting}"
        )
    return values[0]


def _examples(path: Path) -> Iterator[tuple[int, dict[str, list]]]:
    """Yield the number and the features of each record. Raises: Invalid."""
    with archives.reading(path), _open(path) as file:
        number = 0
        while (content := _next(file, path, number)) is not None:
            yield number, _features(content, f"record {number} of {path}")
            number += 1


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it is gzipped: then it does not begin with a checked length."""
    with open(path, "rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[:2] != b"\x1f\x8b" or head[8:] == _checksum(head[:8]):
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked  # pyright: ignore[reportReturnType]


def _next(file: BinaryIO, path: Path, number: int) -> bytes | None:
    """Return the bytes of the next record, None at the end. Raises: Invalid."""
    head = file.read(8)
    if not head:
        return None
    if _checksum(head) == file.read(4):
        (length,) = struct.unpack("<Q", head)
        content = file.read(min(length, MEMBER_BYTES + 1))
        if len(content) == length and _checksum(content) == file.read(4):
            return content
    raise Invalid(
        f"{path} is damaged, cut short or no TFRecords, plain or gzipped (record {number} does not"
        " match its checksum): copy or download it again"
    )


def _checksum(content: bytes) -> bytes:
    """Return the bytes that follow some content in a file: its CRC-32C, masked."""
    import google_crc32c  # an extra

    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _features(content: bytes, what: str) -> dict[str, list]:
    """Return the features of a `tf.train.Example`. Raises: Invalid."""
    from google.protobuf.message import DecodeError  # an extra

    example = _example_class()()
    try:
        example.ParseFromString(content)
    except DecodeError as exc:
        raise Invalid(f"{what} is not a tf.train.Example: write it as such") from exc
    return {
        key: [*feature.bytes_list.value, *feature.float_list.value, *feature.int64_list.value]
        for key, feature in example.features.feature.items()
    }


@cache
def _example_class() -> Any:
    """Return the class of `tf.train.Example`, without TensorFlow.

    Source: tensorflow/core/example/feature.proto and example.proto.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # an extra

    file = descriptor_pb2.FileDescriptorProto(name="job.proto", package="job", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def add(message: Any, number: int, name: str, of: int | str, repeated: bool = False) -> None:
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        field = message.field.add(number=number, name=name, label=label)
        if isinstance(of, str):
            field.type = kinds.TYPE_MESSAGE
            field.type_name = f".job.{of}"
        else:
            field.type = of

    lists = {
        "bytes_list": ("BytesList", kinds.TYPE_BYTES),
        "float_list": ("FloatList", kinds.TYPE_FLOAT),
        "int64_list": ("Int64List", kinds.TYPE_INT64),
    }
    feature = file.message_type.add(name="Feature")
    for number, (field, (name, kind)) in enumerate(lists.items(), 1):
        add(file.message_type.add(name=name), 1, "value", kind, repeated=True)
        add(feature, number, field, name)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, 1, "key", kinds.TYPE_STRING)
    add(entry, 2, "value", "Feature")
    add(features, 1, "feature", "Features.FeatureEntry", repeated=True)
    add(file.message_type.add(name="Example"), 1, "features", "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("job.Example"))
