"""`job check`: what is not there is said before it costs anything, and nothing is left behind."""

import json
from itertools import islice

from job.experiment.specification import parse
from job.preflight.check import Preflight
from job.preflight.costs import costs
from job.preflight.findings import Finding, line, worst
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
[models.greedy]
factory = "greedy:build"
[models.cnn]
blocks = [1, 2]
width = 2
units = 4
"""
GREEDY = """
import os, signal
def build(parameters, input_shape, classes):
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does to a process without memory
"""


def test_every_place_and_every_model_has_its_line(small):
    """Places and models have a line each; a model killed for its memory is named and the others go on; the code is the worst one's."""
    (small.folder / "looked.toml").write_text(FILE)
    (small.folder / "greedy.py").write_text(GREEDY)
    (small.folder / "job.py").write_text(
        "raise SystemExit('a file of the user')"
    )  # takes no child's place
    before = open_store(small.store_url, 5).listing("")
    done = small.job("check", "looked.toml", "--json", check=1)
    found = {f["what"]: f for f in json.loads(done.stdout)}
    assert list(found) == [
        "database",
        "store",
        "cache",
        "device",
        "data",
        "model greedy",
        "model cnn",
    ], done.stdout
    assert [f["what"] for f in found.values() if not f["ok"]] == ["model greedy"]
    assert "no tables yet, `job prepare` creates them" in found["database"]["text"]
    assert "200 training images of 32 x 32 (width x height), 10 classes" in found["data"]["text"]
    cnn = found["model cnn"]
    assert cnn["point"] == {"blocks": 2}
    assert set(cnn["step_s"]) == {"8", "16"} and all(s > 0 for s in cnn["step_s"].values())
    assert cnn["parameters"] > 0 and cnn["memory_bytes"] > 10**8 and 0 < cnn["device_hours"] < 1
    assert "killed, apparently out of memory" in found["model greedy"]["text"]
    assert open_store(small.store_url, 5).listing("") == before


def test_the_starts_of_processes_are_counted(small):
    """2 trials, 2 folds and a final start 5 processes, which the device time leaves out: the last line says so."""
    (small.folder / "looked.toml").write_text(
        FILE.replace('[models.greedy]\nfactory = "greedy:build"\n', "")
    )
    *_, together = json.loads(small.job("check", "looked.toml", "--json", check=0).stdout)
    assert together["what"] == "together" and together["text"].endswith(
        "plus the startup of 5 processes"
    )


def test_what_is_away_has_its_reason():
    """A place that is not set is no failure, one that is away or closed has the code that says so; no password is shown."""
    settings = Settings.read(
        {},
        {
            "JOB_DATABASE_URL": "postgresql://me:hidden@127.0.0.1:9/x",
            "JOB_CACHE_DIR": "/proc/cache",
        },
    )
    found = {f.what: f for f in islice(Preflight(settings, None, None, None).findings(), 3)}
    assert (found["database"].code, found["cache"].code) == (69, 78)
    assert "postgresql://127.0.0.1:9/x cannot be reached" in found["database"].text
    assert "JOB_CACHE_DIR = /proc/cache: /proc cannot be written" in found["cache"].text
    assert line(found["store"]).startswith(
        "store                  -        JOB_STORE_URL is not set"
    )


def test_a_cache_that_others_may_write_is_said(tmp_path):
    """Whose the cache is shows before a task asks: one that others may write is invalid, with what to do."""
    tmp_path.chmod(0o777)
    settings = Settings.read({}, {"JOB_CACHE_DIR": str(tmp_path)})
    found = next(f for f in Preflight(settings, None, None, None).findings() if f.what == "cache")
    assert (
        found.code,
        f"others may write there (mode 777): run `chmod go-w {tmp_path}`" in found.text,
    ) == (78, True), found.text


def test_data_that_cannot_be_split_are_refused():
    """`prepare` would refuse 4 validation images of 10 classes: so does the check, and says which fraction would do."""
    spec = SPEC | {"data": {"source": "digits", "train": 20}}
    found = next(
        f
        for f in Preflight(Settings.read({}, {}), parse(spec), None, None).findings()
        if f.what == "data"
    )
    assert (
        found.code,
        "data.validation = 0.2: 4 of 20 images" in found.text,
        "0.5" in found.text,
    ) == (78, True, True), found.text


def test_what_the_machine_refuses_is_a_line_of_its_own():
    """A path that the system does not let us look at is one finding; what comes after it is looked at all the same."""
    spec = {"name": "s", "data": {"source": "cifar10"}, "models": {"mobilenetv2": {}}}
    found = {
        f.what: f
        for f in islice(
            Preflight(
                Settings.read({}, {}), parse(spec), "/" + "x" * 5000, "/" + "y" * 5000
            ).findings(),
            6,
        )
    }
    assert (found["data"].code, found["weights mobilenetv2"].code) == (78, 78)
    assert "File name too long" in found["weights mobilenetv2"].text


def test_the_cost_is_that_of_all_stages():
    """40 trials of 40 epochs, 5 folds and a final: steps times seconds, the slower batch size, with the scoring of what is left out."""
    found = {
        "step_s": {"20": 1.0, "10": 0.6},
        "predict_s": 2.0,
        "predict_batch": 256,
        "features_s": 0.0,
    }
    cost = costs(parse(SPEC), "cnn", 1280, found)
    assert cost["epoch_s"] == {"20": 52 + 2, "10": 103 * 0.6 + 2}
    seconds = 40 * (40 * (103 * 0.6 + 2) + 5 * (103 * 0.6 + 2) + 128 * 0.6)
    assert abs(cost["device_hours"] - seconds / 3600) < 1e-9


def test_the_worst_code():
    """What waiting cannot mend goes before what it can; a line says which."""
    assert (
        worst([Finding("a", ""), Finding("b", "", 69), Finding("c", "", 78), Finding("d", "", 1)])
        == 78
    )
    assert worst([]) == 0
    assert line(Finding("store", "gone", 69)) == "store                  FAIL 69  gone"
