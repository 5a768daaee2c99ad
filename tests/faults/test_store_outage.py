"""Outages of the store under real processes lose nothing and count no error."""

import pytest

from job.coordination.database import Database
from job.storage.store import open_store
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for


@pytest.fixture
def proxy(s3):
    """A proxy in front of the embedded S3, for the processes that are given its port."""
    with Proxy("127.0.0.1", s3.ports[6]) as proxy:
        yield proxy


def test_a_trial_waits_for_the_store(digits, proxy):
    """A trial waits for an absent store up to JOB_WAIT_S, then exits 69 with its task released.

    The attempt is not counted. A store that returns in time lets the trial finish.
    """
    database = Database(digits.database_url, 5)
    endpoint = f"http://127.0.0.1:{proxy.port}"
    through = {"AWS_ENDPOINT_URL_S3": endpoint}
    proxy.fault = "refuse"
    done = digits.job(
        "trial", "--index", 0, check=69, JOB_WAIT_S="3", JOB_OUTAGE_S="600", **through
    )
    assert f"the store {digits.store_url} at {endpoint} cannot be reached" in done.stderr
    assert trial(database) == {"state": "waiting", "counted": 0, "attempt": 1}

    child = digits.start("trial", "--index", 0, **through, JOB_WAIT_S=60)
    child.until("trying again")
    proxy.fault = "pass"
    child.wait(check=0)
    assert trial(database) == {"state": "complete", "counted": 0, "attempt": 2}


def test_the_store_goes_away_while_a_trial_is_trained(two_models, proxy):
    """Checkpoints and results survive a store that is away or cuts uploads, in one attempt."""
    database = Database(two_models.database_url, 5)
    environ = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}", "JOB_CHECKPOINT_S": "0.2"}
    child = two_models.start("trial", "--model", "cnn", "--index", 0, **environ)
    for fault in (
        {"fault": "status", "status": 503},
        {"fault": "drop"},
        {"fault": "cut", "side": "client", "after": 1000, "times": 3},
    ):
        start = len(child.text())

        def logged(words: str) -> bool:
            return words in child.text()[start:] or child.process.poll() is not None

        wait_for(lambda: logged("saved at step"))
        proxy.set(**fault)
        wait_for(lambda: proxy.fault == "pass" or logged("trying again"))
        proxy.fault = "pass"
    child.wait(check=0)
    assert "trying again" in child.text()
    assert trial(database, "cnn") == {"state": "complete", "counted": 0, "attempt": 1}
    store = open_store(two_models.store_url, 5)
    statement = "select artifact from task where (model, stage, index) = ('cnn', 'trial', 0)"
    for entry in database.rows(statement)[0]["artifact"].values():
        stored = store.head(entry["key"])
        assert (stored.size, stored.etag) == (entry["size"], entry["etag"])


def trial(database, model="cnn"):
    """Return state, counted errors and attempts of a model's trial 0."""
    return database.rows(
        "select state, counted, attempt from task"
        " where (model, stage, index) = (%(model)s, 'trial', 0)",
        model=model,
    )[0]
