"""The store goes away under real processes: nothing is lost, nothing counted."""

import pytest
from proxy import Proxy
from world import wait_for

from job.coordination.database import Database
from job.storage.store import open_store


@pytest.fixture
def proxy(s3):
    """A proxy before the embedded S3, for the processes that are told of it."""
    with Proxy("127.0.0.1", s3.ports[6]) as proxy:
        yield proxy


def test_a_trial_waits_for_the_store(small, proxy):
    """Away before the first step for longer than JOB_WAIT_S: exit 69, the task given back, uncounted. Away for less: waited for, then done."""
    small.job("prepare", "small.toml", check=0)
    database, through = (
        Database(small.database_url, 5),
        {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}"},
    )
    proxy.fault = "refuse"
    done = small.job("trial", "--index", 0, check=69, JOB_WAIT_S="3", JOB_OUTAGE_S="600", **through)
    assert (
        f"the store {small.store_url} at http://127.0.0.1:{proxy.port} cannot be reached"
        in done.stderr
    )
    assert trial(database) == {"state": "waiting", "counted": 0, "attempt": 1}

    child = small.start("trial", "--index", 0, **through, JOB_WAIT_S=60)
    child.until("trying again")
    proxy.fault = "pass"
    child.wait(check=0)
    assert trial(database) == {"state": "complete", "counted": 0, "attempt": 2}


def test_the_store_goes_away_while_a_trial_is_trained(tiny, proxy):
    """Checkpoints and results that meet a store that is away, or cuts them, are there in the end, and the trial is one attempt."""
    database = Database(tiny.database_url, 5)
    environ = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}", "JOB_CHECKPOINT_S": "0.2"}
    child = tiny.start("trial", "--model", "cnn", "--index", 0, **environ)
    for fault in (
        {"fault": "status", "status": 503},
        {"fault": "drop"},
        {"fault": "cut", "side": "client", "after": 1000, "times": 3},
    ):
        said = len(child.text())
        wait_for(lambda: "saved at step" in child.text()[said:] or child.process.poll() is not None)
        proxy.set(**fault)
        wait_for(
            lambda: (
                proxy.fault == "pass"
                or "trying again" in child.text()[said:]
                or child.process.poll() is not None
            )
        )
        proxy.fault = "pass"
    child.wait(check=0)
    assert "trying again" in child.text()
    assert trial(database, "cnn") == {"state": "complete", "counted": 0, "attempt": 1}
    store = open_store(tiny.store_url, 5)
    artifact = database.rows(
        "select artifact from task where (model, stage, index) = ('cnn', 'trial', 0)"
    )[0]["artifact"]
    for entry in artifact.values():
        stored = store.head(entry["key"])
        assert (stored.size, stored.etag) == (entry["size"], entry["etag"])


def trial(database, model="cnn"):
    return database.rows(
        "select state, counted, attempt from task where (model, stage, index) = (%(model)s, 'trial', 0)",
        model=model,
    )[0]
