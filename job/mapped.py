"""Rows of arrays that may be files mapped into memory."""

import mmap

import numpy as np

MAPPED_BYTES = 1 << 26  # the largest mapped file that may stay in this process's memory once read


def read_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a copy of rows of an array, and release the pages of a large mapped file.

    The pages stay in the node's page cache, which all its tasks share. Without the release each
    process would appear to need the whole file: Slurm counts mapped pages as memory of the task.
    A thread that reads the same file meanwhile maps its pages again.

    Args:
        array: in memory or mapped.
        rows: which of them, int64, in this order.
    """
    result = array[rows]
    if isinstance(array, np.memmap) and array.nbytes > MAPPED_BYTES:
        # numpy has no public way to the mapping.
        array._mmap.madvise(mmap.MADV_DONTNEED)  # pyright: ignore[reportAttributeAccessIssue]
    return result
