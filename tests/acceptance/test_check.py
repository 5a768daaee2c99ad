"""`job check` names what is missing before it costs anything, and leaves nothing behind."""

import json
from itertools import islice

from job.experiment.specification import parse
from job.preflight.check import Preflight, experiment_findings
from job.preflight.costs import costs
from job.preflight.findings import Finding, line, worst
from job.preflight.places import Places
from job.preflight.planned import Planned
from job.settings import Settings
from job.storage.store import open_store

SPEC = {
    "name": "s",
    "data": {"source": "digits"},
    "search": {"trials": 40},
    "models": {"cnn": {"epochs": 40, "batch_size": [10, 20]}},
}
FILE = """
name = "looked"
threads = 1
[data]
source = "digits"
train = 200
[search]
trials = 2
[folds]
count = 2
[parameters]
epochs = 1
batch_size = [8, 16]
"""
CNN = """
[models.cnn]
blocks = [1, 2]
width = 2
units = 4
"""
TWO_GREEDY = """
[models.greedy]
factory = "greedy:build"
[models.hungry]
factory = "greedy:build"
"""
PLACES = ["database", "store", "cache", "device", "data"]
GREEDY = """
import os, signal
def build(parameters, input_shape, classes):
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to a process without memory
"""


def test_every_place_and_every_model_has_its_line(unprepared):
    """Each place and each model has a line, with what a step takes and what all stages cost.

    The last line says that the cost leaves out the startup of 5 processes: 2 trials, 2 folds and a
    final.
    """
    (unprepared.folder / "looked.toml").write_text(FILE + CNN)
    before = open_store(unprepared.store_url, 5).listing("")
    done = unprepared.job("check", "looked.toml", "--json", check=0)
    found = {f["what"]: f for f in json.loads(done.stdout)}
    assert list(found) == [*PLACES, "model cnn", "together"], done.stdout
    assert all(f["ok"] for f in found.values())
    assert "no tables yet, `job prepare` creates them" in found["database"]["text"]
    assert "200 training images of 32 x 32 (width x height), 10 classes" in found["data"]["text"]
    cnn = found["model cnn"]
    assert cnn["point"] == {"blocks": 2}
    assert set(cnn["step_s"]) == {"8", "16"} and all(s > 0 for s in cnn["step_s"].values())
    assert cnn["parameters"] > 0 and cnn["memory_bytes"] > 10**8 and 0 < cnn["device_hours"] < 1
    assert found["together"]["text"].endswith("plus the startup of 5 processes")
    assert open_store(unprepared.store_url, 5).listing("") == before


def test_a_model_that_is_killed_is_named(unprepared):
    """A model killed for its memory is named, and the check continues with the others.

    The worst finding decides the exit code.
    """
    (unprepared.folder / "looked.toml").write_text(FILE + TWO_GREEDY)
    (unprepared.folder / "greedy.py").write_text(GREEDY)
    # A user's file of this name must not take the place of our package in a child process.
    (unprepared.folder / "job.py").write_text("raise SystemExit('a file of the user')")
    done = unprepared.job("check", "looked.toml", "--json", check=1)
    found = {f["what"]: f for f in json.loads(done.stdout)}
    assert list(found) == [*PLACES, "model greedy", "model hungry"], done.stdout
    killed = [f["text"] for f in found.values() if not f["ok"]]
    assert len(killed) == 2
    assert all("killed, apparently out of memory" in text for text in killed)


def test_what_is_away_has_its_reason():
    """A place that is not set is no failure; one that is away or closed has the code for that.

    No password is shown.
    """
    url = "postgresql://me:hidden@127.0.0.1:9/x"
    settings = Settings.read({}, {"JOB_DATABASE_URL": url, "JOB_CACHE_DIR": "/proc/cache"})
    found = {f.what: f for f in islice(Preflight(settings, None, None, None).findings(), 3)}
    assert (found["database"].code, found["cache"].code) == (69, 78)
    assert "postgresql://127.0.0.1:9/x cannot be reached" in found["database"].text
    assert "JOB_CACHE_DIR = /proc/cache: /proc cannot be written" in found["cache"].text
    words = "store                  -        JOB_STORE_URL is not set"
    assert line(found["store"]).startswith(words)


def test_a_cache_that_others_may_write_is_said(tmp_path):
    """A cache that others may write to is invalid, and the finding says what to do."""
    tmp_path.chmod(0o777)
    settings = Settings.read({}, {"JOB_CACHE_DIR": str(tmp_path)})
    found = next(f for f in Preflight(settings, None, None, None).findings() if f.what == "cache")
    assert found.code == 78, found.text
    assert f"others may write there (mode 777): run `chmod go-w {tmp_path}`" in found.text


def test_data_that_cannot_be_split_are_refused():
    """The check refuses 4 validation images of 10 classes, as `prepare` would.

    It says which fraction is enough.
    """
    experiment = parse(SPEC | {"data": {"source": "digits", "train": 20}})
    planned = Planned(Places(Settings.read({}, {})), experiment, None, None)
    found = next(experiment_findings(experiment, planned))
    assert found.code == 78, found.text
    assert "data.validation = 0.2: 4 of 20 images" in found.text
    assert "0.5" in found.text


def test_what_the_machine_refuses_is_a_line_of_its_own():
    """A path that the system refuses is one finding, and the check continues after it."""
    spec = {"name": "s", "data": {"source": "cifar10"}, "models": {"mobilenetv2": {}}}
    data = "/" + "x" * 5000
    weights = "/" + "y" * 5000
    planned = Planned(Places(Settings.read({}, {})), parse(spec), data, weights)
    found = {f.what: f for f in islice(experiment_findings(parse(spec), planned), 2)}
    assert (found["data"].code, found["weights mobilenetv2"].code) == (78, 78)
    assert "File name too long" in found["weights mobilenetv2"].text


def test_the_cost_is_that_of_all_stages():
    """The cost of 40 trials of 40 epochs, 5 folds and a final is steps times seconds.

    The slower batch size counts, and so does the scoring of the images held out.
    """
    measured = {"step_s": {"20": 1.0, "10": 0.6}, "predict_s": 2.0}
    measured |= {"predict_batch": 256, "features_s": 0.0}
    cost = costs(parse(SPEC), "cnn", 1280, measured)
    assert cost["epoch_s"] == {"20": 52 + 2, "10": 103 * 0.6 + 2}
    seconds = 40 * (40 * (103 * 0.6 + 2) + 5 * (103 * 0.6 + 2) + 128 * 0.6)
    assert abs(cost["device_hours"] - seconds / 3600) < 1e-9


def test_the_worst_code():
    """A permanent failure takes precedence over one that may pass; a line shows the code."""
    found = [Finding("a", ""), Finding("b", "", 69), Finding("c", "", 78), Finding("d", "", 1)]
    assert worst(found) == 78
    assert worst([]) == 0
    assert line(Finding("store", "gone", 69)) == "store                  FAIL 69  gone"
