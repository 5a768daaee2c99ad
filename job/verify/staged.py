"""The staged arrays of one experiment, each read once and checked by its hash."""

import io
from functools import cached_property

import numpy as np

from job.data.parts import Splits
from job.learning import provenance
from job.learning.checkpoint import Damaged
from job.storage import paths
from job.storage.store import Store
from job.verify.collect import Recorded


class StagedArrays:
    """The arrays of the training part, and the groups of both parts.

    All of them raise Missing for an absent object and Damaged for one with another hash.
    """

    def __init__(self, store: Store, recorded: Recorded):
        self.store = store
        self.registered = recorded.registered

    @cached_property
    def splits(self) -> Splits:
        """The splits of the training part."""
        entry = self.registered.splits
        return Splits.read(io.BytesIO(self._read(entry["key"], entry["sha256"])))

    @cached_property
    def labels(self) -> np.ndarray:
        """The labels of the training part, int64 [n]."""
        return self.array(paths.TRAIN_LABELS)

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
