"""`job predict` on files: bounded memory, no image skipped silently, and any file name."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from job.cli.use import destination
from job.cli.use import predict as command
from job.data import pictures
from job.data.threads import AHEAD, cores
from job.errors import Interrupted, Invalid, UsageError
from job.export.predict import BATCH, answers, images, write
from job.export.trained import ABOUT, Trained, digest, from_folder
from job.interrupt import INTERRUPT

NOBODY = 65534


@pytest.fixture
def model():
    """Return a model with two classes, red and other."""

    def red(pictures):
        share = pictures[..., 0].mean((1, 2), dtype=np.float32) / 255
        return np.stack([share, 1 - share], 1)

    return Trained("m", ("red", "other\n"), (4, 6, 3), red)


@pytest.fixture
def photo(tmp_path):
    """Return the path of a red photo."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (12, 8), (255, 0, 0)).save(path)
    return path


def test_a_batch_at_a_time(model, photo):
    """At most a batch and a few files ahead are read before the first answer; a signal stops."""
    later = photo.with_name("later.png")
    ahead = AHEAD * cores()
    found = answers(model, [photo] * (BATCH + ahead - 1) + [later] + [photo] * 9 * BATCH, 1)
    assert next(found).classes == ("red",)
    photo.rename(later)
    first = [next(found).reason for _ in range(BATCH + ahead - 2)]
    assert first[: BATCH - 1] == [None] * (BATCH - 1)
    assert next(found).reason is None
    assert "cannot be read" in next(found).reason
    INTERRUPT.signal = signal.SIGTERM
    try:
        with pytest.raises(Interrupted):
            list(found)
    finally:
        INTERRUPT.signal = None


def test_a_folder_that_cannot_be_read_is_named():
    """An unreadable subfolder is an error: no image is skipped silently."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    try:
        (top / "closed").mkdir(mode=0)
        (top / "a.png").touch()
        me = os.geteuid()
        if me == 0:
            os.seteuid(NOBODY)
        try:
            with pytest.raises(Invalid, match="closed' cannot be read"):
                images([top])
        finally:
            os.seteuid(me)
    finally:
        (top / "closed").rmdir()
        shutil.rmtree(top)


def test_a_file_that_may_not_be_read_does_not_stop_the_others():
    """An unreadable file gets its own reason, and the others are classified."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    (top / "closed.png").touch(0)
    me = os.geteuid()
    try:
        if me == 0:
            os.setresuid(NOBODY, NOBODY, me)  # access(2) checks the real user
        try:
            arguments = ["model", str(top / "closed.png")]
            paths = command.make_context("predict", arguments).params["paths"]
            with pytest.raises(Invalid, match=r"closed.png' cannot be read"):
                pictures.read_one(images(paths)[0], (8, 8, 3))
        finally:
            os.setresuid(me, me, me)
    finally:
        shutil.rmtree(top)


def test_an_endless_file_is_no_image(tmp_path):
    """A device, a pipe and a file that is too large are refused before they are read."""
    os.mkfifo(tmp_path / "pipe.png")
    for path in (Path("/dev/zero"), tmp_path / "pipe.png", tmp_path):
        with pytest.raises(UsageError):
            images([path])
    with open(tmp_path / "large.png", "wb") as file:
        file.truncate(201_000_000)
    with pytest.raises(Invalid, match="more than 200,000,000 bytes"):
        pictures.read_one(tmp_path / "large.png", (4, 6, 3))


def test_any_name_is_written(model, photo):
    """A name with a line end or non-UTF-8 bytes breaks no output; only JSON keeps the line end."""
    for name in (b"\xff.png", b"a\nb.png"):
        shutil.copy(photo, os.path.join(os.fsencode(photo.parent), name))
    photo.unlink()
    printed = {}
    for form in ("table", "json", "jsonl", "csv"):
        out = io.StringIO()
        assert write(answers(model, images([photo.parent]), 2), form, 2, out) == []
        printed[form] = out.getvalue()
        printed[form].encode()
    wanted = [f"{photo.parent}/a\nb.png", rf"{photo.parent}/\xff.png"]
    entries = json.loads(printed["json"])
    assert [a["file"] for a in entries] == wanted
    assert [json.loads(line) for line in printed["jsonl"].splitlines()] == entries
    rows = csv.DictReader(io.StringIO(printed["csv"]))
    assert [row["file"] for row in rows] == [w.replace("\n", r"\n") for w in wanted]
    cells = "1.000 red               0.000 other\\n           "
    lines = [cells + w.replace("\nb", r"\nb") for w in wanted]
    assert printed["table"].splitlines() == lines


def test_images_are_fitted_like_the_training_data(model, tmp_path):
    """A model of cropped or padded images sees a photo of another shape cropped or padded."""
    photo = Image.new("RGB", (60, 4), (0, 0, 255))
    photo.paste((255, 0, 0), (20, 0, 40, 4))  # red in the middle third
    photo.save(tmp_path / "wide.png")
    shares = {}
    for fit in ("stretch", "crop", "pad"):
        (answer,) = answers(replace(model, fit=fit), [tmp_path / "wide.png"], 2)
        shares[fit] = dict(zip(answer.classes, answer.probabilities, strict=True))["red"]
    assert shares["crop"] == 1
    assert shares["stretch"] == pytest.approx(1 / 3, abs=0.05)
    assert shares["pad"] < 0.1


def test_the_file_of_answers_is_there_whole_or_not_at_all(tmp_path):
    """Answers that break off leave no file, and an older one as it was."""
    out = tmp_path / "answers.csv"
    with destination(out) as file:
        file.write("whole\n")
    assert out.read_text() == "whole\n"
    with pytest.raises(Interrupted), destination(out) as file:
        file.write("half")
        raise Interrupted("a signal")
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]
    assert out.read_text() == "whole\n"
    with (
        pytest.raises(UsageError, match=r"--out .*no/a.csv cannot be written \(No such file"),
        destination(tmp_path / "no" / "a.csv"),
    ):
        pass


def test_a_folder_cannot_name_code_to_run(tmp_path, monkeypatch):
    """A folder's factory is imported only if the user names it, too."""
    save_keras_model(tmp_path / "model.keras")
    about = {"schema": 1, "format": "keras", "model": "m", "factory": "foreign:build"}
    about |= {"classes": ["a", "b"], "image_shape": [4, 6, 3]}
    (tmp_path / ABOUT).write_text(json.dumps(about | {"sha256": digest(tmp_path / "model.keras")}))
    (tmp_path / "foreign.py").write_text(
        "import pathlib\npathlib.Path('ran').touch()\ndef build(): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = (
        "made by foreign:build: if you trust that module on this machine,"
        " give --factory foreign:build"
    )
    with pytest.raises(Invalid, match=words):
        from_folder(tmp_path)
    assert not Path("ran").exists()
    trained = from_folder(tmp_path, "foreign:build")
    assert trained.probabilities(np.zeros((3, 4, 6, 3), np.uint8)).shape == (3, 2)
    assert trained.bits == 16, "of exports before 12 bits were known"
    assert Path("ran").exists()


def save_keras_model(path: Path) -> None:
    """Save a model with two classes, as `job export` does."""
    import keras

    inputs = keras.Input((4, 6, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    probabilities = keras.layers.Dense(2, activation="softmax")(x)
    keras.Model(inputs, {"probabilities": probabilities}).save(path)


def make_export(folder: Path, form: str, path: Path) -> None:
    """Make a folder an export with the right sha256, as the maker of a foreign model could."""
    about = {"schema": 1, "format": form, "model": "m", "factory": None}
    about |= {"classes": ["a", "b"], "image_shape": [4, 6, 3]}
    (folder / ABOUT).write_text(json.dumps(about | {"sha256": digest(path)}))


def test_a_saved_model_is_run_by_who_trusts_it(tmp_path, photo):
    """A SavedModel whose graph writes a file ends with 78; with --trust the graph runs."""
    import tensorflow as tf

    class Evil(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 4, 6, 3), tf.uint8)])
        def serve(self, images):
            tf.io.write_file(str(tmp_path / "ran"), "graph")
            return {"probabilities": tf.cast(images[:, 0, 0, :2], tf.float32) / 255}

    model = Evil()
    tf.saved_model.save(model, str(tmp_path / "saved_model"), signatures=model.serve)
    make_export(tmp_path, "saved_model", tmp_path / "saved_model")
    command = [sys.executable, "-m", "job", "predict", str(tmp_path), str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (
        done.returncode == 78
        and "is a SavedModel, a program that reads and writes files as this user" in done.stderr
    ), done.stderr
    assert not (tmp_path / "ran").exists()
    trained = from_folder(tmp_path, trust=True)
    assert trained.probabilities(np.zeros((1, 4, 6, 3), np.uint8)).shape == (1, 2)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("layer", ["lambda", "saved_model"])
def test_a_keras_file_runs_no_code(tmp_path, layer):
    """A .keras file that holds code or loads a SavedModel is refused without advice to allow it."""
    import keras

    inputs = keras.Input((4, 6, 3), dtype="uint8")
    anything = keras.layers.Lambda(lambda images: images)(inputs)
    keras.Model(inputs, anything).save(tmp_path / "model.keras")
    if layer == "saved_model":
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(files["config.json"])
        layer_of_elsewhere = {"name": "x", "filepath": "elsewhere"}
        changes = {"class_name": "TFSMLayer", "config": layer_of_elsewhere}
        config["config"]["layers"][1] |= changes
        with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
            for name, content in (files | {"config.json": json.dumps(config)}).items():
                archive.writestr(name, content)
    make_export(tmp_path, "keras", tmp_path / "model.keras")
    words = "cannot be loaded as a Keras model: .* risk of arbitrary code execution"
    with pytest.raises(Invalid, match=words) as caught:
        from_folder(tmp_path)
    assert "safe_mode" not in str(caught.value)
    assert "enable_unsafe" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"classes": "ab"}, 'classes = "ab"'),
        ({"classes": ["a", 1]}, "classes ="),
        (
            {"classes": ["a", "b", "c"]},
            r"answers 1 images with (1, 2): expected a probability for each of 3 classes",
        ),
        ({"image_shape": [10**6, 10**6, 3]}, "image_shape ="),
        ({"image_shape": [4, 6]}, "not enough values"),
        ({"image_shape": [4, 8, 3]}, "cannot be used ("),
        ({"factory": ["os"]}, "factory ="),
        ({"bits": 99}, "bits = 99"),
    ],
)
def test_what_a_folder_says_of_itself(tmp_path, photo, wrong, words):
    """Whatever a foreign model.json holds, the error is one sentence."""
    save_keras_model(tmp_path / "model.keras")
    make_export(tmp_path, "keras", tmp_path / "model.keras")
    about = json.loads((tmp_path / ABOUT).read_text()) | wrong
    (tmp_path / ABOUT).write_text(json.dumps(about))
    with pytest.raises(Invalid, match=re.escape(words)):
        list(answers(from_folder(tmp_path), [photo], 1))


def test_16_bits_are_scaled_like_the_training_data(model, tmp_path):
    """A 16-bit image is scaled by the bits of the training data; one with more is refused."""
    for name, value in (("dim", 4000), ("bright", 5000)):
        Image.fromarray(np.full((4, 6), value, np.uint16)).save(tmp_path / f"{name}.png")
    known = replace(model, bits=12)
    bright, dim = answers(known, [tmp_path / "bright.png", tmp_path / "dim.png"], 1)
    assert "values up to 5000: the model was trained on 12 bits" in bright.reason
    assert dim.classes == ("red",)
    assert dim.probabilities[0] == pytest.approx(249 / 255)
