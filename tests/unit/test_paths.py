"""Where the files of a task lie: what one version wrote, every later one reads."""

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

TASK, OWNER = Key("cnn", "trial", 7), "0123456789abcdef" * 2


def test_there_and_back():
    """What an attempt writes is read as of that attempt, with its owner, and of a checkpoint the step and whose it is."""
    key = f"{attempt_folder('e-1', TASK, 3, OWNER)}/{checkpoint_name(950, 'cafe0123')}"
    assert key == "experiments/e-1/cnn/trial/7/3-01234567/checkpoint-000000950-cafe0123"
    found = task_file(key)
    assert (found.experiment, found.task, found.attempt, found.owner) == (
        "e-1",
        TASK,
        3,
        "01234567",
    )
    assert (found.step, found.mark, found.folder) == (
        950,
        "cafe0123",
        attempt_folder("e-1", TASK, 3, OWNER),
    )


def test_an_older_version_wrote_numbers_alone():
    """Its folders and checkpoints are read, too, without an owner and a mark."""
    found = task_file("experiments/e-1/cnn/trial/7/12/checkpoint-000000009")
    assert (found.attempt, found.owner, found.step, found.mark) == (12, None, 9, None)


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
    """Anything else is nobody's, and gc leaves it alone."""
    assert task_file(key) is None


@pytest.mark.parametrize(
    "folder, expected",
    [("3-01234567", (3, "01234567")), ("3", (3, None)), ("x", None), ("3/4", None), ("", None)],
)
def test_the_attempt_of_all_files(folder, expected):
    """All files of a task lie under one attempt at it, or it has none."""
    files = {
        name: f"{task_folder('e-1', TASK)}/{folder}/{name}"
        for name in ("result.json", "history.csv")
    }
    assert attempt_of("e-1", TASK, files) == expected
    assert (
        attempt_of(
            "e-1", TASK, files | {"model.keras": "experiments/e-1/cnn/trial/8/3/model.keras"}
        )
        is None
    )
    assert attempt_of("e-2", TASK, files) is None
    assert attempt_of("e-1", TASK, {}) is None


def test_the_note_of_a_drop():
    """It names the experiment, and nothing but such a note does."""
    assert dropped(note_of("small-0a1b2c3d")) == "small-0a1b2c3d"
    assert [
        dropped(k)
        for k in (
            "dropped/a/b.json",
            "dropped/../x.json",
            "dropped/x",
            "experiments/dropped/x.json",
        )
    ] == [None] * 4
