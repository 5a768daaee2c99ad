"""Any interleaving of claims, writes, pauses and deaths keeps the promises of the task table, on a real PostgreSQL.

A longer hunt, with other examples each time: STATE_EXAMPLES=1000 pytest --timeout=0 tests/integration/test_task_states.py
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
from promises import CHECK, CLEAN, DIGEST, KEYS, SAME, SCHEDULERS, TRIALS, choose, prepared

from job.coordination import tasks
from job.coordination.outcome import DECIDED
from job.coordination.registered import Worker
from job.coordination.tasks import Tasks
from job.errors import Impossible, JobError, LeaseLost, NotReady
from job.experiment.task import Key

HUNT = "STATE_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("STATE_EXAMPLES", 80))
STEPS = 40
LEASE_S = 0.2


@dataclass
class Row:
    """A task as it should be."""

    state: str = "waiting"
    attempt: int = 0
    owner: str | None = None
    expired: bool = False
    called_in: bool = False
    scheduler: str | None = None
    progress: int = 0
    began: int = 0  # progress when the latest attempt began
    counted: list = field(default_factory=list)  # the ends that count, in a row
    parameters: dict | None = None
    value: float | None = None
    epochs: dict = field(default_factory=dict)
    outcomes: list = field(default_factory=list)

    def end(self, outcome: str, state: str) -> None:
        """End the latest attempt: progress ends the row of counted ones, an error or a death adds one."""
        self.outcomes[-1] = outcome
        if self.progress > self.began or outcome in DECIDED:
            self.counted = []
        elif outcome in ("error", "vanished"):
            self.counted = [*self.counted, outcome]
        failed = self.counted.count("error") == 3 or self.counted.count("vanished") == 10
        self.state, self.owner = "failed" if failed else state, None


class Machine(RuleBasedStateMachine):
    """Four workers on six tasks; each rule does a thing to the database and to the model of it."""

    attempts = Bundle("attempts")
    keys = st.sampled_from(KEYS)
    workers = st.integers(0, len(SCHEDULERS) - 1)
    values = st.sampled_from([0.25, 0.5])
    steps = st.none() | st.integers(0, 4)

    def __init__(self, database, registered):
        super().__init__()
        self.database, self.registered = database, registered
        database.rows(CLEAN)
        self.rows = {key: Row() for key in KEYS}
        self.selected, self.born, self.choices = None, 0, 0
        self.tasks = [self.process(scheduler) for scheduler in SCHEDULERS]

    def process(self, scheduler) -> Tasks:
        """Return a new process: nobody has seen its owner before."""
        self.born += 1
        return self.tasks_of(Worker(f"owner {self.born}", "here", scheduler))

    def tasks_of(self, worker) -> Tasks:
        return Tasks(self.database, self.registered, worker, LEASE_S, 0.0)

    def lease(self, key, until: str) -> None:
        where = {"s": key.stage, "i": key.index}
        self.database.rows(
            f"update task set lease_until = {until} where (stage, index) = (%(s)s, %(i)s)", **where
        )

    def leased(self, key) -> None:
        """Check that the database's clock gave a lease just now; from here on it ends by `expire` only."""
        row = self.database.rows(
            """select lease_until > clock_timestamp() - interval '10 s' and lease_until <= clock_timestamp() + make_interval(secs => %(l)s) as fresh
            from task where (stage, index) = (%(s)s, %(i)s)""",
            l=LEASE_S, s=key.stage, i=key.index,
        )[0]  # fmt: skip
        assert row["fresh"]
        self.rows[key].expired = self.rows[key].called_in = False
        self.lease(key, "clock_timestamp() + interval '1 day'")

    def mine(self, attempt) -> bool:
        row = self.rows[attempt.key]
        return (row.state, row.attempt, row.owner) == (
            "running",
            attempt.number,
            attempt.owner,
        )

    def refused(self, attempt, write) -> bool:
        """Unless the task is this attempt's, see that the write is refused and changes nothing."""
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
        """Return the parameters a later stage goes on with, or the error it ends with."""
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
        """Return the number of the attempt a claim ends with, None for a decided task, or the error."""
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
            if (worker.scheduler is None or row.scheduler != worker.scheduler) and not (
                row.expired and row.called_in
            ):
                row.called_in, row.expired = row.called_in or row.expired, False
                return NotReady
            row.end("vanished", "waiting")
            if row.state == "failed":
                return Impossible
        row.state, row.owner, row.scheduler, row.began = (
            "running",
            worker.owner,
            worker.scheduler,
            row.progress,
        )
        row.attempt, row.parameters = row.attempt + 1, row.parameters or selected
        row.outcomes.append(None)
        return row.attempt

    @initialize(fates=st.tuples(*[st.sampled_from(["open", "failed", None, 0.25, 0.5, 0.5])] * 3))
    def begin(self, fates):
        """Begin with some trials finished: failures, ties and the later stages are far away otherwise."""
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
        known = self.database.rows("select count(*)::int as n from attempt")[0]["n"]
        attempt = process.claim(key)
        assert (attempt.number if attempt else None) == expected
        if attempt:
            assert (attempt.parameters, attempt.step) == (
                self.rows[key].parameters,
                self.rows[key].progress,
            )
            if self.database.rows("select count(*)::int as n from attempt")[0]["n"] > known:
                self.leased(key)
        return attempt

    @rule(target=attempts, key=keys, w=workers)
    def claim(self, key, w):
        attempt = self.take(key, self.tasks[w])
        return attempt if attempt else multiple()

    @rule(target=attempts, attempt=attempts)
    def claim_again(self, attempt):
        """The process did not hear the answer to its claim, or was paused and begins anew."""
        again = self.take(attempt.key, self.tasks_of(attempt.worker))
        return again if again else multiple()

    @rule(
        target=attempts, attempt=attempts, w=workers, expired=st.booleans(), called_in=st.booleans()
    )
    def rival(self, attempt, w, expired, called_in):
        """Another worker claims the same task, before or after its lease has ended, and its owner was called in."""
        if expired:
            self.expire(attempt, called_in)
        again = self.take(attempt.key, self.tasks[w])
        return again if again else multiple()

    @rule(w=workers)
    def vanish(self, w):
        """The process is gone or paused: its attempts may still write, a new process takes its place."""
        self.tasks[w] = self.process(SCHEDULERS[w])

    @rule(attempt=attempts, called_in=st.booleans())
    def expire(self, attempt, called_in):
        row = self.rows[attempt.key]
        if row.state == "running":
            self.lease(attempt.key, "'epoch'")
            row.expired, row.called_in = True, row.called_in or called_in
            if called_in:
                self.database.rows("update attempt set reason = 'called in' where outcome is null and (stage, index) = (%(s)s, %(i)s)",
                                   s=attempt.key.stage, i=attempt.key.index)  # fmt: skip

    @rule(attempt=attempts, step=steps)
    def renew(self, attempt, step):
        before = self.digest()
        attempt.durable(step or 0)
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

        def write():
            return attempt.report(
                epoch,
                {"loss": 1.0},
                value,
                {
                    "pruner": bracket if bracket is None else "hyperband",
                    "bracket": bracket,
                    "sign": sign,
                },
            )

        if self.refused(attempt, write):
            return
        row = self.rows[attempt.key]
        if epoch not in row.epochs:
            pruned = bracket is not None and self.beaten(
                attempt.key.stage, epoch, value, bracket, sign
            )
            row.epochs[epoch] = [attempt.number, value, pruned, bracket]
        for _ in range(2):
            assert write() == row.epochs[epoch][2]

    def beaten(self, stage, epoch, value, bracket, sign) -> bool:
        """Tell whether a third of those that came this far in a bracket, or one of less than three, is better."""
        came = [
            row.epochs[epoch]
            for key, row in self.rows.items()
            if key.stage == stage and epoch in row.epochs
        ]
        rivals = [theirs for _, theirs, _, of in came if of == bracket]
        return sum(sign * theirs > sign * value for theirs in rivals) >= max(
            (len(rivals) + 1) // 3, 1
        )

    @rule(attempt=attempts, value=st.none() | values, pruned=st.booleans(), step=steps)
    def commit(self, attempt, value, pruned, step):
        row = self.rows[attempt.key]
        said = row.outcomes[attempt.number - 1]
        state = said if said in DECIDED else "pruned" if pruned or value is None else "complete"

        def write():
            attempt.commit(state, value, {"accuracy": value}, {}, step=step)

        if said in DECIDED:
            self.heard_again(write)
        elif not self.refused(attempt, write):
            if attempt.parameters is None:
                self.set_parameters(attempt)
            row.value, row.progress = value, max(row.progress, step or 0)
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
        """What is durable by the attempt's word is so by the row."""
        self.rows[attempt.key].progress = max(self.rows[attempt.key].progress, attempt.step)

    def heard_again(self, write):
        """A last write that was done without the process hearing it is neither an error nor done twice."""
        before = self.digest()
        write()
        assert self.digest() == before

    @rule(key=keys)
    def retry(self, key):
        row = self.rows[key]
        if row.state == "failed" and (key.stage != "trial" or self.selected is None):
            row.state, row.counted = "waiting", []
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
        found = self.database.rows(
            f"""select *, (select trial from selection) as selected,
                array(select outcome from attempt a where {SAME} order by number) as outcomes,
                (select jsonb_object_agg(epoch, jsonb_build_array(a.attempt, a.value, pruned, bracket)) from epoch a where {SAME}) as epochs
            from task t"""
        )
        for f in found:
            row = self.rows[Key(f["model"], f["stage"], f["index"])]
            for name in (
                "state",
                "attempt",
                "owner",
                "progress",
                "parameters",
                "value",
                "outcomes",
            ):
                assert f[name] == getattr(row, name), (name, f)
            assert {int(k): v for k, v in (f["epochs"] or {}).items()} == row.epochs
            assert f["selected"] == self.selected
            assert row.state in DECIDED or f["counted"] == len(row.counted), (row, f)

    @invariant()
    def as_promised(self):
        assert self.database.rows(CHECK) == []


def test_any_interleaving_keeps_the_promises(database_url):
    """Whatever workers do, in any order, the tables say what a simple model says and keep every promise; old attempts write nothing."""
    with prepared(database_url) as (database, registered):
        run_state_machine_as_test(
            lambda: Machine(database, registered),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                derandomize=not HUNT,
                phases=[Phase.generate, Phase.shrink]
                if HUNT
                else [Phase.generate],  # to shrink takes up to five minutes
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
                print_blob=False,
            ),
        )
