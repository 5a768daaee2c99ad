"""`job prepare --describe`: what is understood of a user's pictures, before anything runs."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from job.data.pixel_file import FACTS

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


def files_in(folder) -> set:
    """Return all files below a folder, hidden ones too."""
    return {path for path in folder.rglob("*") if path.is_file()}


def test_every_figure_is_true(birds):
    """Counts, sizes, splits and duplicates are those of the files.

    Neither a database nor a store is needed, and no file is left.
    """
    before = files_in(birds)
    done = job(birds, "prepare", "birds.toml", "--describe", "--json")
    assert done.returncode == 0, done.stderr
    assert files_in(birds) - before <= {birds / "cache" / "scratch" / ".all.lock"}
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


MANY = """
name = "many"
[data]
source = "photos"
[models.cnn]
"""
FLAT_SIDE = 1000


@pytest.fixture
def photos(tmp_path):
    """Return a folder with 160 pictures of 1 megapixel, 480 MB of pixels, and their experiment."""
    for i, name in enumerate(("day", "night")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        flat = Image.new("RGB", (FLAT_SIDE, FLAT_SIDE), (200 - 150 * i, 30, 60))
        for k in range(80):
            flat.putpixel((k, 0), (255, 255, 255))  # no two are equal
            flat.save(tmp_path / "photos" / name / f"{k}.png", compress_level=1)
    (tmp_path / "many.toml").write_text(MANY)
    return tmp_path


# Between us and a process: what we had in memory when we started one counts as its own.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_pixels_are_not_held_in_memory(photos):
    """480 MB of pixels are described in less than 250 MB, imports included."""
    command = [sys.executable, "-m", "job", "prepare", "many.toml", "--describe"]
    environ = {"PATH": "/usr/bin:/bin", "JOB_CACHE_DIR": str(photos / "cache")}
    peak = subprocess.check_output(
        [sys.executable, "-c", PEAK, *command], cwd=photos, env=environ, text=True
    )
    assert int(peak) < 250_000  # KiB
    assert not list((photos / "cache" / "unfinished").iterdir())


def start(folder, *arguments) -> subprocess.Popen:
    """Start `job` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "job", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "JOB_CACHE_DIR": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
    )


def test_a_killed_prepare_decodes_no_picture_twice(photos):
    """What a process decoded before it was killed is taken over, except for a damaged row."""
    child = start(photos, "prepare", "many.toml", "--describe")
    while not (done := decoded(photos)) or done < 10:
        assert child.poll() is None, "too fast to be killed in the middle"
        time.sleep(0.005)
    child.kill()
    child.wait()
    done = decoded(photos)
    assert done < 160
    (pixels,) = (photos / "cache" / "unfinished").glob("*/pixels")
    first = int(np.flatnonzero(facts(photos)["is_done"])[0])
    with open(pixels, "r+b") as file:  # as a power cut may leave it
        file.seek(first * FLAT_SIDE**2 * 3)
        file.write(bytes(8))
    again = job(photos, "prepare", "many.toml", "--describe", "--json")
    assert f"{done - 1} of 160 images were decoded by a killed process" in again.stderr
    untouched = job(photos, "prepare", "many.toml", "--describe", "--json")
    assert "killed process" not in untouched.stderr
    assert again.stdout == untouched.stdout
    assert json.loads(again.stdout)["duplicates"] == {"train": 0, "train_test": 0}


def facts(folder) -> np.ndarray | None:
    """Return what is known of the decoded pictures, None before there is any."""
    found = [*(folder / "cache" / "unfinished").glob("*/facts")]
    content = found[0].read_bytes() if found else b""
    return np.frombuffer(content, FACTS) if len(content) == 160 * FACTS.itemsize else None


def decoded(folder) -> int | None:
    """Return how many pictures are decoded."""
    known = facts(folder)
    return None if known is None else int(known["is_done"].sum())
