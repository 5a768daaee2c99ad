"""Read the arrays of an .npz safely: no pickle, and no more memory than the file accounts for."""

import math
import zipfile
from typing import IO

import numpy as np
from numpy.lib import format as npy

from job import errors
from job.data.archives import PLAIN_OR_DEFLATED
from job.data.downloads import writing
from job.data.workspace import Workspace
from job.interrupt import INTERRUPT
from job.sentences import first_line

# A larger array may unpack to at most MOST_PER_BYTE times its packed bytes; bombs have 1,000.
SMALL_BYTES = 20_000_000
MOST_PER_BYTE = 200
STEP_BYTES = 1 << 20  # unpacked at a time


def read(archive: zipfile.ZipFile, name: str, what: str, work: Workspace) -> np.ndarray:
    """Read an .npy of an .npz without loading a pickle; a large one is unpacked and mapped.

    Its header and the zip declare its size before it takes any memory.

    Args:
        archive: the open .npz.
        name: the member.
        what: what errors call the array.
        work: for a large array, as long as that is used.

    Raises:
        errors.Invalid: not an array, larger than it can be, of another packing, or of objects.
    """
    info = archive.getinfo(name)
    if info.file_size > SMALL_BYTES and info.file_size > MOST_PER_BYTE * info.compress_size:
        raise errors.Invalid(
            f"{what} unpacks to {info.file_size:,} bytes from {info.compress_size:,}, more than "
            f"{MOST_PER_BYTE} per byte: unless it is a bomb, save it by numpy.savez"
        )
    if info.compress_type not in PLAIN_OR_DEFLATED:
        raise errors.Invalid(
            f"{what} is packed in another way than numpy does: save it by numpy.savez"
        )
    with archive.open(info) as file:
        if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise errors.Invalid(f"{what} is not an array: save it by numpy.savez")
        try:
            file.seek(0)
            _check_header(file, info.file_size)
            file.seek(0)
            if info.file_size > SMALL_BYTES:
                return _map(file, info.file_size, what, work)
            return npy.read_array(file, allow_pickle=False)
        except ValueError as exc:
            raise errors.Invalid(
                f"{what} cannot be read ({first_line(exc)}): "
                "save plain numbers or text by numpy.savez"
            ) from exc


def _map(file: IO[bytes], size: int, what: str, work: Workspace) -> np.ndarray:
    """Return a copy of an .npy on the disk, mapped; the disk has it back when nobody uses it."""
    work.check_room(size, what)
    path = work.new_file()
    try:
        with writing(path), open(path, "wb") as unpacked:
            while block := file.read(STEP_BYTES):
                INTERRUPT.check()
                unpacked.write(block)
        return np.load(path, mmap_mode="r", allow_pickle=False)
    finally:
        path.unlink()


def _check_header(file: IO[bytes], size: int) -> None:
    """Raise ValueError if the header of an .npy declares more bytes than the file has."""
    is_first = npy.read_magic(file) == (1, 0)
    read_header = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size - file.tell():
        raise ValueError(f"{shape} of {dtype} is more than its {size:,} bytes")
