"""A checkpoint is complete or recognized as damaged, and this task's or recognized as another's."""

import time

import numpy as np
import pytest

from job.errors import Invalid
from job.experiment.task import Key
from job.learning import checkpoint
from job.storage.folder import FolderStore
from job.storage.paths import attempt_folder, task_file, task_folder

TASK = Key("cnn", "trial", 0)


class Undeletable(FolderStore):
    """A folder without the right to delete; a real one would need another user."""

    def delete(self, keys, patience_s=None):
        """Refuse to delete anything."""
        if keys:
            raise Invalid("no right to delete")


@pytest.fixture
def store(tmp_path):
    """Return a store in a folder."""
    return FolderStore(tmp_path, 5, time.sleep)


def checkpoints(store, attempt=1, owner="a" * 32, **identity):
    """Return the checkpoints of an attempt at one task."""
    folders = (task_folder("e", TASK), attempt_folder("e", TASK, attempt, owner))

    def identify() -> dict:
        return {"task": "trial 0"} | identity

    def describe_machine() -> dict:
        return {"cpu": "x"}

    def ignore(step: int) -> None:
        pass

    return checkpoint.Checkpoints(store, folders, 60, identify, describe_machine, ignore)


def save(saved, *steps):
    """Save a checkpoint at each of the steps."""
    for step in steps:
        saved.offer(lambda step=step: ([np.full(2, step)], {"step": step}))
        saved.save_last()


def steps(store):
    """Return attempt and step of every stored checkpoint."""
    return sorted((p.attempt, p.step) for p in map(task_file, (o.key for o in store.listing(""))))


def test_a_bundle_round_trips():
    """Arrays come back in order with dtype and shape, and so does the state."""
    arrays = [np.arange(3, dtype=np.float32), np.zeros((2, 0), np.int64), np.array(7, np.uint32)]
    again, state = checkpoint.unpack(checkpoint.pack(arrays, {"step": 5}))
    assert state == {"step": 5}
    assert [(a.dtype, a.shape) for a in again] == [(a.dtype, a.shape) for a in arrays]
    assert [a.tolist() for a in again] == [a.tolist() for a in arrays]


def test_damage_is_noticed():
    """A bundle that is truncated anywhere, or has one bit flipped, is refused."""
    bundle = checkpoint.pack([np.arange(10)], {})
    for cut in (0, 10, 65, 200, len(bundle) - 1):
        with pytest.raises(checkpoint.Damaged):
            checkpoint.unpack(bundle[:cut])
    for where in (3, 100, len(bundle) - 5):
        turned = bytearray(bundle)
        turned[where] ^= 1
        with pytest.raises(checkpoint.Damaged):
            checkpoint.unpack(bytes(turned))


def test_an_attempt_resumes_from_the_newest_checkpoint(store):
    """The next attempt resumes from the newest; two are kept over all attempts."""
    save(checkpoints(store), 1, 2, 3)
    again = checkpoints(store, attempt=2)
    assert [(a[0].tolist(), s) for a, s in again.newest()] == [
        ([3, 3], {"step": 3}),
        ([2, 2], {"step": 2}),
    ]
    save(again, 4)
    assert steps(store) == [(1, 3), (2, 4)]


def test_anothers_checkpoint_is_no_word_on_this_task(store, caplog):
    """A checkpoint with other parameters is skipped with a warning that names the difference.

    However far it is, it does not cause this task's checkpoints to be removed.
    """
    save(checkpoints(store, rate=0.1), 950)
    ours = checkpoints(store, attempt=1, owner="b" * 32, rate=0.2)
    assert list(ours.newest()) == []
    assert "it belongs to another task, other parameters or other data (rate differ)" in caplog.text
    save(ours, 10, 20, 30)
    assert [s["step"] for _, s in checkpoints(store, attempt=2, rate=0.2).newest()] == [30, 20]
    assert steps(store) == [(1, 20), (1, 30), (1, 950)]


def test_two_attempts_of_one_number_have_two_folders(store):
    """When a restored database hands out a number twice, the first attempt is not overwritten."""
    save(checkpoints(store, owner="a" * 32), 5)
    save(checkpoints(store, owner="b" * 32), 5)
    assert steps(store) == [(1, 5), (1, 5)]


@pytest.mark.parametrize("state", [{"step": 7, "machines": []}, {"step": 7}, [], None, "x"])
def test_a_checkpoint_without_an_identity_is_skipped(store, caplog, state):
    """A checkpoint of an older version, or one sealed over anything else, is skipped."""
    store.put(
        "experiments/e/cnn/trial/0/1/checkpoint-000000007", checkpoint.pack([np.arange(2)], state)
    )
    assert list(checkpoints(store, attempt=2).newest()) == []
    assert "checkpoint-000000007 is skipped" in caplog.text


def test_a_seal_over_no_bundle_is_damage():
    """A matching hash over what is no bundle is damage, too."""
    for body in (b"", b"[]", b"null", b"PK\x03\x04 and no more"):
        with pytest.raises(checkpoint.Damaged, match="it is not a bundle"):
            checkpoint.unpack(checkpoint.hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def test_checkpoints_that_cannot_be_removed_do_not_stop_training(tmp_path, caplog):
    """Old checkpoints that cannot be removed stay, with one warning."""
    store = Undeletable(tmp_path, 5, time.sleep)
    save(checkpoints(store), 1, 2, 3, 4)
    assert len(steps(store)) == 4
    warning = "old checkpoints cannot be deleted and are left to `job gc`: no right to delete"
    assert caplog.text.count(warning) == 1
