"""`job prepare --describe`: what is understood of a user's pictures, before anything runs."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

FILE = """
name = "birds"
[data]
source = "birds"
image_size = 16
groups = "birds.csv"
holdout = 0.25
[folds]
count = 2
[models.cnn]
epochs = 1
"""


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """Return a folder with 40 owls of 20 x 12, 8 wrens of 16 x 16, and a file that is no image.

    One more copy of an owl is in each class.
    """
    folder = tmp_path_factory.mktemp("birds")
    rng = np.random.default_rng(0)
    for name, n, size in (("owl", 40, (12, 20, 3)), ("wren", 8, (16, 16, 3))):
        (folder / "birds" / name).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(
                folder / "birds" / name / f"{i:02}.png"
            )
    for copied in ("owl/copy of 1.PNG", "wren/copy of an owl.png"):
        (folder / "birds" / copied).write_bytes((folder / "birds" / "owl" / "01.png").read_bytes())
    (folder / "birds" / "owl" / "Thumbs.db").write_text("no image")
    images = sorted(
        p.relative_to(folder / "birds").as_posix()
        for p in (folder / "birds").rglob("*.[pP][nN][gG]")
    )
    (folder / "birds.csv").write_text(
        "image,group\n" + "".join(f"{name},camera {i // 2}\n" for i, name in enumerate(images))
    )
    (folder / "birds.toml").write_text(FILE)
    return folder


def job(folder, *arguments, **environ):
    """Run `job` in a folder."""
    command = [sys.executable, "-m", "job", *arguments]
    environ = {"PATH": "/usr/bin:/bin", "JOB_CACHE_DIR": str(folder / "cache")} | environ
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )


def test_every_figure_is_true(birds):
    """Counts, sizes, splits and duplicates are those of the files.

    Neither a database nor a store is needed, and nothing is written.
    """
    before = sorted(birds.rglob("*"))
    done = job(birds, "prepare", "birds.toml", "--describe", "--json")
    assert done.returncode == 0, done.stderr
    assert [p for p in sorted(birds.rglob("*")) if p not in before] == []
    found = json.loads(done.stdout)
    assert found["found"] == {"train": 50, "test": None}
    assert found["sizes"] == [
        {"width": 20, "height": 12, "images": 42},
        {"width": 16, "height": 16, "images": 8},
    ]
    assert found["image_shape"] == [16, 16, 3]
    assert found["bytes"] == 50 * 16 * 16 * 3
    assert found["train"] + found["test"] == 50
    assert found["test"] == pytest.approx(12, abs=3)
    assert sum(found["folds"]) == found["train"]
    assert len(found["folds"]) == 2
    assert [c["class"] for c in found["classes"]] == ["owl", "wren"]
    assert [c["train"] + c["test"] for c in found["classes"]] == [41, 9]
    assert found["validation"] == pytest.approx(0.2 * found["train"], abs=2)
    assert found["duplicates"]["train_test"] == 0, (
        "equal images stay on one side of a part that is held out"
    )
    assert (found["duplicates"]["train"], found["conflicts"]) in ((2, 3), (0, 0)), (
        "the three equal images are all in one part"
    )


def test_the_description_is_readable(birds):
    """The lines name what matters, and that accuracy would favor the owls."""
    done = job(birds, "prepare", "birds.toml", "--describe")
    assert done.returncode == 0, done.stderr
    for words in (
        "found        50 training and 0 test images of 2 classes",
        "held out, as none is shipped",
        "20 x 12 (42), 16 x 16 (8)",
        "staged as 16 x 16",
        "groups       ",
    ):
        assert words in done.stdout
    assert (
        '"balanced_accuracy" counts each class the same, and class_weights = "balanced"'
        in done.stdout
    )


def test_the_log_stays_out_of_the_answer(tmp_path):
    """With JOB_LOG=json the output is still the answer, which holds each note once."""
    images = np.zeros((40, 8, 8, 3), np.uint8)
    labels = np.arange(40) % 2
    images[:, 0, 0, 0] = np.arange(40)
    np.savez(tmp_path / "two.npz", x_train=images, y_train=labels, patient_train=labels)
    (tmp_path / "two.toml").write_text(
        'name = "two"\n[data]\nsource = "two.npz"\n[folds]\ncount = 2\n[models.cnn]\nepochs = 1\n'
    )
    done = job(tmp_path, "prepare", "two.toml", "--describe", "--json", JOB_LOG="json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["found"]["train"] == 40
    assert done.stderr == ""
    assert sum("patient_train not read" in note for note in found["notes"]) == 1
