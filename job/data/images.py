"""The images of a part: rows of a stack that is in memory, or in a file of the cache's disk."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from job.mapped import read_rows

BLOCK_BYTES = 1 << 24  # of pixels, read at a time
DIGEST_BYTES = 16


class Stack:
    """Images of one size, and a digest of each.

    Attributes:
        array: uint8 [m, height, width, 3], RGB, 0..255, in memory or mapped.
    """

    def __init__(self, array: np.ndarray, digests: np.ndarray | None = None):
        """Args: digests: of each image, as `digest` returns them; None to compute them once."""
        self.array = array
        self._known = digests

    @cached_property
    def digests(self) -> np.ndarray:
        """S16 [m], equal for identical pixels."""
        if self._known is not None:
            return self._known
        found = [digest(image) for block in Images.of(self).blocks() for image in block]
        return np.array(found, f"S{DIGEST_BYTES}")


@dataclass(frozen=True)
class Images:
    """Some images of a stack, in an order of their own; cutting a part copies no pixel."""

    stack: Stack
    rows: np.ndarray  # int64 [n], of the stack

    @classmethod
    def of(cls, stack: Stack | np.ndarray) -> Self:
        """Return all images of a stack or an array."""
        stack = stack if isinstance(stack, Stack) else Stack(stack)
        return cls(stack, np.arange(len(stack.array)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: np.ndarray | slice) -> np.ndarray:
        """Return a copy of some images: uint8 [., height, width, 3]."""
        return read_rows(self.stack.array, self.rows[chosen])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The number of images, height, width and 3."""
        height, width, channels = self.stack.array.shape[1:]
        return len(self.rows), height, width, channels

    @property
    def nbytes(self) -> int:
        """The bytes of all pixels."""
        return math.prod(self.shape)

    @property
    def digests(self) -> np.ndarray:
        """S16 [n], equal for identical pixels."""
        return self.stack.digests[self.rows]

    def select(self, chosen: np.ndarray) -> "Images":
        """Return some of the images, by their indices."""
        return Images(self.stack, self.rows[chosen])

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all images in order, in copies of up to BLOCK_BYTES."""
        yield from blocks(self.stack.array, self.rows)


def blocks(array: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Yield copies of rows of an array, of up to BLOCK_BYTES, and at least one row.

    Args:
        array: in memory or mapped.
        rows: which of them, int64; None for all.
    """
    rows = np.arange(len(array)) if rows is None else rows
    n = max(BLOCK_BYTES * len(array) // max(array.nbytes, 1), 1)
    for start in range(0, len(rows), n):
        yield read_rows(array, rows[start : start + n])


def digest(image: np.ndarray) -> bytes:
    """Return the digest of the pixels of an image of a known shape."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=DIGEST_BYTES).digest()
