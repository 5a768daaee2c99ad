"""Decode the files of a folder or an archive on all cores, into the rows of a pixel file."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import numpy as np

from job import errors
from job.data import archives, decoding, depths, names
from job.data.archives import Member
from job.data.pixel_file import PixelFile
from job.data.progress import progress
from job.interrupt import INTERRUPT

HELD_BYTES = 1 << 28  # of an archive, read ahead of the threads that decode
AHEAD = 4  # files per thread


class Decoder:
    """Decodes the files of a folder or an archive into the rows of a pixel file.

    Attributes:
        bits: how many of their 16 bits the 16-bit images use, once all are decoded.
    """

    def __init__(
        self,
        path: Path,
        members: list[Member] | None,
        ordered: list[str],
        size: tuple[int, int] | None,
        file: PixelFile,
    ):
        """Args: members: of a folder; None for an archive. ordered: the name of each row."""
        self.bits = 16
        self._path = path
        self._members = members
        self._ordered = ordered
        self._size = size
        self._file = file
        self._damaged: dict[int, str] = {}  # row -> the error

    def decode_all(self) -> list[str]:
        """Decode every file; return notes for the user. Raises: Invalid, Unreachable."""
        facts = self._file.facts
        with decoding.bounded():
            self._decode(np.flatnonzero(~facts["is_done"]))
            if not self._size and len(sizes_of(facts)) > 1:
                raise errors.Invalid(
                    f"images differ in size, {_list_sizes(facts, self._ordered)}: "
                    "set data.image_size, one side of a square or [height, width]"
                )
            deep = facts["largest"] >= 0
            if not deep.any():
                return []
            largest = int(facts["largest"].max())
            self.bits = depths.smallest(largest)
            self._decode(np.flatnonzero(deep & (facts["bits"] != self.bits)))
        if self.bits == 16:
            return []
        return [
            f"{deep.sum()} images of 16 bits use only {self.bits} of them (the largest value "
            f"is {largest}): 0..{2**self.bits - 1} became 0..255, as it will in images to predict"
        ]

    def _decode(self, rows: np.ndarray) -> None:
        """Decode the files of some rows, on all cores."""
        if not len(rows):
            return
        row_of = {self._ordered[row]: row for row in rows.tolist()}
        total = len(self._ordered)
        with progress("decoding", total, total - len(rows)) as advance:
            for row, damage in _on_all_cores(self._jobs(row_of)):
                advance()
                if damage:
                    self._damaged[row] = damage
        if self._damaged:
            first, *others = sorted(self._damaged)
            listed = names.list_some(self._ordered[row] for row in others)
            raise errors.Invalid(self._damaged[first] + (f"; so are {listed}" if others else ""))

    def _jobs(self, row_of: dict[str, int]) -> Iterator[tuple[Callable[[], tuple], int]]:
        """Yield a call per file that decodes it, and the bytes that it holds until then."""
        for member in self._members or archives.members(self._path):
            row = row_of.get(member.name)
            if row is None:
                continue
            if member.version:
                yield partial(self._decode_one, row, member.name, member.read), 0
                continue
            try:
                content = member.read()
            except errors.Invalid as exc:
                self._damaged[row] = str(exc)
                continue
            yield partial(self._decode_one, row, member.name, partial(bytes, content)), len(content)

    def _decode_one(
        self, row: int, name: str, content: Callable[[], bytes]
    ) -> tuple[int, str | None]:
        """Decode a file into its row; return the row, and what is wrong with the file."""
        what = f"image {name!r} of {self._path}"
        try:
            decoded = decoding.decode(content(), what, self._size, self.bits)
        except errors.Invalid as exc:
            return row, str(exc)
        pixels = np.asarray(decoded.image)
        self._file.write(row, pixels, decoded.size, decoded.largest, self.bits)
        return row, None


def _on_all_cores(jobs: Iterable[tuple[Callable[[], tuple], int]]) -> Iterator[tuple]:
    """Yield the results of calls that threads make, in any order.

    Args:
        jobs: each call, and the bytes that it holds until it is made: few are held at once.

    Raises:
        Interrupted: a signal came.
        Exception: whatever a call raises.
    """
    cores = len(os.sched_getaffinity(0))
    held: dict[Future, int] = {}
    pool = ThreadPoolExecutor(cores, "decode")
    try:
        for call, size in jobs:
            INTERRUPT.check()
            held[pool.submit(call)] = size
            while len(held) >= AHEAD * cores or sum(held.values()) > HELD_BYTES:
                yield from _done(held)
        while held:
            INTERRUPT.check()
            yield from _done(held)
    finally:
        pool.shutdown(cancel_futures=True)


def _done(held: dict[Future, int]) -> Iterator[tuple]:
    """Wait for calls, and yield the results of those that are made."""
    for future in wait(held, return_when=FIRST_COMPLETED).done:
        del held[future]
        yield future.result()


def sizes_of(facts: np.ndarray) -> Counter[tuple[int, int]]:
    """Return the number of images of each (width, height), as the files have them."""
    return Counter(zip(facts["width"].tolist(), facts["height"].tolist(), strict=True))


def _list_sizes(facts: np.ndarray, ordered: list[str]) -> str:
    """Return the smallest, the largest and the most frequent size, each with an image of it."""
    sizes = sizes_of(facts)
    by_area = sorted(sizes, key=_area)
    most_frequent = sizes.most_common(1)[0][0]
    listed = dict.fromkeys((by_area[0], by_area[-1], most_frequent))
    examples = []
    for width, height in listed:
        row = np.flatnonzero((facts["width"] == width) & (facts["height"] == height))[0]
        n = sizes[width, height]
        examples.append(f"{width} x {height} ({n} images, {ordered[row]!r})")
    others = len(sizes) - len(listed)
    more = f" and {others} more sizes" if others else ""
    return f"{', '.join(examples)}{more} (width x height)"


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    width, height = size
    return width * height, size
