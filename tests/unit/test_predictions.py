"""Predictions of any size: read block by block, reduced to what a report shows of them."""

import hashlib
import io

import numpy as np
import pytest

from job.learning.scores import losses_of, row_losses
from job.report import artifacts, predictions
from job.report.artifacts import Artifacts
from job.report.curves import GRID, macro, rocs
from job.report.results import Task
from job.storage.cache_folder import CacheFolder
from job.storage.store import open_store
from tests.support.made_reports import Made, predict


def made(n: int = 500, k: int = 7) -> Made:
    """Return predictions of classes whose rows do not come in turn."""
    labels = np.random.default_rng(1).integers(0, k, n)
    return predict(np.arange(n)[::-1], labels, k, 0.6, seed=2)


def test_blocks_give_what_the_whole_gives(monkeypatch):
    """Blocks of three rows give the same values as the whole array, and all rows draw the lines."""
    monkeypatch.setattr(predictions, "BLOCK_BYTES", 3 * 7 * 4)
    stored = made()
    read = predictions.read(io.BytesIO(stored.stored()), with_lines=True)
    p = stored.probabilities
    assert np.array_equal(read.labels, stored.labels)
    assert np.array_equal(read.rows, stored.rows)
    assert np.array_equal(read.guesses, p.argmax(1))
    assert np.array_equal(read.confidence, p.max(1))
    assert np.array_equal(losses_of(read.truth), row_losses(stored.labels, p))
    assert read.classes == 7
    assert read.lines.n == 500
    assert np.array_equal(read.lines.of_classes, rocs(stored.labels, p))
    assert predictions.read(io.BytesIO(stored.stored()), with_lines=False).lines is None


def test_lines_of_many_rows_are_drawn_from_some_of_each_class(monkeypatch):
    """Of too many rows, each class gives the same share; the smallest class gives one image."""
    stored = made(8000, 5)
    stored.labels[stored.labels == 4] = 3
    stored.labels[17] = 4
    whole = predictions.read(io.BytesIO(stored.stored()), with_lines=True).lines
    monkeypatch.setattr(predictions, "LINES_MOST", 2000 * 5)
    some = predictions.read(io.BytesIO(stored.stored()), with_lines=True).lines
    assert whole.n == 8000
    assert 2000 <= some.n <= 2000 + 5
    # The class of one image is right or wrong as a whole, whatever else is drawn.
    of_many = slice(0, 4)
    gaps = np.abs(macro(some.of_classes[of_many]) - macro(whole.of_classes[of_many]))
    assert gaps.shape == GRID.shape
    assert gaps.max() < 0.05
    assert all(line is not None for line in some.of_classes)


def test_columns_first_are_refused():
    """Probabilities that are stored column by column cannot be read row by row."""
    buffer = io.BytesIO()
    p = np.asfortranarray(made().probabilities)
    np.savez(buffer, probabilities=p, labels=np.zeros(500, int), rows=np.arange(500))
    with pytest.raises(ValueError, match="column by column"):
        predictions.read(buffer, with_lines=False)


@pytest.mark.parametrize("most", [artifacts.MOST_BYTES, 0])
def test_a_file_is_checked_in_memory_and_on_the_disk(tmp_path, monkeypatch, most):
    """A missing, lost or altered file is one sentence, and a large one leaves nothing behind."""
    monkeypatch.setattr(artifacts, "MOST_BYTES", most)
    store = open_store(f"file://{tmp_path}/store", 5)
    content = made().stored()
    size = store.put("whole", content).size
    sha256 = hashlib.sha256(content).hexdigest()
    store.put("altered", content + b"x")
    problems = []
    files = Artifacts(store, CacheFolder(tmp_path / "cache"), problems)

    def read(key: str) -> bytes | None:
        entry = {"key": key, "sha256": sha256, "size": size}
        task = Task("fold", 1, "complete", artifact={"predictions.npz": entry})
        return files.read("cnn", task, "predictions.npz")

    assert read("whole") == content
    assert problems == []
    assert read("lost") is None
    assert read("altered") is None
    assert files.read("cnn", Task("fold", 2, "complete"), "predictions.npz") is None
    assert problems == [
        "cnn fold 1: predictions.npz is not in the store under lost",
        "cnn fold 1: predictions.npz in the store is left out:"
        " its sha256 is not the one in the task's row",
        "cnn fold 2 has no predictions.npz",
    ]
    assert list((tmp_path / "cache").glob("scratch/[!.]*")) == []
