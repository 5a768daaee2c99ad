"""One data set in all formats that can be read: writers by the name of the format."""

import csv
import gzip
import io
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.datasets import encoded, write_folder, write_tar

CLASSES = ("cat", "cow", "dog")
PARTS = {"train": 9, "test": 6}
SIDE = 32


@dataclass(frozen=True)
class Picture:
    """An image of the data set."""

    part: str
    label: int
    number: int  # within its class and part
    pixels: np.ndarray  # uint8 [32, 32, 3]

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.part}{self.number:03}.png"

    @property
    def png(self) -> bytes:
        """Its file."""
        return encoded(self.pixels)


def pictures(gray: bool = False, parts: dict[str, int] | None = None) -> list[Picture]:
    """Return images by part, class and number, so in the order of class folders."""
    rng = np.random.default_rng(5)
    found = []
    for part, n in (parts or PARTS).items():
        for label in range(len(CLASSES)):
            for number in range(n // len(CLASSES)):
                pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
                pixels = np.repeat(pixels[..., :1], 3, axis=2) if gray else pixels
                found.append(Picture(part, label, number, pixels))
    return found


def arrays(of: list[Picture]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return images and labels of each part."""
    found = {}
    for part in dict.fromkeys(picture.part for picture in of):
        mine = [picture for picture in of if picture.part == part]
        labels = np.array([picture.label for picture in mine])
        found[part] = (np.stack([picture.pixels for picture in mine]), labels)
    return found


def class_folders(folder: Path, of: list[Picture]) -> str:
    """Write class folders."""
    return write_folder(folder, {f"{p.part}/{CLASSES[p.label]}/{p.name}": p.png for p in of})


def table(folder: Path, of: list[Picture]) -> str:
    """Write a flat folder with a table of labels, `metadata.csv`."""
    files = {f"{CLASSES[p.label]}-{p.name}": p.png for p in of}
    rows = [(f"{CLASSES[p.label]}-{p.name}", CLASSES[p.label], p.part) for p in of]
    text = io.StringIO()
    csv.writer(text).writerows([("file_name", "label", "split"), *rows])
    return write_folder(folder, files | {"metadata.csv": text.getvalue().encode()})


def samples(of: list[Picture], form: str = "cls") -> dict[str, bytes]:
    """Return the members of a WebDataset, shuffled."""
    files = {}
    for i in np.random.default_rng(1).permutation(len(of)):
        picture = of[i]
        key = f"{CLASSES[picture.label]}/{picture.part}{picture.number:03}"
        files[f"{key}.png"] = picture.png
        if form == "cls":
            files[f"{key}.cls"] = CLASSES[picture.label].encode()
        else:
            files[f"{key}.json"] = json.dumps({"species": CLASSES[picture.label]}).encode()
    return files


def webdataset(folder: Path, of: list[Picture]) -> str:
    """Write two shards of the training part and one of each other, each a tar."""
    folder.mkdir()
    for part in dict.fromkeys(picture.part for picture in of):
        mine = [picture for picture in of if picture.part == part]
        half = len(mine) // 2 if part == "train" else len(mine)
        for number, some in enumerate((mine[half:], mine[:half])):
            if some:
                write_tar(folder / f"{part}-{number:05}.tar", samples(some), "w")
    return str(folder)


def json_samples(folder: Path, of: list[Picture]) -> str:
    """Write shards whose labels are fields of JSON members."""
    folder.mkdir()
    for part in dict.fromkeys(picture.part for picture in of):
        mine = [picture for picture in of if picture.part == part]
        write_tar(folder / f"{part}.tar", samples(mine, "json"), "w")
    return str(folder)


def parquet(folder: Path, of: list[Picture], **options) -> str:
    """Write the files of a Hugging Face data set, shuffled, with the names of its classes."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    label = {"names": list(CLASSES), "_type": "ClassLabel"}
    info = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    schema = pa.schema(
        [("image", image), ("label", pa.int64()), ("camera", pa.string())],
        metadata={"huggingface": json.dumps(info)},
    )
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("# Animals\n")
    for part in dict.fromkeys(picture.part for picture in of):
        mine = [picture for picture in of if picture.part == part]
        order = np.random.default_rng(2).permutation(len(mine))
        for number, chosen in enumerate(np.array_split(order, 2)):
            rows = [
                {
                    "image": {"bytes": mine[i].png, "path": mine[i].name},
                    "label": mine[i].label,
                    "camera": f"{part} {mine[i].number}",
                }
                for i in chosen
            ]
            file = folder / "data" / f"{part}-{number:05}-of-00002.parquet"
            write_table(pa.Table.from_pylist(rows, schema), file, **options)
    return str(folder)


def varint(number: int) -> bytes:
    """Return a number as protocol buffers write it."""
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def message(number: int, content: bytes) -> bytes:
    """Return a field of bytes as protocol buffers write it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(**features: bytes | int | list[int]) -> bytes:
    """Return a `tf.train.Example`; `__` stands for `/` in the name of a feature."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, list):
            feature = message(3, message(1, b"".join(map(varint, value))))
        elif isinstance(value, int):
            feature = message(3, message(1, varint(value)))
        else:
            feature = message(1, message(1, value))
        key = message(1, name.replace("__", "/").encode())
        entries += message(1, key + message(2, feature))
    return message(1, entries)


def record(content: bytes) -> bytes:
    """Return a record of a TFRecords file."""
    import google_crc32c

    def masked(data: bytes) -> bytes:
        crc = google_crc32c.value(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def tfrecords(folder: Path, of: list[Picture]) -> str:
    """Write files as TensorFlow's ImageNet scripts do: labels from 1, and names."""
    folder.mkdir()
    for part in dict.fromkeys(picture.part for picture in of):
        mine = [picture for picture in of if picture.part == part]
        order = np.random.default_rng(2).permutation(len(mine))
        for number, chosen in enumerate(np.array_split(order, 2)):
            rows = [
                record(
                    example(
                        image__encoded=mine[i].png,
                        image__class__label=mine[i].label + 1,
                        image__class__text=CLASSES[mine[i].label].encode(),
                        image__filename=mine[i].name.encode(),
                    )
                )
                for i in chosen
            ]
            (folder / f"{part}-{number:05}-of-00002").write_bytes(b"".join(rows))
    return str(folder)


def npz(folder: Path, of: list[Picture], keys: tuple[str, str] = ("x_{}", "y_{}")) -> str:
    """Write an .npz."""
    content = {"classes": np.array(CLASSES)}
    for part, (images, labels) in arrays(of).items():
        content[keys[0].format(part)] = images
        content[keys[1].format(part)] = labels
    folder.mkdir()
    np.savez(folder / "a.npz", **content)
    return str(folder / "a.npz")


def channels_first(folder: Path, of: list[Picture]) -> str:
    """Write an .npz as PyTorch has images: [n, channels, height, width]."""
    turned = [Picture(p.part, p.label, p.number, p.pixels.transpose(2, 0, 1)) for p in of]
    return npz(folder, turned)


def idx_file(array: np.ndarray) -> bytes:
    """Return an array of bytes as an IDX file."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def idx(folder: Path, of: list[Picture]) -> str:
    """Write the four files of MNIST, two of them gzipped; they have gray images and no names."""
    files = {}
    for part, (images, labels) in arrays(of).items():
        word = {"train": "train", "test": "t10k"}[part]
        files[f"{word}-images-idx3-ubyte.gz"] = gzip.compress(idx_file(images[..., 0]))
        files[f"{word}-labels-idx1-ubyte"] = idx_file(labels)
    return write_folder(folder / "raw", files)


def rows(images: np.ndarray) -> np.ndarray:
    """Return images as CIFAR has them: uint8 [n, 3072], channel by channel."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def cifar10_files(of: list[Picture], binary: bool) -> dict[str, bytes]:
    """Return the files of a small CIFAR-10; a third of the classes has two batches."""
    split = arrays(of)
    images, labels = split["train"]
    batches = dict(zip(range(1, 6), np.array_split(np.arange(len(images)), 5), strict=True))
    parts = {f"data_batch_{i}": (images[of], labels[of]) for i, of in batches.items()}
    parts["test_batch"] = split["test"]
    files = {}
    for name, (x, y) in parts.items():
        if binary:
            content = np.concatenate([y[:, None].astype(np.uint8), rows(x)], axis=1)
            files[f"{name}.bin"] = content.tobytes()
        else:
            files[name] = pickle.dumps({b"data": rows(x), b"labels": y.tolist()}, protocol=2)
    if binary:
        return files | {"batches.meta.txt": "\n".join([*CLASSES, ""]).encode()}
    meta = {b"label_names": [name.encode() for name in CLASSES]}
    return files | {"batches.meta": pickle.dumps(meta, protocol=2)}


def cifar10_binary(folder: Path, of: list[Picture]) -> str:
    """Write the archive of the binary form of CIFAR-10."""
    folder.mkdir()
    files = {f"cifar-10-batches-bin/{k}": v for k, v in cifar10_files(of, True).items()}
    return write_tar(folder / "cifar-10-binary.tar.gz", files)


def cifar10_python(folder: Path, of: list[Picture]) -> str:
    """Write the folder of CIFAR-10 for Python."""
    return write_folder(folder, cifar10_files(of, False))


def cifar100_files(of: list[Picture], binary: bool) -> dict[str, bytes]:
    """Return the files of a small CIFAR-100, whose coarse labels are those of the classes."""
    files = {}
    for part, (x, y) in arrays(of).items():
        fine = np.arange(len(y)) % 5
        if binary:
            labels = np.stack([y, fine], axis=1).astype(np.uint8)
            files[f"{part}.bin"] = np.concatenate([labels, rows(x)], axis=1).tobytes()
        else:
            content = {
                b"data": rows(x),
                b"coarse_labels": y.tolist(),
                b"fine_labels": fine.tolist(),
            }
            files[part] = pickle.dumps(content, protocol=2)
    fine_names = [f"fine{i}".encode() for i in range(5)]
    coarse_names = [name.encode() for name in CLASSES]
    if binary:
        return files | {
            "fine_label_names.txt": b"\n".join(fine_names),
            "coarse_label_names.txt": b"\n".join(coarse_names),
        }
    meta = {b"fine_label_names": fine_names, b"coarse_label_names": coarse_names}
    return files | {"meta": pickle.dumps(meta, protocol=2)}


def cifar100_python(folder: Path, of: list[Picture]) -> str:
    """Write the archive of CIFAR-100 for Python."""
    folder.mkdir()
    files = {f"cifar-100-python/{k}": v for k, v in cifar100_files(of, False).items()}
    return write_tar(folder / "cifar-100-python.tar.gz", files)


def cifar100_binary(folder: Path, of: list[Picture]) -> str:
    """Write the folder of the binary form of CIFAR-100."""
    return write_folder(folder, cifar100_files(of, True))


# Format -> how to write it, and the keys of [data] that it needs.
FORMATS: dict[str, tuple[Callable[[Path, list[Picture]], str], dict[str, str]]] = {
    "class folders": (class_folders, {}),
    "table": (table, {"labels": "metadata.csv"}),
    "webdataset": (webdataset, {}),
    "webdataset with json": (json_samples, {"labels": "species"}),
    "parquet": (parquet, {}),
    "tfrecords": (tfrecords, {}),
    "npz": (npz, {}),
    "channels first": (channels_first, {}),
    "medmnist": (lambda folder, of: npz(folder, of, ("{}_images", "{}_labels")), {}),
    "cifar-10 python": (cifar10_python, {}),
    "cifar-10 binary": (cifar10_binary, {}),
    "cifar-100 python": (cifar100_python, {"labels": "coarse"}),
    "cifar-100 binary": (cifar100_binary, {"labels": "coarse"}),
}
