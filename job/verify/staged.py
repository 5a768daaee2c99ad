"""The staged arrays of one experiment, each read once and checked by its hash."""

import io

import numpy as np

from job.learning import provenance
from job.learning.checkpoint import Damaged
from job.storage import paths
from job.storage.store import Store
from job.verify.collect import Recorded


class StagedArrays:
    """The arrays of the training part, and the groups of both parts.

    All methods raise Missing for an absent object and Damaged for one with another hash.
    """

    def __init__(self, store: Store, recorded: Recorded):
        self.store = store
        self.registered = recorded.registered
        self._splits: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def splits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return validation (bool [n]), folds (int64 [n]) and labels (int64 [n]), n images."""
        if self._splits is None:
            entry = self.registered.splits
            content = self._read(entry["key"], entry["sha256"])
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                validation = file["validation"]
                folds = file["folds"]
            self._splits = validation, folds, self.array(paths.TRAIN_LABELS)
        return self._splits

    def array(self, name: str) -> np.ndarray:
        """Return a staged array by its file name."""
        data = self.registered.data
        content = self._read(paths.data_file(data.id, name), data.files[name]["sha256"])
        return np.load(io.BytesIO(content), allow_pickle=False)

    def _read(self, key: str, sha256: str) -> bytes:
        content = self.store.get(key)
        if provenance.sha256(content) != sha256:
            raise Damaged(f"{key} has another hash than it was staged with")
        return content
