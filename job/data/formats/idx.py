"""IDX files, as MNIST and its family have them: images and labels of each part, perhaps gzipped.

Source: yann.lecun.com/exdb/mnist, "The IDX file format".
"""

import math
import re
import struct
import zlib
from pathlib import PurePosixPath

import numpy as np

from job.data import archives, names
from job.data.archives import Member
from job.data.formats.arrays import Arrays, Named
from job.data.formats.tree import Tree
from job.errors import Invalid

NAME = re.compile(r"^(?P<part>.+?)[-_.]?(?P<what>images|labels)[-_.]idx[1-4]-ubyte(\.gz)?$")
PARTS = {"train": "train", "t10k": "test", "test": "test", "val": "validation"}
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_BYTES = 2_000_000_000


def is_of(name: str) -> bool:
    """Tell whether a file is called as IDX files are."""
    return _match(name) is not None


def read(listing: Tree) -> Arrays:
    """Read the IDX files of a folder or an archive.

    Args:
        listing: its names.

    Raises:
        Invalid: damaged, or not one pair of files for the training part and at most one for the
            others.
    """
    found: dict[tuple[str, str], str] = {}
    for name in sorted(filter(is_of, listing.files.values())):
        key = _part_of(name, listing), _what(name)
        if key in found:
            raise Invalid(
                f"{listing.path} has {names.list_some((found[key], name))}, both the {key[1]} of"
                f" the {key[0]} part: keep one data set in it"
            )
        found[key] = name
    for part, what in found:
        other = "images" if what == "labels" else "labels"
        if (part, other) not in found:
            raise Invalid(
                f"{listing.path} has {found[part, what]!r} and no {other} of the {part} part:"
                " expected both"
            )
    if ("train", "images") not in found:
        raise Invalid(
            f"{listing.path} has no training part, only {names.list_some(found.values())}:"
            " expected train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    content = {
        member.name: _array(member, listing)
        for member in listing.members()
        if member.name in found.values()
    }
    arrays = Arrays(listing.path, {}, {})
    for (part, what), name in found.items():
        into = arrays.images if what == "images" else arrays.labels
        into[part] = Named(name, content[name])
    return arrays


def _match(name: str) -> re.Match[str] | None:
    return NAME.match(PurePosixPath(name).name.lower())


def _what(name: str) -> str:
    match = _match(name)
    return match["what"] if match else ""


def _part_of(name: str, listing: Tree) -> str:
    match = _match(name)
    word = re.split("[-_.]", match["part"])[-1] if match else ""
    if word not in PARTS:
        raise Invalid(
            f"{name!r} of {listing.path} says no part: expected train, t10k or test before"
            " `images` or `labels`"
        )
    return PARTS[word]


def _array(member: Member, listing: Tree) -> np.ndarray:
    """Return the array of an IDX file. Raises: Invalid."""
    what = f"{member.name!r} of {listing.path}"
    content = member.read()
    with archives.reading(listing.path):
        if content[:2] == b"\x1f\x8b":
            content = _gunzip(content, what)
    zeros, code, dimensions = struct.unpack(">HBB", content[:4].ljust(4, b"\xff"))
    if zeros or code not in TYPES or not 1 <= dimensions <= 4:
        raise Invalid(f"{what} is no IDX file: expected two bytes of 0, a type and 1 to 4 axes")
    header = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:header].ljust(header - 4, b"\0"))
    dtype = np.dtype(TYPES[code])
    size = math.prod(shape) * dtype.itemsize
    if len(content) - header != size:
        raise Invalid(
            f"{what} is damaged or cut short: {len(content) - header:,} bytes after its header,"
            f" which announces {size:,}; copy or download it again"
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape)


def _gunzip(content: bytes, what: str) -> bytes:
    """Return unpacked bytes, of a bounded number. Raises: Invalid, zlib.error."""
    unpacker = zlib.decompressobj(wbits=31)
    unpacked = unpacker.decompress(content, MOST_BYTES)
    if unpacker.unconsumed_tail:
        raise Invalid(f"{what} unpacks to more than {MOST_BYTES:,} bytes: leave it out")
    if not unpacker.eof:
        raise Invalid(f"{what} is damaged or cut short: copy or download it again")
    return unpacked
