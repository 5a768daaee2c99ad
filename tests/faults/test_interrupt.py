"""Interrupted anywhere, resumed bit for bit."""

import json
import signal
import time

from job.database import Database
from job.store import open_store


def test_a_killed_trial_is_resumed_bit_for_bit(tiny):
    """A trial that was interrupted by TERM and went on has the weights, history and predictions of an undisturbed one."""
    database = Database(tiny.database_url, 5)
    calm = result(tiny, database)
    reset(database)
    interrupted = 0
    while interrupted < 3:
        seen = epochs(database)
        process = tiny.start("trial", "--model", "cnn", "--index", 0)
        wait_for(lambda: epochs(database) > seen + 1)
        process.send_signal([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1][interrupted])
        assert process.wait(60) == 75, process.stdout.read()
        interrupted += 1
    assert 0 < epochs(database) < 40
    assert result(tiny, database) == calm
    outcomes = [
        r["outcome"] for r in database.rows("select outcome from attempt where (model, stage, index) = ('cnn', 'trial', 0) order by number")
    ]
    assert outcomes == ["complete", "interrupted", "interrupted", "interrupted", "complete"]


def reset(database):
    """Make trial 0 of cnn a task that was never worked on, but for its parameters."""
    database.rows(
        "update task set state = 'waiting', artifact = null, value = null, metrics = null, progress = 0, finished = null where (model, stage, index) = ('cnn', 'trial', 0)"
    )
    database.rows("delete from epoch where (model, stage, index) = ('cnn', 'trial', 0)")


def epochs(database):
    return len(database.rows("select 1 from epoch where (model, stage, index) = ('cnn', 'trial', 0)"))


def result(site, database):
    """Return what must be equal, bit for bit, of trial 0 of cnn, after running it to its end."""
    site.job("trial", "--model", "cnn", "--index", 0, check=0)
    artifact = database.rows("select artifact from task where (model, stage, index) = ('cnn', 'trial', 0)")[0]["artifact"]
    store = open_store(site.store_url, 5)
    stored = json.loads(store.get(artifact["result.json"]["key"]))
    return {k: stored[k] for k in ("weights_sha256", "history_sha256", "predictions_sha256", "value", "parameters")}


def wait_for(condition, seconds=60):
    """Poll a condition to a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
