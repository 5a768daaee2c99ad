"""`job local`: one command from nothing to a report, stopped and killed on the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.formats import expect_format
from tests.support.waiting import wait_for

FILE = """
name = "small"
seed = 1
threads = 1
[data]
source = "cifar10"
train = 5000
[search]
trials = 1
[folds]
count = 2
[models.cnn]
epochs = 5
width = 4
blocks = 1
units = 0
[models.vgg16]
epochs = 1
input_size = 32
"""
JOB = (sys.executable, "-P", "-m", "job")
PORT_NOBODY_HAS = "http://127.0.0.1:9"
# What a user's shell and home may set for other work; none of it must matter here.
SHELL = {
    "KERAS_BACKEND": "jax",
    "KERAS_NNX_ENABLED": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "PGSSLMODE": "require",
    "PGOPTIONS": "-csearch_path=team",
    "PGSERVICE": "corp",
    "PGCHANNELBINDING": "require",
    "PGTARGETSESSIONATTRS": "read-only",
    "PGHOSTADDR": "192.0.2.1",
    "AWS_PROFILE": "corp",
    "AWS_ENDPOINT_URL": PORT_NOBODY_HAS,
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_SESSION_TOKEN": "of-another-account",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
AWS_CONFIG = """[default]
region = eu-west-1
ignore_configured_endpoint_urls = true
s3 =
  addressing_style = virtual
"""
KERAS_JSON = {"backend": "torch", "image_data_format": "channels_first"}
KERAS_JSON |= {"floatx": "float16", "epsilon": 1}


@pytest.fixture
def folder(tmp_path):
    """Yield a folder with an experiment, and with files for other software that must not matter."""
    (tmp_path / "small.toml").write_text(FILE)
    (tmp_path / "job.py").write_text("raise SystemExit('this job.py is the user's own')")
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(KERAS_JSON))
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(AWS_CONFIG)
    yield tmp_path
    for pid in running(tmp_path):  # only after a failure
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(folder, *arguments) -> subprocess.Popen:
    """Start `job local` without network, data or weights, in a shell set up for other work."""
    command = [*JOB, "local", "small.toml", "--out", "out", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=shell(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def shell(folder) -> dict:
    """Return the environment of a shell that was set up for other work, without network."""
    offline = {
        "https_proxy": PORT_NOBODY_HAS,
        "http_proxy": PORT_NOBODY_HAS,
        "HOME": str(folder),
        "KERAS_HOME": str(folder / "keras"),
    }
    foreign = ("JOB_", "no_proxy", "NO_PROXY")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return clean | SHELL | offline


def running(folder) -> dict[int, str]:
    """Return the commands of the processes that work below this folder, by pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            cwd = os.readlink(path / "cwd")
        except OSError:
            continue
        if str(folder) in command or cwd.startswith(str(folder)):
            found[int(path.name)] = command
    return found


def check_all_end(folder) -> None:
    """Check that no process works below this folder after 10 s, and name those that do."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not running(folder), 10)
    assert running(folder) == {}


def workers(folder) -> set[str]:
    """Return the pids of the workers that a run has noted."""
    return {path.name for path in (folder / "out" / "workers").glob("[0-9]*")}


def trial_runs(folder):
    """Tell whether a trial has begun its second epoch."""
    logs = [
        p.read_text(errors="replace") for p in (folder / "out" / "logs").glob("trial-cnn-*.log")
    ]
    return any("epoch 1 of 5" in text for text in logs)


def test_from_nothing_to_a_report(folder):
    """Killed, interrupted and refused on the way, it ends in a report that says what it omits.

    It leaves no process.
    """
    killed = start(folder)
    wait_for(lambda: trial_runs(folder) or killed.poll() is not None)
    refused = start(folder)
    assert "another run is using it" in refused.communicate(timeout=60)[0]
    assert refused.returncode == 75
    killed.kill()
    killed.communicate()
    assert running(folder), "the servers of a killed run should be there for the next one to find"

    old = workers(folder)
    interrupted = start(folder)
    wait_for(lambda: workers(folder) - old or interrupted.poll() is not None)
    interrupted.send_signal(signal.SIGINT)
    text = interrupted.communicate(timeout=120)[0]
    assert interrupted.returncode == 75, text
    assert "ended what an earlier, killed run left behind: postgres" in text
    check_all_end(folder)

    again = start(folder, "--workers", "2")
    text = again.communicate(timeout=280)[0]
    assert again.returncode == 0, text
    assert "This is NOT CIFAR-10" in text
    assert "vgg16 is LEFT OUT" in text
    noted = "trials = 1: random search; TPE starts after 10"
    assert f"prepare: small-digits: {noted}" in text, "what a command warns of is seen"
    report = json.loads((folder / "out" / "report" / "report.json").read_text())
    expect_format("report", report)
    assert report["experiment"] == "small-digits"
    assert list(report["models"]) == ["cnn"]
    assert report["models"]["cnn"]["trial"]["complete"] == 1
    page = (folder / "out" / "report" / "index.html").read_text()
    assert "This is NOT CIFAR-10" in page
    assert f"<li>{noted}</li>" in page
    assert "sure, test image" in page, "the mistakes of the final are shown"
    check_all_end(folder)
    check_its_model_can_be_used(folder)


def check_its_model_can_be_used(folder):
    """`job predict --local` finds the model with that folder's servers, and leaves none running."""
    Image.new("L", (8, 8)).save(folder / "photo.png")
    environ = shell(folder)
    command = [*JOB, "predict", "cnn", "photo.png", "--local"]
    done = subprocess.run(
        [*command, "out"], cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()[2]) == (0, "photo.png"), done.stderr
    assert running(folder) == {}
    done = subprocess.run(
        [*command, "other"], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "there is no database; `job local` makes one" in done.stderr) == (
        78,
        True,
    ), done.stderr


def test_wrong_arguments(folder):
    """Missing data or weights that were asked for are an error, without a fallback."""
    for arguments, words in (
        (("--data", "no.tar.gz"), "no.tar.gz"),
        (("--weights", "no"), "--weights (or JOB_WEIGHTS) = no: no such folder"),
    ):
        process = start(folder, *arguments)
        text = process.communicate(timeout=120)[0]
        assert process.returncode == 78, text
        assert words in text
