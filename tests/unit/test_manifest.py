"""The manifest of staged data: what each version wrote is read, and written as it was."""

import json

import pytest

from job.experiment.manifest import Manifest, Prepared

# As the first version wrote it.
FIRST = {
    "id": "0123456789abcdef",
    "source": "pets.zip",
    "classes": ["cat", "dog"],
    "image_shape": [24, 32, 3],
    "train": 8,
    "test": 4,
    "train_counts": [4, 4],
    "test_counts": [2, 2],
    "duplicates": {"train": 1, "train_test": 0},
    "files": {"train-labels.npy": {"sha256": "0" * 64, "size": 192}},
}
NEWEST = FIRST | {"notes": ["a note"], "bits": 12, "groups": {"train": 3, "test": 1}}
ENTRY = {"sha256": "0" * 64, "size": 192, "etag": "e"}
ROW = NEWEST | {"validation": 2, "stored": {"data/0123456789abcdef/x": ENTRY}, "notice": None}


def test_a_manifest_is_written_as_it_was_read():
    """The JSON of a manifest, and of a row, comes back with every key in its place."""
    for kind, table in ((Manifest, NEWEST), (Prepared, ROW)):
        text = json.dumps(table)
        assert json.dumps(kind.from_stored(json.loads(text)).stored()) == text


def test_a_manifest_of_the_first_version_is_read():
    """Later keys may be missing: no notes, all bits, no groups, no objects, no notice."""
    data = Prepared.from_stored(FIRST | {"validation": 2})
    assert (data.notes, data.bits, data.groups) == ([], 16, None)
    assert (data.objects, data.notice) == ({}, None)
    assert data.image_shape == (24, 32, 3)
    assert Manifest.from_stored(FIRST).stored() == FIRST | {"notes": []}


@pytest.mark.parametrize("key", [*FIRST, "validation"])
def test_a_row_without_what_every_version_wrote_is_refused(key):
    """A damaged row is found when it is read, by the name of what it lacks."""
    table = {k: v for k, v in ROW.items() if k != key}
    with pytest.raises(KeyError, match=key):
        Prepared.from_stored(table)
