"""The paths of a task's files: every later version reads what an earlier one wrote."""

import pytest

from job.experiment.task import Key
from job.storage.paths import (
    attempt_folder,
    attempt_of,
    checkpoint_name,
    dropped,
    note_of,
    task_file,
    task_folder,
)

TASK = Key("cnn", "trial", 7)
OWNER = "0123456789abcdef" * 2


def test_there_and_back():
    """The key of an attempt's file tells the task, the attempt and its owner.

    The key of a checkpoint also tells its step and its mark.
    """
    folder = attempt_folder("e-1", TASK, 3, OWNER)
    key = f"{folder}/{checkpoint_name(950, 'cafe0123')}"
    assert key == "experiments/e-1/cnn/trial/7/3-01234567/checkpoint-000000950-cafe0123"
    file = task_file(key)
    assert (file.experiment, file.task) == ("e-1", TASK)
    assert (file.attempt, file.owner) == (3, "01234567")
    assert (file.step, file.mark, file.folder) == (950, "cafe0123", folder)


def test_an_older_version_wrote_numbers_alone():
    """Folders and checkpoints of older versions are read, too: they have no owner and no mark."""
    file = task_file("experiments/e-1/cnn/trial/7/12/checkpoint-000000009")
    assert (file.attempt, file.owner, file.step, file.mark) == (12, None, 9, None)


@pytest.mark.parametrize(
    "key",
    [
        "experiments/e-1/report/index.html",
        "experiments/e-1/cnn/trial/7/notes.txt",
        "experiments/e-1/cnn/trial/x/1/result.json",
        "experiments/e-1/cnn/trial/7/1-short/result.json",
        "experiments/e-1/cnn/trial/7/1-01234567/",
        "data/d/train-images.npy",
    ],
)
def test_what_is_of_no_attempt(key):
    """Any other key belongs to no attempt, and gc leaves it alone."""
    assert task_file(key) is None


@pytest.mark.parametrize(
    "folder, expected",
    [("3-01234567", (3, "01234567")), ("3", (3, None)), ("x", None), ("3/4", None), ("", None)],
)
def test_the_attempt_of_all_files(folder, expected):
    """The files of a task have an attempt only if all of them are in one attempt's folder."""
    top = f"{task_folder('e-1', TASK)}/{folder}"
    files = {name: f"{top}/{name}" for name in ("result.json", "history.csv")}
    elsewhere = {"model.keras": "experiments/e-1/cnn/trial/8/3/model.keras"}
    assert attempt_of("e-1", TASK, files) == expected
    assert attempt_of("e-1", TASK, files | elsewhere) is None
    assert attempt_of("e-2", TASK, files) is None
    assert attempt_of("e-1", TASK, {}) is None


def test_the_note_of_a_drop():
    """The key of a drop's note names the experiment, and no other key does."""
    assert dropped(note_of("small-0a1b2c3d")) == "small-0a1b2c3d"
    for key in ("a/b.json", "../x.json", "x"):
        assert dropped(f"dropped/{key}") is None
    assert dropped("experiments/dropped/x.json") is None
