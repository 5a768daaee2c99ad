"""`job` as Kubernetes runs it: JSON logs, reasons, a waiting report, no device held in vain."""

import json
import os
import time

import pytest

from job.coordination.database import Database
from job.storage.store import open_store
from tests.support.experiments import SMALL


@pytest.fixture
def stub() -> bool:
    """Whether the processes of the site train nets without TensorFlow."""
    return True


def records(done) -> list[dict]:
    """Return the records of a log; every line of standard output is one."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_logs_as_json(unprepared):
    """Every line is a record with time, level, message and, where known, its task."""
    prepared = unprepared.job("prepare", "small.toml", check=0, JOB_LOG="json")
    assert records(prepared)[-1]["message"].startswith("small is prepared as small-")
    done = unprepared.job("trial", "--index", 0, check=0, JOB_LOG="json")
    assert sum(record["message"].startswith("device: cpu (") for record in records(done)) == 1
    keys = ["time", "level", "message", "experiment", "model", "stage", "index", "attempt"]
    assert all(list(record) == keys for record in records(done))
    task = {"experiment": "small", "model": "cnn", "stage": "trial", "index": 0, "attempt": 1}
    assert {k: records(done)[-1][k] for k in keys[3:]} == task
    again = records(unprepared.job("trial", "--index", 0, check=0, JOB_LOG="json"))
    assert (again[-1]["level"], again[-1]["attempt"]) == ("INFO", None)
    assert "decided already" in again[-1]["message"]


def test_the_reason_of_an_end(digits):
    """The reason is one sentence, in the log and in JOB_REASON_FILE, without a newline.

    Neither holds a secret.
    """
    reason = digits.folder / "reason"
    trial = ("trial", "--index", "0")
    no_url = {"JOB_DATABASE_URL": "", "JOB_DATABASE_URL_FILE": "/run/none/url"}
    no_server = {"JOB_DATABASE_URL": "postgresql://job:hidden0@127.0.0.1:9/x"}
    for arguments, environ, code, level, words in (
        (("trial", "--index", "9"), {}, 2, "ERROR", "trial index 9 (from --index) is not in 0..0"),
        (("trial", "--indexx", "9"), {}, 2, "ERROR", "No such option"),
        (("fold", "--index", "0"), {}, 75, "WARNING", "1 trial tasks of cnn are not finished yet"),
        (trial, no_url, 78, "ERROR", "/run/none/url: cannot be read"),
        (trial, no_server, 69, "WARNING", "cannot be reached"),
    ):
        environ |= {"JOB_LOG": "json", "JOB_REASON_FILE": str(reason), "JOB_WAIT_S": "0.5"}
        done = digits.job(*arguments, check=code, **environ)
        (last,) = records(done)[-1:]
        assert (last["level"], last["message"]) == (level, reason.read_text())
        assert words in last["message"]
        assert "hidden0" not in done.stdout + done.stderr


def test_a_reason_for_a_person(unprepared):
    """Without JSON the reason is the last line of standard error.

    A reason file that cannot be written does not change the exit code.
    """
    reason = unprepared.folder / "reason"
    done = unprepared.job("trial", "--index", 0, check=75, JOB_REASON_FILE=str(reason))
    assert done.stderr.splitlines()[-1] == "job: " + reason.read_text()
    assert "has no tables yet" in reason.read_text()
    done = unprepared.job("trial", "--index", 0, check=75, JOB_REASON_FILE="/nowhere/reason")
    assert (
        "JOB_REASON_FILE = /nowhere/reason: cannot be written (No such file or directory)"
        in done.stderr
    )
    assert (
        "JOB_LOG = 'xml': expected text or json"
        in unprepared.job("trial", "--index", 0, check=2, JOB_LOG="xml").stderr
    )


def test_no_device_is_held_for_a_database_that_is_not_there(unprepared):
    """Before it owns a task, a worker waits JOB_WAIT_S for the database, not JOB_OUTAGE_S."""
    started = time.monotonic()
    environ = {"JOB_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/x"}
    environ |= {"JOB_WAIT_S": "1", "JOB_OUTAGE_S": "600"}
    unprepared.job("trial", "--index", 0, check=69, **environ)
    assert time.monotonic() - started < 60


def test_nobody_waits_for_a_prepare_that_was_refused(unprepared):
    """A store that refused `prepare` refuses waiting tasks with 78, too, for the same reason."""
    bucket = unprepared.store_url.removeprefix("s3://").partition("/")[0]
    waiting = (("trial", "--index", "0"), ("report", "--wait", "--out", "report"))
    for refused in (
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        {"JOB_STORE_URL": unprepared.store_url.replace(bucket, "no-such-bucket")},
    ):
        done = unprepared.job("prepare", "small.toml", check=78, **refused)
        for arguments in waiting:
            again = unprepared.job(*arguments, check=78, **refused)
            assert subject_of(again) == subject_of(done)
    for arguments in waiting:
        unprepared.job(*arguments, check=75)


def subject_of(done) -> str:
    """Return the last line of standard error, up to its first colon."""
    return done.stderr.splitlines()[-1].partition(":")[0]


def test_a_report_that_waits(unprepared):
    """With --wait it says what is left and exits with 75, even before prepare.

    Once every task is decided, it is written.
    """
    (unprepared.folder / "small.toml").write_text(SMALL + "[folds]\ncount = 2\n")
    waiting = ("report", "--wait", "--out", "report")
    assert "has no tables yet" in unprepared.job(*waiting, check=75).stderr
    unprepared.job("prepare", "small.toml", check=0)
    assert (
        "not every task is decided: 1 trial, 2 fold, 1 final left"
        in unprepared.job(*waiting, check=75).stderr
    )
    assert not (unprepared.folder / "report").exists()
    child = unprepared.start(*waiting, JOB_WAIT_S=200)
    child.until("not every task is decided")
    unprepared.job("trial", "--index", 0, check=0)
    for index in range(2):
        unprepared.job("fold", "--index", index, check=0)
    unprepared.job("final", "--index", 0, check=0)
    child.wait(check=0)
    assert (unprepared.folder / "report" / "index.html").exists()


def test_a_report_does_not_wait_for_what_never_comes(digits):
    """Tasks after a permanently failed stage are never decided: the report omits them."""
    Database(digits.database_url, 5).rows(
        "update task set state = 'failed', reason = 'a test', finished = now()"
        " where stage = 'trial'"
    )
    digits.job("report", "--wait", "--out", "report", check=0)
    assert "a test" in (digits.folder / "report" / "index.html").read_text()


def test_a_plan_that_is_not_the_manifests(unprepared):
    """`prepare --expect` refuses other tasks or another name early, and says what to set."""
    right = [
        f"--expect={text}"
        for text in ("experiment=small", "features=0", "trial=1", "fold=5", "final=1")
    ]
    done = unprepared.job("prepare", "small.toml", *right[:2], "--expect=trial=7", check=2)
    assert "--expect trial=7: the file says trial = 1 (`job plan`); set trial to 1" in done.stderr
    assert (
        "the file says experiment = small"
        in unprepared.job("prepare", "small.toml", "--expect=experiment=x", check=2).stderr
    )
    assert (
        "KEY one of experiment, features, trial, fold, final"
        in unprepared.job("prepare", "small.toml", "--expect=x=1", check=2).stderr
    )
    assert "has no tables yet" in unprepared.job("status", check=75).stderr
    unprepared.job("prepare", "small.toml", *right, check=0)


def test_data_and_weights_from_s3(two_models, weights):
    """A cluster without internet reads data and weights from a bucket; missing ones are named."""
    bucket, _, prefix = two_models.store_url.removeprefix("s3://").partition("/")
    mirror = open_store(f"s3://{bucket}/mirror-{prefix}", 5)
    mirror.put("images.npz", two_models.folder / "images.npz")
    name = "mobilenetv2_0.35_224_no_top.weights.h5"
    mirror.put(f"weights/{name}", weights / name)
    os.remove(two_models.folder / "images.npz")
    two_models.job("drop", "tiny", check=0)
    file = two_models.folder / "tiny.toml"
    file.write_text(file.read_text().replace('"tiny"', '"far"'))
    environ = {
        "JOB_DATA": f"{mirror.url}/images.npz",
        "JOB_WEIGHTS": f"{mirror.url}/weights/",
        "HOME": str(two_models.folder),
    }
    wrong = environ | {"JOB_DATA": f"{mirror.url}/other.npz"}
    missing = two_models.job("prepare", "tiny.toml", check=78, **wrong).stderr
    words = f'--data (or JOB_DATA) = "{mirror.url}/other.npz":'
    assert f"{words} {mirror.url}/other.npz is not there" in missing
    wrong = environ | {"JOB_WEIGHTS": f"{mirror.url}/none"}
    missing = two_models.job("prepare", "tiny.toml", check=78, **wrong).stderr
    words = f"--weights (or JOB_WEIGHTS) = {mirror.url}/none:"
    assert f"{words} expected {name} below it" in missing
    # An empty variable means unset, also for boto3's.
    two_models.job("prepare", "tiny.toml", check=0, AWS_CA_BUNDLE="", **environ)
    two_models.job("features", "--index", 0, check=0, JOB_EXPERIMENT="far")
