"""IDX files, as MNIST and its family have them: images and labels of each part, perhaps gzipped.

Source: yann.lecun.com/exdb/mnist, "The IDX file format".
"""

import gzip
import math
import os
import re
import struct
from collections import defaultdict
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from job.data import archives, names
from job.data.archives import Member
from job.data.downloads import writing
from job.data.formats.arrays import Arrays, Named
from job.data.formats.tree import Tree
from job.data.workspace import Workspace
from job.errors import Invalid
from job.interrupt import INTERRUPT

NAME = re.compile(r"^(?P<part>.+?)[-_.]?(?P<what>images|labels)[-_.]idx[1-4]-ubyte(\.gz)?$")
PARTS = {"train": "train", "t10k": "test", "test": "test", "val": "validation"}
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 4
MOST_BYTES = 2_000_000_000  # that a gzipped file may unpack to
STEP_BYTES = 1 << 20


def is_of(name: str) -> bool:
    """Tell whether a file is called as IDX files are."""
    return _match(name) is not None


def read(listing: Tree, work: Workspace) -> Arrays:
    """Read the IDX files of a folder or an archive.

    Args:
        listing: its names.
        work: for what is unpacked.

    Raises:
        Invalid: damaged, or not one pair of files for the training part and at most one for the
            others.
        Unreachable: the disk is full or broken.
    """
    candidates: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(filter(is_of, listing.files.values())):
        candidates[_part_of(name, listing), _what(name)].append(name)
    for part, what in candidates:
        other = "images" if what == "labels" else "labels"
        if (part, other) not in candidates:
            raise Invalid(
                f"{listing.path} has {candidates[part, what][0]!r} and no {other} of the {part}"
                " part: expected both"
            )
    if ("train", "images") not in candidates:
        listed = names.list_some(name for of in candidates.values() for name in of)
        raise Invalid(
            f"{listing.path} has no training part, only {listed}: expected"
            " train-images-idx3-ubyte and train-labels-idx1-ubyte"
        )
    wanted = {name for of in candidates.values() for name in of}
    content = {
        member.name: _array(member, listing, work)
        for member in listing.members()
        if member.name in wanted and not member.is_folder
    }
    arrays = Arrays(listing.path, {}, {})
    for (part, what), of in candidates.items():
        for name in of[1:]:
            if not np.array_equal(content[of[0]], content[name]):
                raise Invalid(
                    f"{listing.path} has {names.list_some(of)}, which differ and are the {what} of"
                    f" the {part} part: keep the files of one data set in a folder"
                )
        into = arrays.images if what == "images" else arrays.labels
        into[part] = Named(of[0], content[of[0]])
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


def _array(member: Member, listing: Tree, work: Workspace) -> np.ndarray:
    """Return the array of an IDX file, mapped. Raises: Invalid, Unreachable."""
    what = f"{member.name!r} of {listing.path}"
    own = listing.path / member.name  # what errors call it
    path = own
    if not listing.path.is_dir():
        path = work.new_file()
        with writing(path):
            path.write_bytes(member.read())
    with archives.reading(own):
        with open(path, "rb") as file:
            is_gzipped = file.read(2) == b"\x1f\x8b"
        if is_gzipped:
            path = _unpacked(path, what, work)
        with open(path, "rb") as file:
            head = file.read(4 + 4 * MOST_AXES)
            size = file.seek(0, os.SEEK_END)
    zeros, code, axes = struct.unpack(">HBB", head[:4].ljust(4, b"\xff"))
    if zeros or code not in TYPES or not 1 <= axes <= MOST_AXES:
        raise Invalid(f"{what} is no IDX file: expected two bytes of 0, a type and 1 to 4 axes")
    start = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", head[4:start].ljust(start - 4, b"\0"))
    dtype = np.dtype(TYPES[code])
    announced = math.prod(shape) * dtype.itemsize
    if size - start != announced:
        raise Invalid(
            f"{what} is damaged or cut short: {size - start:,} bytes after its header, which"
            f" announces {announced:,}; copy or download it again"
        )
    if not announced:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape)


def _unpacked(path: Path, what: str, work: Workspace) -> Path:
    """Return a file of unpacked bytes, of a bounded number. Raises: Invalid, Unreachable."""
    target = work.new_file()
    with gzip.open(path) as packed:
        for block in iter(partial(packed.read, STEP_BYTES), b""):
            INTERRUPT.check()
            with writing(target), open(target, "ab") as file:
                file.write(block)
            if target.stat().st_size > MOST_BYTES:
                raise Invalid(f"{what} unpacks to more than {MOST_BYTES:,} bytes: leave it out")
    return target
