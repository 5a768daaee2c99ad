"""The predictions of a task, reduced to what a report shows of them.

Probabilities of many classes and images take gigabytes. They are read a few rows at a time.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from job.report.curves import rocs

BLOCK_BYTES = 1 << 24  # of probabilities that are read at once
# ROC lines are drawn from at most as many probabilities, 200 MB: 50,000 images of 1,000 classes.
LINES_MOST = 50_000_000


@dataclass(frozen=True)
class Lines:
    """ROC lines, one-vs-rest.

    Attributes:
        of_classes: of each class float [101], as `curves.roc` returns it, or None.
        n: images that they are drawn from.
    """

    of_classes: list[np.ndarray | None]
    n: int


@dataclass(frozen=True)
class Predictions:
    """The predictions of a fold, a final or the best trial for rows it did not train on.

    Attributes:
        labels: the true classes, int64 [n], 0..k-1.
        rows: of the training part (folds, trials) or the test part (finals), int64 [n].
        guesses: the predicted classes, int64 [n].
        confidence: the probability of the predicted class, float32 [n].
        truth: the probability of the true class, float32 [n].
        classes: k.
        lines: None where no lines are needed.
    """

    labels: np.ndarray
    rows: np.ndarray
    guesses: np.ndarray
    confidence: np.ndarray
    truth: np.ndarray
    classes: int
    lines: Lines | None = None

    @property
    def right(self) -> np.ndarray:
        """Return which rows are classified correctly, bool [n]."""
        return self.guesses == self.labels


def read(file: BinaryIO, with_lines: bool) -> Predictions:
    """Return the content of a predictions.npz, without unpickling anything.

    Args:
        file: open for reading, and seekable.
        with_lines: whether to compute ROC lines.
    """
    with zipfile.ZipFile(file) as archive:
        labels, rows = (_array(archive, name) for name in ("labels", "rows"))
        with archive.open("probabilities.npy") as probabilities:
            k, blocks = _blocks(probabilities)
            return reduce(blocks, labels, rows, k, with_lines)


def reduce(
    blocks: Iterator[np.ndarray], labels: np.ndarray, rows: np.ndarray, k: int, with_lines: bool
) -> Predictions:
    """Return predictions from blocks of probabilities.

    Args:
        blocks: float32 [any, k] each; one after the other they have the rows of `labels`.
        labels: int64 [n], 0..k-1.
        rows: int64 [n].
        k: the number of classes.
        with_lines: whether to compute ROC lines.
    """
    n = len(labels)
    guesses = np.zeros(n, np.int64)
    confidence = np.zeros(n, np.float32)
    truth = np.zeros(n, np.float32)
    is_drawn = _drawn(labels, LINES_MOST // k) if with_lines else np.zeros(n, bool)
    drawn = np.zeros((k, int(is_drawn.sum())), np.float32)
    done = done_drawn = 0
    for block in blocks:
        here = slice(done, done + len(block))
        own = np.arange(len(block))
        guesses[here] = block.argmax(1)
        confidence[here] = block[own, guesses[here]]
        truth[here] = block[own, labels[here]]
        chosen = block[is_drawn[here]]
        drawn[:, done_drawn : done_drawn + len(chosen)] = chosen.T
        done += len(block)
        done_drawn += len(chosen)
    lines = Lines(rocs(labels[is_drawn], drawn.T), done_drawn) if with_lines else None
    return Predictions(labels, rows, guesses, confidence, truth, k, lines)


def _drawn(labels: np.ndarray, most: int) -> np.ndarray:
    """Return which rows to draw lines from, bool [n]: all, or about `most`.

    Each class keeps the same share of its rows, and at least one.
    """
    step = -(-len(labels) // max(most, 1))  # rounded up
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    # The place of each row among those of its class.
    place = np.arange(len(labels)) - np.repeat(starts, np.diff(starts, append=len(labels)))
    is_drawn = np.zeros(len(labels), bool)
    is_drawn[order[place % step == 0]] = True
    return is_drawn


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


def _blocks(file) -> tuple[int, Iterator[np.ndarray]]:
    """Return the number of columns of an open .npy, and its rows block by block.

    Raises: ValueError for an array that is not one row after the other.
    """
    npy.read_magic(file)
    (_, k), by_column, dtype = npy.read_array_header_1_0(file)
    if by_column:
        raise ValueError("probabilities.npy of predictions.npz is stored column by column")
    row_bytes = k * dtype.itemsize
    block_bytes = max(BLOCK_BYTES // row_bytes, 1) * row_bytes
    contents = iter(lambda: file.read(block_bytes), b"")
    return k, (np.frombuffer(content, dtype).reshape(-1, k) for content in contents)
