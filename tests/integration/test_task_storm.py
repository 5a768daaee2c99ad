"""Threads that claim, write, pause and die at once keep the promises of the task table, on a real PostgreSQL.

Many more of them: STORM_SEEDS=100 pytest tests/integration/test_task_storm.py
"""

import os
import random
import threading
from collections import defaultdict

import pytest
from promises import CHECK, KEYS, SCHEDULERS, choose, prepared

from job.coordination import tasks
from job.coordination.outcome import DECIDED
from job.coordination.registered import Worker
from job.coordination.tasks import Tasks
from job.errors import Impossible, JobError, LeaseLost, NotReady

LEASE_S = 0.02
STEPS = 150


class Storm:
    """A few processes in one thread that do anything at any time; what they were told is noted."""

    def __init__(self, database, registered, seed: str):
        self.database, self.registered, self.random, self.born = (
            database,
            registered,
            random.Random(seed),
            seed,
        )
        self.held, self.told, self.claimed, self.failure = [], defaultdict(set), set(), None

    def run(self, steps: int) -> None:
        try:
            for _ in range(steps):
                self.step()
        except BaseException as exc:
            self.failure = exc

    def step(self) -> None:
        draw = self.random
        if not self.held or draw.random() < 0.3:
            self.begin()
            return
        attempt = draw.choice(self.held)
        value, epoch, pruner = (
            draw.choice([0.25, 0.5]),
            draw.randrange(4),
            draw.choice([None, "hyperband", "median"]),
        )
        try:
            match draw.choice(
                [
                    "renew",
                    "parameters",
                    "report",
                    "report",
                    "release",
                    "error",
                    "complete",
                    "pruned",
                    "forget",
                ]
            ):
                case "renew":
                    attempt.durable(draw.choice([0, epoch]))
                case "parameters":
                    choose(attempt, draw.random())
                case "report":
                    pruned = attempt.report(
                        epoch, {}, value, {"pruner": pruner, "bracket": 0, "sign": 1}
                    )
                    self.told[attempt.key, epoch].add(pruned)
                case "release":
                    attempt.release("interrupted")
                case "error":
                    attempt.error("boom")
                case "complete" | "pruned" as state:
                    choose(attempt, draw.random())
                    attempt.commit(state, value, {}, {})
                    self.told[attempt.key].add((attempt.number, state, value))
                    self.held.remove(attempt)
                case "forget":
                    self.held.remove(attempt)
        except LeaseLost:
            pass

    def begin(self) -> None:
        """Claim a task as a new process, or give a failed one another life."""
        key, scheduler = self.random.choice(KEYS), self.random.choice(SCHEDULERS)
        worker = Worker(f"{self.born} {self.random.random()}", "here", scheduler)
        try:
            attempt = Tasks(self.database, self.registered, worker, LEASE_S, 0.0).claim(key)
            if attempt:
                self.held.append(attempt)
                self.claimed.add((key, attempt.number))
        except NotReady:
            pass
        except Impossible:
            try:
                tasks.retry(self.database, self.registered, key)
            except JobError as exc:
                assert "cannot be retried" in str(exc)


@pytest.mark.parametrize("seed", range(int(os.environ.get("STORM_SEEDS", 4))))
def test_many_at_once_keep_the_promises(database_url, seed):
    """Threads that do anything at once keep every promise, and each was told what the tables say."""
    with prepared(database_url) as (database, registered):
        storms = [Storm(database, registered, f"{seed} {i}") for i in range(4)]
        threads = [threading.Thread(target=storm.run, args=(STEPS,)) for storm in storms]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for storm in storms:
            if storm.failure:
                raise storm.failure
        assert database.rows(CHECK) == []
        assert (
            sum(len(s.claimed) for s in storms)
            == len(set().union(*(s.claimed for s in storms)))
            > 0
        )
        for key in KEYS:
            check_told(database, key, storms)


def check_told(database, key, storms) -> None:
    """The one commit and the one decision an epoch that were heard are the ones that are stored."""
    where = {"s": key.stage, "i": key.index}
    row = database.rows(
        "select attempt, state, value from task where (stage, index) = (%(s)s, %(i)s)", **where
    )[0]
    assert set().union(*(s.told[key] for s in storms)) == (
        {tuple(row.values())} if row["state"] in DECIDED else set()
    )
    stored = database.rows(
        "select epoch, pruned from epoch where (stage, index) = (%(s)s, %(i)s)", **where
    )
    told = {(epoch, pruned) for s in storms for epoch in range(4) for pruned in s.told[key, epoch]}
    assert told == {(r["epoch"], r["pruned"]) for r in stored}
