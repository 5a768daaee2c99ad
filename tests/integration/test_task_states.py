"""Any interleaving of claims, writes, pauses and deaths keeps the task table's promises.

It runs on a real PostgreSQL. For a longer hunt, with new examples each time:
STATE_EXAMPLES=1000 pytest --timeout=0 tests/integration/test_task_states.py
"""

import os
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from job.coordination import tasks
from job.coordination.outcome import DECIDED
from job.coordination.registered import Worker
from job.coordination.tasks import Tasks
from job.errors import Impossible, JobError, LeaseLost, NotReady
from job.experiment.task import Key
from tests.support.promises import (
    CHECK,
    CLEAN,
    DIGEST,
    KEYS,
    SAME,
    SCHEDULERS,
    TRIALS,
    choose,
    prepared,
)

HUNT = "STATE_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("STATE_EXAMPLES", 80))
STEPS = 40
LEASE_S = 0.2
# The columns that a row of the model has under the same name.
COMPARED = ("state", "attempt", "owner", "progress", "parameters", "value", "outcomes")


@dataclass
class Row:
    """A task as the model expects it."""

    state: str = "waiting"
    attempt: int = 0
    owner: str | None = None
    expired: bool = False
    called_in: bool = False
    scheduler: str | None = None
    progress: int = 0
    began: int = 0  # progress when the latest attempt began
    counted: list = field(default_factory=list)  # the latest ends in a row that count
    parameters: dict | None = None
    value: float | None = None
    epochs: dict = field(default_factory=dict)
    outcomes: list = field(default_factory=list)

    def end(self, outcome: str, state: str) -> None:
        """End the latest attempt: an error or a death counts, progress starts the count anew."""
        self.outcomes[-1] = outcome
        if self.progress > self.began or outcome in DECIDED:
            self.counted = []
        elif outcome in ("error", "vanished"):
            self.counted = [*self.counted, outcome]
        failed = self.counted.count("error") == 3 or self.counted.count("vanished") == 10
        self.state = "failed" if failed else state
        self.owner = None


class Machine(RuleBasedStateMachine):
    """Four workers on six tasks; each rule changes the database and the model of it."""

    attempts = Bundle("attempts")
    keys = st.sampled_from(KEYS)
    workers = st.integers(0, len(SCHEDULERS) - 1)
    values = st.sampled_from([0.25, 0.5])
    steps = st.none() | st.integers(0, 4)

    def __init__(self, database, registered):
        super().__init__()
        self.database = database
        self.registered = registered
        database.rows(CLEAN)
        self.rows = {key: Row() for key in KEYS}
        self.selected = None
        self.born = 0
        self.choices = 0
        self.tasks = [self.process(scheduler) for scheduler in SCHEDULERS]

    def process(self, scheduler) -> Tasks:
        """Return a new process with a new owner."""
        self.born += 1
        return self.tasks_of(Worker(f"owner {self.born}", "here", scheduler))

    def tasks_of(self, worker) -> Tasks:
        return Tasks(self.database, self.registered, worker, LEASE_S, 0.0)

    def lease(self, key, until: str) -> None:
        self.update("task", key, f"lease_until = {until}")

    def update(self, table: str, key, assignment: str, condition: str = "true") -> None:
        """Update the rows of one task in a table."""
        where = f"(stage, index) = (%(s)s, %(i)s) and {condition}"
        statement = f"update {table} set {assignment} where {where}"
        self.database.rows(statement, s=key.stage, i=key.index)

    def leased(self, key) -> None:
        """Check that the database's clock just gave a lease, and extend it until `expire`."""
        fresh = """
            select lease_until > clock_timestamp() - interval '10 s'
               and lease_until <= clock_timestamp() + make_interval(secs => %(l)s) as fresh
            from task where (stage, index) = (%(s)s, %(i)s)"""
        row = self.database.rows(fresh, l=LEASE_S, s=key.stage, i=key.index)[0]
        assert row["fresh"]
        self.rows[key].expired = False
        self.rows[key].called_in = False
        self.lease(key, "clock_timestamp() + interval '1 day'")

    def mine(self, attempt) -> bool:
        row = self.rows[attempt.key]
        owned = (row.attempt, row.owner) == (attempt.number, attempt.owner)
        return owned and row.state == "running"

    def refused(self, attempt, write) -> bool:
        """Check that a write of an attempt that is not the owner is refused and changes nothing.

        Return whether the write was refused.
        """
        if not self.mine(attempt):
            before = self.digest()
            with pytest.raises(LeaseLost):
                write()
            assert self.digest() == before
            return True
        return False

    def digest(self) -> str:
        return self.database.rows(DIGEST)[0]["digest"]

    def expect_selection(self):
        """Return the parameters that a later stage continues with, or its error."""
        trials = [self.rows[key] for key in TRIALS]
        if self.selected is None:
            if any(row.state in ("waiting", "running") for row in trials):
                return NotReady
            complete = [(-row.value, i) for i, row in enumerate(trials) if row.state == "complete"]
            if not complete:
                return Impossible
            self.selected = min(complete)[1]
        return trials[self.selected].parameters

    def expect_claim(self, worker, key):
        """Return the number of the claimed attempt, None for a decided task, or the error."""
        row = self.rows[key]
        if row.state in DECIDED:
            return None
        if row.state == "failed":
            return Impossible
        selected = self.expect_selection() if key.stage != "trial" else None
        if selected in (NotReady, Impossible):
            return selected
        if row.owner == worker.owner:
            return row.attempt
        if row.state == "running":
            requeued = worker.scheduler is not None and row.scheduler == worker.scheduler
            if not requeued and not (row.expired and row.called_in):
                row.called_in = row.called_in or row.expired
                row.expired = False
                return NotReady
            row.end("vanished", "waiting")
            if row.state == "failed":
                return Impossible
        row.state = "running"
        row.owner = worker.owner
        row.scheduler = worker.scheduler
        row.began = row.progress
        row.attempt += 1
        row.parameters = row.parameters or selected
        row.outcomes.append(None)
        return row.attempt

    @initialize(fates=st.tuples(*[st.sampled_from(["open", "failed", None, 0.25, 0.5, 0.5])] * 3))
    def begin(self, fates):
        """Begin with some finished trials; failures, ties and later stages are rare otherwise."""
        for key, fate in zip(TRIALS, fates, strict=True):
            if fate == "failed":
                for _ in range(3):
                    self.error(self.take(key, self.tasks[0]))
            elif fate != "open":
                self.commit(self.take(key, self.tasks[0]), fate, False, None)

    def take(self, key, process):
        expected = self.expect_claim(process.worker, key)
        if isinstance(expected, type):
            with pytest.raises(expected):
                process.claim(key)
            if self.rows[key].called_in and self.rows[key].state == "running":
                self.lease(key, "clock_timestamp() + interval '1 day'")
            return None
        known = self.count_attempts()
        attempt = process.claim(key)
        assert (attempt.number if attempt else None) == expected
        if attempt:
            assert attempt.parameters == self.rows[key].parameters
            assert attempt.step == self.rows[key].progress
            if self.count_attempts() > known:
                self.leased(key)
        return attempt

    def count_attempts(self) -> int:
        return self.database.rows("select count(*)::int as n from attempt")[0]["n"]

    @rule(target=attempts, key=keys, w=workers)
    def claim(self, key, w):
        attempt = self.take(key, self.tasks[w])
        return attempt or multiple()

    @rule(target=attempts, attempt=attempts)
    def claim_again(self, attempt):
        """The process missed the answer to its claim, or was paused and starts over."""
        again = self.take(attempt.key, self.tasks_of(attempt.worker))
        return again or multiple()

    @rule(
        target=attempts, attempt=attempts, w=workers, expired=st.booleans(), called_in=st.booleans()
    )
    def rival(self, attempt, w, expired, called_in):
        """Another worker claims the task, before or after the end of its lease and a call."""
        if expired:
            self.expire(attempt, called_in)
        again = self.take(attempt.key, self.tasks[w])
        return again or multiple()

    @rule(w=workers)
    def vanish(self, w):
        """The process dies or pauses: a new one replaces it, but its attempts may still write."""
        self.tasks[w] = self.process(SCHEDULERS[w])

    @rule(attempt=attempts, called_in=st.booleans())
    def expire(self, attempt, called_in):
        row = self.rows[attempt.key]
        if row.state == "running":
            self.lease(attempt.key, "'epoch'")
            row.expired = True
            row.called_in = row.called_in or called_in
            if called_in:
                self.update("attempt", attempt.key, "reason = 'called in'", "outcome is null")

    @rule(attempt=attempts, step=steps)
    def renew(self, attempt, step):
        before = self.digest()
        attempt.record_step(step or 0)
        if self.mine(attempt):
            assert not attempt.lost.is_set()
            self.leased(attempt.key)
            self.progressed(attempt)
        else:
            assert self.digest() == before
            with pytest.raises(LeaseLost):
                attempt.check()

    @rule(attempt=attempts)
    def set_parameters(self, attempt):
        self.choices += 1
        if not self.refused(attempt, lambda: choose(attempt, self.choices / 8)):
            row = self.rows[attempt.key]
            row.parameters = row.parameters or {"learning_rate": self.choices / 8}
            assert choose(attempt, self.choices / 8) == row.parameters
            assert choose(attempt, -1.0) == row.parameters

    @rule(
        attempt=attempts,
        epoch=st.integers(0, 3),
        value=st.none() | values,
        bracket=st.none() | st.integers(0, 1),
        sign=st.sampled_from([1, -1]),
    )
    def report(self, attempt, epoch, value, bracket, sign):
        bracket = bracket if value is not None else None
        pruner = None if bracket is None else "hyperband"
        judged_by = {"pruner": pruner, "bracket": bracket, "sign": sign}

        def write():
            return attempt.report(epoch, {"loss": 1.0}, value, judged_by)

        if self.refused(attempt, write):
            return
        row = self.rows[attempt.key]
        if epoch not in row.epochs:
            stage = attempt.key.stage
            pruned = bracket is not None and self.beaten(stage, epoch, value, bracket, sign)
            row.epochs[epoch] = [attempt.number, value, pruned, bracket]
        for _ in range(2):
            assert write() == row.epochs[epoch][2]

    def beaten(self, stage, epoch, value, bracket, sign) -> bool:
        """Tell whether a third of those that came this far in a bracket, or one, is better."""
        came = [
            row.epochs[epoch]
            for key, row in self.rows.items()
            if key.stage == stage and epoch in row.epochs
        ]
        rivals = [theirs for _, theirs, _, of in came if of == bracket]
        better = sum(sign * theirs > sign * value for theirs in rivals)
        return better >= max((len(rivals) + 1) // 3, 1)

    @rule(attempt=attempts, value=st.none() | values, pruned=st.booleans(), step=steps)
    def commit(self, attempt, value, pruned, step):
        row = self.rows[attempt.key]
        outcome = row.outcomes[attempt.number - 1]
        state = "pruned" if pruned or value is None else "complete"
        if outcome in DECIDED:
            state = outcome

        def write():
            attempt.commit(state, value, {"accuracy": value}, {}, step=step)

        if outcome in DECIDED:
            self.heard_again(write)
        elif not self.refused(attempt, write):
            if attempt.parameters is None:
                self.set_parameters(attempt)
            row.value = value
            row.progress = max(row.progress, step or 0)
            row.end(state, state)
            write()

    @rule(attempt=attempts)
    def release(self, attempt):
        self.end(attempt, "interrupted", lambda: attempt.release("interrupted"))

    @rule(attempt=attempts)
    def error(self, attempt):
        self.end(attempt, "error", lambda: attempt.error("boom"))

    def end(self, attempt, outcome, write):
        row = self.rows[attempt.key]
        if row.outcomes[attempt.number - 1] == outcome:
            self.heard_again(write)
        elif not self.refused(attempt, write):
            self.progressed(attempt)
            row.end(outcome, "waiting")
            write()

    def progressed(self, attempt):
        """Give the row the progress that the attempt has made durable."""
        self.rows[attempt.key].progress = max(self.rows[attempt.key].progress, attempt.step)

    def heard_again(self, write):
        """Check that a last write repeated after a lost answer is no error and changes nothing."""
        before = self.digest()
        write()
        assert self.digest() == before

    @rule(key=keys)
    def retry(self, key):
        row = self.rows[key]
        if row.state == "failed" and (key.stage != "trial" or self.selected is None):
            row.state = "waiting"
            row.counted = []
            tasks.retry(self.database, self.registered, key)
        else:
            with pytest.raises(JobError):
                tasks.retry(self.database, self.registered, key)

    @rule(w=workers)
    def select(self, w):
        expected = self.expect_selection()
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.tasks[w].selection("cnn")
        else:
            assert self.tasks[w].selection("cnn").parameters == expected

    @invariant()
    def as_the_model(self):
        stored = self.database.rows(
            f"""
            select *, (select trial from selection) as selected,
                array(select outcome from attempt a where {SAME} order by number) as outcomes,
                (select jsonb_object_agg(
                            epoch, jsonb_build_array(a.attempt, a.value, pruned, bracket))
                 from epoch a where {SAME}) as epochs
            from task t"""
        )
        for task in stored:
            row = self.rows[Key(task["model"], task["stage"], task["index"])]
            for name in COMPARED:
                assert task[name] == getattr(row, name), (name, task)
            assert {int(k): v for k, v in (task["epochs"] or {}).items()} == row.epochs
            assert task["selected"] == self.selected
            assert row.state in DECIDED or task["counted"] == len(row.counted), (row, task)

    @invariant()
    def as_promised(self):
        assert self.database.rows(CHECK) == []


def test_any_interleaving_keeps_the_promises(database_url):
    """Whatever workers do, in any order, the tables match a simple model and keep every promise.

    Old attempts write nothing.
    """
    # Shrinking takes up to five minutes.
    phases = [Phase.generate, Phase.shrink] if HUNT else [Phase.generate]
    how = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=not HUNT,
        phases=phases,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=False,
    )
    with prepared(database_url) as (database, registered):
        run_state_machine_as_test(lambda: Machine(database, registered), settings=how)
