"""Decoded pixels on disk: a row per image, which the next process takes over if this is killed."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from job.data.downloads import writing
from job.data.images import DIGEST_BYTES, Stack, blocks, digest
from job.data.workspace import Workspace

FACTS = np.dtype(
    [
        ("is_done", "?"),  # its pixels are written
        ("width", "<u4"),  # of the image as it was, in pixels
        ("height", "<u4"),
        ("largest", "<i4"),  # value of a 16-bit image, -1 for one of 8 bits
        ("bits", "u1"),  # by which a 16-bit image was scaled
        ("digest", f"S{DIGEST_BYTES}"),  # of its row
    ]
)


class PixelFile:
    """Rows of pixels, and what is known of each; any number of threads may write at once.

    Attributes:
        facts: FACTS [n], mapped.
        shape: (height, width, 3) of a row; None until the first row decides it.
    """

    def __init__(self, work: Workspace, name: str, n: int, size: tuple[int, int] | None):
        """Open the file of this name, perhaps as a killed process left it.

        Args:
            work: where the file is.
            name: equal for equal rows.
            n: how many rows it has.
            size: (height, width) of a row; None: of the first one that is written.

        Raises:
            Unreachable: the disk is full or broken.
        """
        self._work = work
        self._way_out = "" if size else ", or data.image_size to fewer pixels"
        folder = work.unfinished(name)
        self._path = folder / "pixels"
        self._lock = threading.Lock()
        with writing(self._path):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            self.facts = _open_facts(folder / "facts", n)
        self.shape: tuple[int, int, int] | None = None
        if size or self.facts["is_done"].any():
            self._begin((*(size or self._size_on_disk()), 3))
        self.facts["is_done"] &= self._are_whole()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def write(
        self, row: int, pixels: np.ndarray, size: tuple[int, int], largest: int | None, bits: int
    ) -> None:
        """Write a row; one of another shape is only noted.

        Args:
            row: its number.
            pixels: uint8 [height, width, 3].
            size: (width, height) of the image as it was.
            largest: value of a 16-bit image, None for one of 8 bits.
            bits: by which a 16-bit image was scaled.

        Raises:
            Unreachable: the disk is full or broken.
        """
        with self._lock:
            if self.shape is None:
                self._begin(pixels.shape)
        if pixels.shape == self.shape:
            with writing(self._path):
                _write_all(self._file, pixels, row * pixels.nbytes)
        width, height = size
        deep = -1 if largest is None else largest
        self.facts[row] = (False, width, height, deep, bits, digest(pixels))
        self.facts["is_done"][row] = True  # the last: a process may be killed in between

    def stack(self) -> Stack:
        """Return all rows, mapped."""
        if self.shape is None:
            raise ValueError("no row was written")
        array = np.memmap(self._path, np.uint8, "r", shape=(len(self.facts), *self.shape))
        return Stack(array, np.array(self.facts["digest"]))

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Give the file its size, after looking for room for it and for its staged copy."""
        height, width, channels = shape
        size = len(self.facts) * height * width * channels
        there = os.fstat(self._file).st_blocks * 512
        what = f"{len(self.facts):,} images of {width} x {height} pixels"
        self._work.check_room(2 * size - there, what, self._way_out)
        with writing(self._path):
            os.truncate(self._file, size)
        self.shape = height, width, channels

    def _size_on_disk(self) -> tuple[int, int]:
        """Return (height, width) of the rows that a process left."""
        whole = os.fstat(self._file).st_size // len(self.facts)
        sizes = {(int(f["height"]), int(f["width"])) for f in self.facts if f["is_done"]}
        return next(((h, w) for h, w in sizes if 3 * h * w == whole), min(sizes))

    def _are_whole(self) -> np.ndarray:
        """Return which rows have the digests that were noted; a power cut may have lost some."""
        whole = np.zeros(len(self.facts), bool)
        noted = np.flatnonzero(self.facts["is_done"])
        if self.shape is None or not len(noted):
            return whole
        found = [digest(pixels) for block in blocks(self.stack().array, noted) for pixels in block]
        whole[noted] = np.array(found, f"S{DIGEST_BYTES}") == self.facts["digest"][noted]
        return whole


def _open_facts(path: Path, n: int) -> np.ndarray:
    """Return the facts of a file, all unknown if it is new."""
    size = n * FACTS.itemsize
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(handle).st_size != size:
            os.truncate(handle, 0)
            _write_all(handle, np.zeros(n, FACTS), 0)  # whole: a map of a full disk kills
    finally:
        os.close(handle)
    return np.memmap(path, FACTS, "r+", shape=(n,))


def _write_all(file: int, array: np.ndarray, offset: int) -> None:
    left = memoryview(array.tobytes())
    while left:
        written = os.pwrite(file, left, offset)
        left = left[written:]
        offset += written
