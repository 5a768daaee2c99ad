"""The keys of the store: every later version reads what an earlier one wrote."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from job.experiment.task import Key
from job.storage import paths
from job.storage.paths import (
    FeatureShard,
    attempt_folder,
    attempt_of,
    checkpoint_name,
    drop_note,
    dropped_experiment,
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
    assert dropped_experiment(drop_note("small-0a1b2c3d")) == "small-0a1b2c3d"
    for key in ("a/b.json", "../x.json", "x"):
        assert dropped_experiment(f"dropped/{key}") is None
    assert dropped_experiment("experiments/dropped/x.json") is None


DIGEST = "0123456789abcdef" * 4


def test_the_keys_of_data_and_weights():
    """Staged data lies in the folder of its id; weights are named by their hash and layout."""
    assert paths.data_file("d", paths.MANIFEST) == "data/d/manifest.json"
    assert paths.data_file("d", "") == "data/d/"
    assert paths.is_manifest("data/d/manifest.json")
    assert not paths.is_manifest("data/d/samples.npz")
    assert paths.splits_file("d", DIGEST) == "data/d/splits-0123456789abcdef.npz"
    now = paths.weights_file(DIGEST, "mobilenetv2_1.0_224_no_top.weights.h5")
    older = paths.weights_file(DIGEST, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5")
    assert now == f"weights/{DIGEST}.weights.h5"
    assert older == f"weights/{DIGEST}.h5"
    assert [paths.hash_of_weights(key) for key in (now, older)] == [DIGEST, DIGEST]
    pointer = paths.weights_pointer("resnet50_no_top.weights.h5")
    assert pointer == "weights/resnet50_no_top.weights.h5.json"
    assert paths.hash_of_weights(pointer) is None
    assert paths.hash_of_weights(f"../weights/{DIGEST}.h5") is None


def test_the_keys_of_features():
    """The key of a shard names the data, the base, and all else that its bits depend on."""
    shard = FeatureShard(
        data="d",
        model="mobilenetv2",
        alpha=0.5,
        weights=DIGEST,
        input_size=96,
        antialiased=False,
        views="none",
        depths=1,
        index=1,
        shards=4,
        threads=2,
        machine="cafe0123",
    )
    key = paths.features_file(shard.prefix, DIGEST)
    base = "features/d/mobilenetv2-0.5-0123456789ab-96"
    assert key == f"{base}/1-of-4-2-cafe0123-0123456789abcdef.npy"
    assert replace(shard, alpha=1.0, antialiased=True).prefix == (
        "features/d/mobilenetv2-1-0123456789ab-96-antialias/1-of-4-2-cafe0123-"
    )
    assert replace(shard, model="resnet50", alpha=None).prefix == (
        "features/d/resnet50-0123456789ab-96/1-of-4-2-cafe0123-"
    )
    assert replace(shard, depths=5, views="mirror").prefix == (
        "features/d/mobilenetv2-0.5-0123456789ab-96-depths5-mirror/1-of-4-2-cafe0123-"
    )
    assert key.startswith(paths.features_folder("d"))
    assert paths.is_made_on(key, "cafe0123")
    assert not paths.is_made_on(key, "0123cafe")


def test_the_keys_of_an_experiment():
    """The files of an experiment are its tasks' and its report's; the note of a drop is none."""
    assert paths.experiment_folder("e-1") == "experiments/e-1"
    assert task_folder("e-1", TASK) == "experiments/e-1/cnn/trial/7"
    assert paths.report_file("e-1", "index.html") == "experiments/e-1/report/index.html"
    assert paths.is_of_experiment("experiments/e-1/report/index.html")
    assert drop_note("e-1") == "dropped/e-1.json"
    assert not paths.is_of_experiment(drop_note("e-1"))


def test_one_file_holds_the_keys():
    """No other file of the package spells a key of the store, or the name of one of its files."""
    package = Path(paths.__file__).parents[1]
    names = {v for n, v in vars(paths).items() if n.isupper() and isinstance(v, str)}
    files = {name for name in names if name.count(".") == 1}
    assert len(files) == 16
    tops = ("data/", "weights/", "features/", f"{paths.TOP}/", paths.NOTES)
    spelled = [
        f"{path.relative_to(package)}:{node.lineno}: {node.value!r}"
        for path in sorted(package.rglob("*.py"))
        if path != Path(paths.__file__)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.startswith(tops) or node.value.lstrip("/") in files
    ]
    assert spelled == []
