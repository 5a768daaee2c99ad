"""Threads that claim, write, pause and die at once keep the promises of the task table.

They run on a real PostgreSQL. For many more storms:
STORM_SEEDS=100 pytest tests/integration/test_task_storm.py
"""

import os
import random
import threading
from collections import defaultdict

import pytest

from job.coordination import tasks
from job.coordination.outcome import DECIDED
from job.coordination.registered import Worker
from job.coordination.tasks import Tasks
from job.errors import Impossible, JobError, LeaseLost, NotReady
from tests.support.promises import CHECK, KEYS, SCHEDULERS, choose, prepared

LEASE_S = 0.02
STEPS = 150
# Reports are drawn twice as often as any other action.
ACTIONS = "renew parameters report report release error complete pruned forget".split()


class Storm:
    """A few processes in one thread that do anything at any time, and note every answer."""

    def __init__(self, database, registered, seed: str):
        self.database = database
        self.registered = registered
        self.random = random.Random(seed)
        self.seed = seed
        self.held = []
        self.answers = defaultdict(set)
        self.claimed = set()
        self.failure = None

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
        value = draw.choice([0.25, 0.5])
        epoch = draw.randrange(4)
        pruner = draw.choice([None, "hyperband", "median"])
        try:
            match draw.choice(ACTIONS):
                case "renew":
                    attempt.record_step(draw.choice([0, epoch]))
                case "parameters":
                    choose(attempt, draw.random())
                case "report":
                    rule = {"pruner": pruner, "bracket": 0, "sign": 1}
                    pruned = attempt.report(epoch, {}, value, rule)
                    self.answers[attempt.key, epoch].add(pruned)
                case "release":
                    attempt.release("interrupted")
                case "error":
                    attempt.error("boom")
                case "complete" | "pruned" as state:
                    choose(attempt, draw.random())
                    attempt.commit(state, value, {}, {})
                    self.answers[attempt.key].add((attempt.number, state, value))
                    self.held.remove(attempt)
                case "forget":
                    self.held.remove(attempt)
        except LeaseLost:
            pass

    def begin(self) -> None:
        """Claim a task as a new process, or retry a failed one."""
        key = self.random.choice(KEYS)
        scheduler = self.random.choice(SCHEDULERS)
        worker = Worker(f"{self.seed} {self.random.random()}", "here", scheduler)
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
    """Threads that do anything at once keep every promise; each answer is what the tables say."""
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
        claims = [claim for storm in storms for claim in storm.claimed]
        assert len(claims) == len(set(claims)) > 0
        for key in KEYS:
            check_answers(database, key, storms)


def check_answers(database, key, storms) -> None:
    """Check that the answers name the stored commit and the stored decision of each epoch."""
    where = {"s": key.stage, "i": key.index}
    this_task = "(stage, index) = (%(s)s, %(i)s)"
    row = database.rows(f"select attempt, state, value from task where {this_task}", **where)[0]
    commits = set().union(*(storm.answers[key] for storm in storms))
    assert commits == ({tuple(row.values())} if row["state"] in DECIDED else set())
    stored = database.rows(f"select epoch, pruned from epoch where {this_task}", **where)
    decisions = {
        (epoch, pruned)
        for storm in storms
        for epoch in range(4)
        for pruned in storm.answers[key, epoch]
    }
    assert decisions == {(row["epoch"], row["pruned"]) for row in stored}
