"""A silent server does not mean a silent owner.

The tests claim tasks on a real PostgreSQL that is stopped, or that restarts itself.
"""

import os
import signal
import time
from contextlib import closing

import psycopg2
import pytest

from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.errors import NotReady
from job.experiment.specification import parse
from job.experiment.task import Key
from job.local.embedded import Postgres
from job.work.prepare import register
from tests.support.servers import stopped
from tests.support.staged import STAGED

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 1},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2}},
}
TRIAL = Key("cnn", "trial", 0)
LEASE_S = 3.0


def worker(database, name: str) -> Tasks:
    """Return a worker's view of the tasks."""
    return Tasks(database, find(database, "small"), Worker(owner=name, host=name), LEASE_S, 0.0)


def silent(server: Postgres) -> None:
    """Stop the whole server for longer than a lease."""
    with stopped(server):
        time.sleep(LEASE_S + 1)


def restarting(server: Postgres) -> None:
    """Kill a backend: the server ends all others and recovers under the same postmaster."""
    with closing(psycopg2.connect(server.url)) as connection, stopped(server):
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        time.sleep(LEASE_S + 1)


@pytest.mark.parametrize("trouble", [silent, restarting])
def test_the_living_are_not_robbed(trouble, tmp_path):
    """After an outage longer than the lease, the living owner keeps its task.

    It does not matter how many others ask for the task before the owner is back.
    """
    with Postgres(tmp_path / "own") as server:
        database = Database(server.url, 60)
        database.create_schema()
        register(database, parse(SPEC), STAGED)
        attempt = worker(database, "owner").claim(TRIAL)
        claimants = [worker(database, f"claimant {i}") for i in range(4)]
        trouble(server)

        def look():
            for claimant in claimants:
                with pytest.raises(NotReady):
                    claimant.claim(TRIAL)

        look()
        with attempt.renewing():
            until = time.monotonic() + LEASE_S * 2 / 3  # twice the grace
            while time.monotonic() < until:
                look()
        attempt.check()
