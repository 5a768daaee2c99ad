"""TFRecords with an image file and its label in each `tf.train.Example`.

Sources: tensorflow.org/tutorials/load_data/tfrecord, "TFRecord format details"; the names of the
features are those of TensorFlow's ImageNet scripts and of TensorFlow Datasets.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
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
LABELS = ("image/class/label", "label", "class", "image/object/class/label")
TEXT = "image/class/text"
FILE_NAMES = ("image/filename", "filename", "file_name", "image/key", "id")
CLASSES = "label.labels.txt"  # of TensorFlow Datasets, a name per line


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
        Invalid: damaged; a record without an image or a label.
    """
    by_part = part_names.by_part(files, str(path)) if files else {"train": [""]}
    every = [name for of in by_part.values() for name in of]
    found = {
        part: [record for name in of for record in _records(path / name, name, label, group)]
        for part, of in by_part.items()
    }
    names_file = path / CLASSES
    with archives.reading(names_file):
        listed = names_file.read_text("utf-8").split("\n") if names_file.is_file() else []
    records = Records(
        path,
        found,
        label_name=f"feature {label!r}" if label else "the labels",
        members=partial(_members, path, every),
        version=plan.version_of(path, every),
        classes=[name for name in listed if name] or None,
    )
    return plan.of_records(records)


def _members(path: Path, files: list[str]) -> Iterator[Member]:
    for name in files:
        for number, features in _examples(path / name):
            content = next((value for key in IMAGES for value in features.get(key, ())), b"")
            yield Member(_name(name, number), False, partial(_bytes, content))


def _bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else b""


def _records(path: Path, name: str, label: str | None, group: str | None) -> Iterator[Record]:
    """Yield the label, place and group of each record. Raises: Invalid."""
    for number, features in _examples(path):
        what = f"record {number} of {path}"
        if not any(isinstance(value, bytes) for key in IMAGES for value in features.get(key, ())):
            raise Invalid(
                f"{what} has no image, it has {', '.join(sorted(features))}: expected the bytes of"
                f" an image file as {IMAGES[0]!r}"
            )
        keys = (label,) if label else (TEXT, *LABELS)
        file_name = _first(features, FILE_NAMES)
        yield Record(
            _name(name, number),
            plan.number_or_text(_needed(features, keys, what), what),
            (str(file_name),) if file_name else (f"{number:012}",),
            str(_needed(features, (group,), what)) if group else None,
        )


def _name(file: str, number: int) -> str:
    return f"{file}/record {number}" if file else f"record {number}"


def _first(features: dict[str, list], keys: tuple[str, ...]) -> Any:
    """Return the first value of the first of these features that has one; bytes as text."""
    for key in keys:
        for value in features.get(key, ()):
            text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
            if text != "":
                return text
    return None


def _needed(features: dict[str, list], keys: tuple[str, ...], what: str) -> Any:
    found = _first(features, keys)
    if found is None:
        raise Invalid(
            f"{what} has no {' or '.join(map(repr, keys[:3]))}, it has"
            f" {', '.join(sorted(features))}: name the feature with the label in data.labels"
        )
    return found


def _examples(path: Path) -> Iterator[tuple[int, dict[str, list]]]:
    """Yield the number and the features of each record. Raises: Invalid."""
    with archives.reading(path), archives.open_perhaps_gzipped(path) as file:
        number = 0
        while (content := _next(file, path, number)) is not None:
            yield number, _features(content, f"record {number} of {path}")
            number += 1


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
        f"{path} is damaged, cut short or no TFRecords (record {number} does not match its"
        " checksum): copy or download it again"
    )


def _checksum(content: bytes) -> bytes:
    """Return the bytes that follow some content in a file: its CRC-32C, masked."""
    import google_crc32c  # an extra

    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _features(content: bytes, what: str) -> dict[str, list]:
    """Return the features of a `tf.train.Example`. Raises: Invalid."""
    example = _example_class()()
    try:
        example.ParseFromString(content)
    except Exception as exc:  # protobuf's DecodeError, of a module that is an extra
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
