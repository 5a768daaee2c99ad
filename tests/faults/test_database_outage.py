"""Outages of the database cost no work. (Outages of the store are in test_store_outage.py.)"""

import itertools
import signal
import time

import pytest

from job.local.embedded import Postgres
from job.storage.paths import task_file
from tests.support.experiments import EPOCHS, REPEATS, TRIAL
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for


@pytest.mark.parametrize("away_s", [3, 12])
def test_a_restart_of_postgresql(long_trials, away_s, tmp_path):
    """PostgreSQL is away for 3 s or 12 s (three leases): one attempt finishes and loses nothing.

    A rival that arrives before the owner is back does not take the task.
    """
    with Postgres(tmp_path / "own") as server:
        environ = {"JOB_DATABASE_URL": server.url, "JOB_LEASE_S": 4}
        long_trials.site.job("prepare", "long.toml", check=0, JOB_DATABASE_URL=server.url)
        child = long_trials.site.start(*TRIAL, 0, **environ)
        child.until("saved at step")
        server.stop()
        time.sleep(away_s)
        with child.held():
            server.start()
            rival = long_trials.site.start(*TRIAL, 0, **environ, JOB_WAIT_S=200)
            rival.until("is owned by attempt 1")
        child.wait(check=0)
        rival.wait(check=0)
        here = long_trials.on(server.url)
        assert [(a["number"], a["outcome"]) for a in here.attempts(0)] == [(1, "complete")]
        assert [e["epoch"] for e in here.epochs(0)] == list(range(EPOCHS))


def test_connections_dropped_one_by_one(long_trials):
    """A worker whose connections drop again and again, at any point, finishes in one attempt."""
    # From the first bytes of a connection to the middle of a statement.
    cuts = (50, 250, 450, 700, 1000)
    with Proxy(*long_trials.address) as proxy:
        url = long_trials.through(proxy.port)
        child = long_trials.site.start(*TRIAL, 0, JOB_DATABASE_URL=url, JOB_LEASE_S=20)
        child.until("element 0")

        def over() -> bool:
            return "training: over" in child.text() or child.process.poll() is not None

        for after in itertools.cycle(cuts):
            proxy.set("cut", after=after, side="client")
            wait_for(lambda: proxy.fault == "pass" or over())
            if over():
                break
            # A worker that is cut every time never finishes: let one epoch arrive between cuts.
            arrived = len(long_trials.epochs(0))
            wait_for(lambda: len(long_trials.epochs(0)) > arrived or over())
        proxy.fault = "pass"
        child.wait(check=0)
    assert child.text().count("cannot be reached") >= 5
    assert [(a["number"], a["outcome"]) for a in long_trials.attempts(0)] == [(1, "complete")]
    assert [e["epoch"] for e in long_trials.epochs(0)] == list(range(EPOCHS))


def test_the_test_part_is_opened_after_the_last_epoch(long_trials):
    """A final trained during an outage reports its epochs before it opens the test part."""
    long_trials.database.rows(
        "insert into selection (experiment, model, trial, value, parameters)"
        " select experiment, model, 0, 0.5, %(p)s from task where stage = 'final'",
        p='{"learning_rate": 0.005}',
    )
    final = ("final", "--model", "cnn", "--index", 0)
    epochs = "select count(*)::int as n from epoch where stage = 'final'"
    with Proxy(*long_trials.address) as proxy:
        url = long_trials.through(proxy.port)
        child = long_trials.site.start(*final, JOB_DATABASE_URL=url, JOB_LEASE_S=60)
        child.until("saved at step")
        proxy.fault = "refuse"
        child.until("training: over")
        time.sleep(2)  # long enough for the waits between retries to grow
        proxy.fault = "pass"
        wait_for(lambda: long_trials.database.rows("select 1 as n from opening"))
        assert long_trials.database.rows(epochs) == [{"n": EPOCHS // REPEATS}]
        child.wait(check=0)


def test_an_outage_that_lasts(long_trials):
    """An outage longer than `outage_s` ends the trial with 69, saved and uncounted.

    The next attempt resumes from the saved step.
    """
    slowly = {"STUB_STEP_S": 0.02}  # or the training would be over within the outage
    with Proxy(*long_trials.address) as proxy:
        url = long_trials.through(proxy.port)
        child = long_trials.site.start(*TRIAL, 0, JOB_DATABASE_URL=url, JOB_OUTAGE_S=2, **slowly)
        child.until("saved at step")
        proxy.fault = "refuse"
        child.wait(check=69)
    assert "cannot be reached" in child.text()
    saved = max(task_file(key).step for key in long_trials.objects(0, "checkpoint"))
    child = long_trials.site.start(*TRIAL, 0, **slowly)
    child.until(f"resuming from the checkpoint at step {saved}\n")
    child.send(signal.SIGTERM)
    child.wait(check=75)
    assert long_trials.task(0)["counted"] == 0
