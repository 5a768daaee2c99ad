"""No work is lost twice: the next attempt uses what a dead one left, if it is whole."""

import json
import signal

import pytest

from job.learning import provenance
from job.storage.paths import task_file
from tests.support.experiments import EPOCHS, TRIAL
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for


def test_a_complete_result_is_committed_not_trained_again(long_trials, calm_bits):
    """The result of an attempt that died before its commit is verified and committed.

    The attempt trains to its end without the database.
    """
    calm = calm_bits(0)
    child = die_before_the_commit(long_trials)
    assert child.text().count("epoch ") > len(long_trials.epochs(0)) + 3  # trained, not reported
    assert long_trials.task(0)["state"] == "running"
    predictions = long_trials.objects(0, "predictions.npz")[0]
    whole = long_trials.store.get(predictions)
    long_trials.store.put(predictions, whole[:-1] + b"x")
    doubting = long_trials.site.start(*TRIAL, 0)
    doubting.until("is not used: predictions.npz does not have the hash it lists")
    doubting.send(signal.SIGTERM)
    doubting.wait(check=75)
    long_trials.store.put(predictions, whole)
    long_trials.site.start(*TRIAL, 0).wait(check=0)
    text = long_trials.site.children[-1].text()
    assert "the complete result of attempt 1 is committed; nothing is trained again" in text
    assert "training" not in text.replace("nothing trained", "")
    assert long_trials.bits(0) == calm
    assert [e["epoch"] for e in long_trials.epochs(0)] == list(range(EPOCHS))
    task = long_trials.task(0)
    assert (task["state"], task["value"], task["attempt"]) == ("complete", calm["value"], 3)
    assert long_trials.objects(0, "checkpoint") == []


def test_a_damaged_checkpoint_is_skipped(long_trials, calm_bits):
    """A truncated or altered checkpoint is skipped with a warning; the one before it is used."""
    calm = calm_bits(0)
    kill_after_saves(long_trials, 4)
    kept = long_trials.objects(0, "checkpoint")
    assert 2 <= len(kept) <= 3  # a kill may come between the third's arrival and the first's end
    long_trials.store.put(kept[-1], long_trials.store.get(kept[-1])[:-100])
    child = kill_after_saves(long_trials, 4)
    assert f"checkpoint {kept[-1]} is skipped: its hash does not match its content" in child.text()
    assert f"resuming from the checkpoint at step {task_file(kept[-2]).step}\n" in child.text()
    for key in long_trials.objects(0, "checkpoint"):
        content = bytearray(long_trials.store.get(key))
        content[len(content) // 2] ^= 1
        long_trials.store.put(key, bytes(content))
    child = long_trials.site.start(*TRIAL, 0)
    child.wait(check=0)
    assert "resuming from" not in child.text()
    assert long_trials.bits(0) == calm
    note = "note: cnn trial 0, attempt 3: checkpoint "
    lines = long_trials.site.job("status", check=0).stdout.splitlines()
    assert any(line.startswith(note) and "is skipped" in line for line in lines)
    assert long_trials.objects(0, "checkpoint") == []
    check_seconds(long_trials)


def test_a_database_that_went_back_in_time(long_trials, calm_bits):
    """A trial whose checkpoint has other parameters than its row starts afresh, bit for bit."""
    calm = calm_bits(0)
    rate = calm["parameters"]["learning_rate"]
    set_parameters = "update task set parameters = %(p)s where stage = 'trial' and index = 0"
    long_trials.database.rows(set_parameters, p=json.dumps({"learning_rate": 0.005}))
    kill_after_saves(long_trials, 4)
    before = max(task_file(key).step for key in long_trials.objects(0, "checkpoint"))
    long_trials.database.rows("delete from epoch")
    long_trials.database.rows(set_parameters, p=json.dumps({"learning_rate": rate}))
    child = long_trials.site.start(*TRIAL, 0)
    child.wait(check=0)
    assert "other parameters or other data (parameters differ)" in child.text()
    assert before and "resuming from" not in child.text()
    assert long_trials.bits(0) == calm


def test_another_processor_trains_the_same_epochs_again(long_trials):
    """An epoch reported by one CPU and trained again by another may differ by rounding.

    On the same CPU, such a difference is a violation.
    """
    child = long_trials.site.start(*TRIAL, 0)
    wait_for(lambda: long_trials.epochs(0))
    child.send(signal.SIGKILL)
    child.wait(check=-9)
    long_trials.store.delete(
        long_trials.objects(0, "checkpoint")
    )  # the node died with what it had not saved
    reported = long_trials.epochs(0)[0]
    assert long_trials.attempts(0)[0]["machine"] == provenance.machine()
    long_trials.site.start(*TRIAL, 0).wait(check=0)
    long_trials.database.rows(
        "update epoch set metrics = jsonb_set("
        "metrics, '{loss}', to_jsonb((metrics->>'loss')::float + 1e-7)) where epoch = 0"
    )
    assert "history.csv says loss" in long_trials.site.job("verify", "--deep", check=1).stdout
    long_trials.database.rows(
        "update attempt set machine = jsonb_set(machine, '{cpu}', '\"another\"') where number = 1"
    )
    assert reported["attempt"] == 1
    done = long_trials.site.job("verify", "--deep", check=0)
    assert "the numbers of 1 task are not compared" in done.stdout


def check_seconds(long_trials):
    """Check the seconds of a result: the parts of its attempt, and all of those that vanished."""
    result = json.loads(
        long_trials.store.get(long_trials.task(0)["artifact"]["result.json"]["key"])
    )
    parts = {"import", "stage", "build", "train", "evaluate", "upload"}
    assert set(result["seconds"]) == parts | {"lost"}
    gone = [a for a in long_trials.attempts(0) if a["outcome"] == "vanished"]
    assert len(gone) == result["attempt"] - 1 == 2
    lost = sum((a["last_beat"] - a["started"]).total_seconds() for a in gone)
    assert result["seconds"]["lost"] == pytest.approx(lost, abs=0.002)
    feeding = result["feeding"]
    assert 0 <= feeding["waited_s"] < feeding["steps_s"] <= result["seconds"]["train"]


def die_before_the_commit(long_trials):
    """Cut trial 0 off from the database while it trains, let it upload its result, and kill it."""
    with Proxy(*long_trials.address) as proxy:
        child = long_trials.site.start(*TRIAL, 0, JOB_DATABASE_URL=long_trials.through(proxy.port))
        child.until("saved at step")
        proxy.fault = "refuse"
        child.until("training: over")
        wait_for(lambda: long_trials.objects(0, "result.json"))
        child.send(signal.SIGKILL)
        child.wait(check=-9)
    return child


def kill_after_saves(long_trials, saves: int):
    """Start trial 0 and kill it after so many saves."""
    child = long_trials.site.start(*TRIAL, 0)
    wait_for(lambda: child.text().count("saved at step") >= saves)
    child.send(signal.SIGKILL)
    child.wait(check=-9)
    return child
