"""`job predict` and `job export` print no notes of TensorFlow."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from job.cli import use
from job.cli.quiet import without_tensorflow_notes
from job.export.trained import ABOUT, digest

NOTES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795961262.790316   31391 cpu_feature_guard.cc:227] This binary is optimized.\n"
    "To enable the following instructions: AVX2 FMA, rebuild TensorFlow.\n"
    "W0000 00:00:1795961262.790316   31391 cpu_allocator_impl.cc:84] Allocation of 4 bytes\n"
)
ERROR = "E0000 00:00:1795961262.790316   31391 cuda_executor.cc:1] failed call to cuInit\n"


def write_natively(text: str) -> None:
    """Write to file descriptor 2, as C++ code does."""
    os.write(2, text.encode())


def test_only_notes_are_dropped(capfd, monkeypatch):
    """Errors, unknown lines, our own lines, our log and an unfinished line all stay."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        with without_tensorflow_notes():
            write_natively(NOTES + ERROR)
            print("ours", file=sys.stderr)
            logging.getLogger().error("our log")
            write_natively("half a line")
    finally:
        logging.getLogger().removeHandler(handler)
    write_natively(NOTES)
    err = capfd.readouterr().err
    assert err.endswith(NOTES), "after the block nothing is dropped"
    lines = err.removesuffix(NOTES)
    assert NOTES.splitlines()[1] not in lines
    for line in (ERROR, "ours\n", "our log\n", "half a line"):
        assert line in lines


def test_notes_can_be_asked_for(capfd, monkeypatch):
    """TF_CPP_MIN_LOG_LEVEL=0 shows everything."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with without_tensorflow_notes():
        write_natively(NOTES)
    assert capfd.readouterr().err == NOTES


def test_an_error_ends_the_filter(capfd, monkeypatch):
    """After an exception, standard error is what it was, and holds what came before it."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    before = sys.stderr
    with pytest.raises(ZeroDivisionError), without_tensorflow_notes():
        write_natively(f"{NOTES}terminate called\n")
        raise ZeroDivisionError
    write_natively("after")
    assert (sys.stderr, capfd.readouterr().err) == (before, "terminate called\nafter")


def test_export_prints_no_notes(capfd, monkeypatch):
    """Whatever TensorFlow writes while `job export` works is dropped."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)

    def export(*_):
        write_natively(NOTES)
        return "cnn", "small"

    monkeypatch.setattr(use, "_write_export", export)
    done = CliRunner().invoke(use.export, ["--out", "out"])
    assert (done.exit_code, done.output) == (0, "out: cnn of small, keras\n")
    assert capfd.readouterr().err == ""


def test_predict_prints_answers_only(tmp_path):
    """A real `job predict`, import of TensorFlow included, writes nothing to standard error."""
    import keras

    model = keras.Sequential([keras.Input((4, 6, 3), dtype="uint8"), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    named = keras.Model(model.inputs, {"probabilities": model.outputs[0]})
    named.save(tmp_path / "model.keras")
    about = {"schema": 1, "format": "keras", "model": "m", "factory": None, "classes": ["a", "b"]}
    about |= {"image_shape": [4, 6, 3], "sha256": digest(tmp_path / "model.keras")}
    (tmp_path / ABOUT).write_text(json.dumps(about))
    Image.new("RGB", (6, 4)).save(tmp_path / "photo.png")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "TF_"))}
    command = [sys.executable, "-m", "job", "predict", tmp_path, tmp_path / "photo.png"]
    done = subprocess.run(
        command, env=clean, cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"0\.\d{3} [ab] +\S+photo\.png\n", done.stdout)
