"""The life of a task, on a real PostgreSQL."""

import threading
import time
from contextlib import closing, suppress

import pytest

from job.coordination import selection, tasks
from job.coordination.attempt import Attempt
from job.coordination.database import Database
from job.coordination.registered import Worker, find, scheduler_job
from job.coordination.tasks import Tasks
from job.errors import Impossible, Invalid, JobError, LeaseLost, NotReady
from job.experiment.specification import parse
from job.experiment.task import Key
from job.work.prepare import register
from tests.support.staged import STAGED
from tests.support.wire import Wire, through

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 3},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2}},
}
TRIAL = Key("cnn", "trial", 0)


@pytest.fixture
def database(database_url, registered):
    registered(database_url, SPEC)
    return Database(database_url, outage_s=5)


def worker(database, name="a", lease_s=60.0, wait_s=0.0, scheduler=None) -> Tasks:
    process = Worker(owner=name, host="here", scheduler=scheduler)
    return Tasks(database, find(database, "small"), process, lease_s, wait_s)


def state(database, key=TRIAL) -> dict:
    where = {"m": key.model, "s": key.stage, "i": key.index}
    statement = "select * from task where (model, stage, index) = (%(m)s, %(s)s, %(i)s)"
    return database.rows(statement, **where)[0]


def optuna_states(database) -> list[str]:
    return [r["state"] for r in database.rows("select state::text from trials order by number")]


def complete(database, index, value):
    attempt = worker(database, f"w{index}").claim(Key("cnn", "trial", index))
    attempt.set_parameters({"learning_rate": 0.1 * index})
    attempt.commit("complete", value, {}, {})


def end_lease(database, called_in=False) -> None:
    """End the lease of running tasks, as after an outage.

    With `called_in`, the time to answer a call is over, too.
    """
    an_hour_ago = "clock_timestamp() - interval '1 hour'"
    database.rows(f"update task set lease_until = {an_hour_ago} where state = 'running'")
    if called_in:
        database.rows("update attempt set reason = 'called in by there' where outcome is null")


def take_over(database) -> Attempt:
    """Return the attempt that follows one whose owner does not answer."""
    end_lease(database, called_in=True)
    return worker(database, "new").claim(TRIAL)


def free(of: Tasks) -> Attempt | None:
    """Claim the trial; return None while another worker owns it."""
    with suppress(NotReady):
        return of.claim(TRIAL)


def test_one_owner(database):
    """Of many workers that claim one task at once, exactly one gets it; the others leave."""
    results = []

    def claim(name):
        try:
            results.append(worker(database, name).claim(TRIAL))
        except NotReady as exc:
            results.append(exc)

    threads = [threading.Thread(target=claim, args=(f"w{i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(r, Attempt) for r in results) == 1
    assert sum("is owned by attempt 1 on here" in str(r) for r in results) == 11


def test_an_experiment_dropped_during_a_claim(database, monkeypatch):
    """A task dropped between the look at it and its lock is not ready: exit 75, no traceback."""
    worker(database, "a").claim(TRIAL)
    late = worker(database, "b")
    peek = late._peek

    def peek_then_drop(key: Key) -> dict:
        task = peek(key)
        database.rows("delete from experiment")
        return task

    monkeypatch.setattr(late, "_peek", peek_then_drop)
    with pytest.raises(NotReady, match="not among the tasks in the database"):
        late.claim(TRIAL)


def test_a_damaged_row(database):
    """An experiment whose row lacks what every version wrote is one sentence and permanent."""
    database.rows("update experiment set data = data - 'classes'")
    with pytest.raises(Invalid, match="the row of experiment 'small' in .* 'classes'.* backup"):
        find(database, "small")


def test_done_is_done(database):
    """A decided task is not claimed again."""
    complete(database, 0, 0.5)
    assert worker(database).claim(TRIAL) is None
    assert state(database)["attempt"] == 1


def test_a_claim_heard_twice_is_one(database):
    """A claim repeated after a lost answer returns the same attempt."""
    mine = worker(database)
    assert mine.claim(TRIAL).number == mine.claim(TRIAL).number == 1


def test_an_old_attempt_cannot_write(database):
    """After a takeover every write of the old attempt is refused.

    Writes are parameters, report, commit, release, error, opening, and epochs of a result.
    """
    old = worker(database, "old").claim(TRIAL)
    new = take_over(database)
    assert new.number == 2
    epochs = [{"epoch": 0, "metrics": {}, "value": 0.5, "bracket": None, "pruned": False}]
    for write in (
        lambda: old.set_parameters({}),
        lambda: old.report(0, {}, 0.5),
        lambda: old.commit("complete", 1.0, {}, {}),
        lambda: old.release("x"),
        lambda: old.error("x"),
        old.record_opening,
        lambda: old.restore_records(epochs),
    ):
        with pytest.raises(LeaseLost):
            write()
    old.renew()
    with pytest.raises(LeaseLost):
        old.check()
    assert state(database)["state"] == "running"
    assert database.rows("select * from epoch") == []
    outcomes = database.rows("select outcome from attempt order by number")
    assert outcomes == [{"outcome": "vanished"}, {"outcome": None}]


def test_nobody_takes_a_task_unheard(database):
    """Before a takeover, the owner of an ended lease is called in; its answer keeps the task.

    A lease may end in an outage or by a jump of the clock.
    """
    owner = worker(database, "owner").claim(TRIAL)
    others = [worker(database, name) for name in "abc"]
    expected = r"is owned by attempt 1 on here; its lease ends in (1.|20) s"
    for _ in range(2):
        end_lease(database)
        for other in others:
            with pytest.raises(NotReady, match=expected):
                other.claim(TRIAL)
        assert database.rows("select reason from attempt") == [{"reason": "called in by here"}]
        owner.renew()
        assert database.rows("select reason from attempt") == [{"reason": None}]
        with pytest.raises(NotReady, match=r"its lease ends in (5.|60) s"):
            others[0].claim(TRIAL)
    owner.check()


def test_who_does_not_answer_is_replaced(database):
    """A silent owner is replaced one lease after its last renewal, if a worker waited for it.

    A worker that comes later waits for the grace, and need not be the one that called.
    """
    worker(database, "gone", lease_s=0.6).claim(TRIAL)
    began = time.monotonic()
    second = worker(database, "second", lease_s=0.6)
    while (attempt := free(second)) is None:
        time.sleep(0.02)
    assert time.monotonic() - began > 0.5
    assert attempt.number == 2
    end_lease(database)
    assert free(worker(database, "third", lease_s=0.6)) is None
    time.sleep(0.2)
    assert free(worker(database, "fourth", lease_s=0.6)).number == 3


def test_a_renewal_that_hangs_is_made_again_within_the_grace(database, database_url, postgres):
    """A lost answer delays the next renewal by less than a claimant's grace."""
    heard = []

    def obey(data):
        renewals = data.count(b"set lease_until")
        heard.extend([time.monotonic()] * renewals)
        return "swallow" if renewals and len(heard) == 1 else "pass"

    with closing(Wire(postgres.ports[0], obey)) as wire:
        there = Database(through(database_url, wire), 30)
        with worker(there, lease_s=6).claim(TRIAL).renewing():
            deadline = time.monotonic() + 10
            while len(heard) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
    assert heard[1] - heard[0] < 2


def test_a_requeued_job_takes_its_task_back_at_once(database):
    """A requeued run of the same scheduler job does not wait for its own lease."""
    worker(database, "first", scheduler="slurm 7").claim(TRIAL)
    with pytest.raises(NotReady):
        worker(database, "other", scheduler="slurm 8").claim(TRIAL)
    assert worker(database, "again", scheduler="slurm 7").claim(TRIAL).number == 2


@pytest.mark.parametrize(
    "differs", ["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_CLUSTER_NAME"]
)
def test_processes_side_by_side_in_one_slurm_job_are_two(database, differs):
    """Only the same process of the same Slurm step is a requeued run.

    Another process that `srun` starts waits for the lease like any worker.
    """
    environ = {
        "SLURM_CLUSTER_NAME": "c",
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": "0",
    }

    def claim(name: str, **changes: str) -> Attempt:
        scheduler = scheduler_job(environ | changes)
        return worker(database, name, scheduler=scheduler).claim(TRIAL)

    claim("first")
    with pytest.raises(NotReady):
        claim("beside", **{differs: "1"})
    assert claim("again", SLURM_RESTART_COUNT="1").number == 2


def test_three_errors_in_a_row_fail_the_task(database):
    """The third error in a row without progress fails the task; `retry` lets it run again."""
    for _ in range(2):
        worker(database).claim(TRIAL).error("boom")
        assert state(database)["state"] == "waiting"
    worker(database).claim(TRIAL).error("boom")
    with pytest.raises(Impossible, match="3 attempts failed in a row, the last with: boom"):
        worker(database).claim(TRIAL)
    assert optuna_states(database)[0] == "FAIL"
    tasks.retry(database, find(database, "small"), TRIAL)
    assert worker(database).claim(TRIAL).number == 4


def test_ten_that_vanish_in_a_row_fail_the_task(database):
    """The tenth attempt in a row that vanishes fails the task.

    A preempted attempt did nothing wrong, but ten of them do not fit into memory or time.
    """
    for number in range(10):
        worker(database, f"w{number}").claim(TRIAL)
        end_lease(database, called_in=True)
    why = "the last time on here: out of memory, or out of time"
    with pytest.raises(Impossible, match=f"vanished 10 times in a row, {why}"):
        worker(database).claim(TRIAL)
    tasks.retry(database, find(database, "small"), TRIAL)
    assert worker(database).claim(TRIAL).number == 11


def test_errors_and_those_that_vanish_do_not_add_up(database):
    """Errors and vanished attempts count apart: two errors and nine vanished fail no task."""
    for number, outcome in enumerate("vvevvvvevvv"):
        attempt = worker(database, f"w{number}").claim(TRIAL)
        if outcome == "e":
            attempt.error("boom")
        else:
            end_lease(database, called_in=True)
    worker(database, "last").claim(TRIAL)
    assert (state(database)["state"], state(database)["counted"]) == ("running", 11)
    end_lease(database, called_in=True)
    with pytest.raises(Impossible, match="vanished 10 times in a row"):
        worker(database).claim(TRIAL)


def test_interruptions_and_progress_do_not_count(database):
    """An interrupted attempt never counts, nor does one that progressed."""
    for _ in range(5):
        worker(database).claim(TRIAL).release("interrupted")
    for epoch in range(5):
        attempt = worker(database).claim(TRIAL)
        attempt.record_step(epoch + 1)
        attempt.error("boom")
    assert state(database)["state"] == "waiting"
    assert state(database)["counted"] == 0


def test_only_what_is_durable_is_progress(database):
    """A reported epoch without a checkpoint is no progress: it is trained again.

    It takes no progress from the attempts that follow, either.
    """
    for epoch in range(3):
        attempt = worker(database).claim(TRIAL)
        attempt.report(epoch, {}, 0.5)
        attempt.error("boom")
    assert state(database)["state"] == "failed"


def test_progress_before_an_interruption_is_not_the_next_attempts(database):
    """Three errors fail the task even after an interrupted attempt that progressed."""
    attempt = worker(database).claim(TRIAL)
    attempt.record_step(5)
    attempt.release("interrupted")
    for _ in range(3):
        worker(database).claim(TRIAL).error("boom")
    assert state(database)["state"] == "failed"


def test_progress_ends_the_row_of_counted_attempts(database):
    """Errors before an interrupted attempt that progressed are no longer counted."""
    for _ in range(2):
        worker(database).claim(TRIAL).error("boom")
    attempt = worker(database).claim(TRIAL)
    attempt.record_step(5)
    attempt.release("interrupted")
    assert state(database)["counted"] == 0


def test_parameters_are_chosen_once(database):
    """A choice of parameters is final: a second one is answered with the first."""
    mine = worker(database)
    first = mine.claim(TRIAL)
    again = mine.claim(TRIAL)
    assert first.set_parameters({"learning_rate": 0.1}) == {"learning_rate": 0.1}
    assert again.set_parameters({"learning_rate": 0.2}) == {"learning_rate": 0.1}
    assert state(database)["parameters"] == {"learning_rate": 0.1}


def test_a_retry_whose_answer_is_lost(database, database_url, postgres):
    """A retry whose answer is lost is no error; a retry of a task that has not failed is one."""
    for _ in range(3):
        worker(database).claim(TRIAL).error("boom")
    commits = []

    def obey(data):
        commits.extend([data] * data.count(b"commit"))
        return "cut" if b"commit" in data and len(commits) == 1 else "pass"

    with closing(Wire(postgres.ports[0], obey)) as wire:
        there = Database(through(database_url, wire), 30)
        tasks.retry(there, find(there, "small"), TRIAL)
        assert (len(commits), state(database)["state"]) == (2, "waiting")
        with pytest.raises(JobError, match="has not failed for good"):
            tasks.retry(there, find(there, "small"), TRIAL)


def test_a_failed_trial_is_closed_once_selected(database):
    """Once parameters are selected, a failed trial stays failed.

    Another value could only contradict the selection.
    """
    for _ in range(3):
        worker(database).claim(TRIAL).error("boom")
    complete(database, 1, 0.5)
    complete(database, 2, 0.7)
    worker(database).selection("cnn")
    with pytest.raises(JobError):
        tasks.retry(database, find(database, "small"), TRIAL)
    assert state(database)["state"] == "failed"


def test_a_decision_is_made_once(database):
    """An epoch reported again gets the stored decision, whatever happened in between."""
    rule = {"pruner": "hyperband", "bracket": 0, "sign": 1}
    first = worker(database).claim(TRIAL)
    second = worker(database).claim(Key("cnn", "trial", 1))
    assert first.report(0, {"loss": 1.0}, 0.5, rule) is False
    assert second.report(0, {"loss": 0.9}, 0.6, rule) is False
    assert first.report(0, {"loss": 1.0}, 0.5, rule) is False
    third = worker(database).claim(Key("cnn", "trial", 2))
    assert third.report(0, {"loss": 1.1}, 0.4, rule) is True
    assert third.report(0, {"loss": 0.1}, 0.9, rule) is True
    steps = (
        "select step, intermediate_value as value from trial_intermediate_values order by trial_id"
    )
    assert database.rows(steps) == [{"step": 1, "value": v} for v in (0.5, 0.6, 0.4)]


def test_who_waits_counts_no_further_than_it_needs(database, monkeypatch):
    """With many unfinished tasks, the error only says that they are many.

    A waiting worker asks often, so the count must be cheap.
    """
    monkeypatch.setattr(selection, "MOST_COUNTED", 2)
    with pytest.raises(NotReady, match="more than 2 trial tasks of cnn are not finished"):
        worker(database).claim(Key("cnn", "fold", 0))
    complete(database, 2, 0.7)
    with pytest.raises(NotReady, match="2 trial tasks of cnn are not finished"):
        worker(database).claim(Key("cnn", "fold", 0))


def test_selection_is_made_once_and_of_complete_trials(database):
    """Once all trials are finished, the best complete one is selected, ties to the lowest index."""
    fold = Key("cnn", "fold", 0)
    complete(database, 2, 0.7)
    with pytest.raises(NotReady, match="2 trial tasks of cnn are not finished"):
        worker(database).claim(fold)
    reason = "pruned after epoch 1 by median"
    worker(database, "p").claim(TRIAL).commit("pruned", 0.9, {}, {}, reason=reason)
    complete(database, 1, 0.7)
    attempt = worker(database).claim(fold)
    assert attempt.parameters == {"learning_rate": 0.1}
    assert database.rows("select trial, value from selection") == [{"trial": 1, "value": 0.7}]
    assert optuna_states(database) == ["PRUNED", "COMPLETE", "COMPLETE"]


def test_a_selection_closes_the_trials(database):
    """A failed trial cannot be retried once its model is selected.

    Otherwise the selection would no longer be of all trials.
    """
    for _ in range(3):
        worker(database).claim(TRIAL).error("boom")
    complete(database, 1, 0.5)
    complete(database, 2, 0.7)
    assert worker(database).claim(Key("cnn", "fold", 0)).parameters == {"learning_rate": 0.2}
    expected = "cnn trial 0 cannot be retried: .* selected, which closes its trials"
    with pytest.raises(JobError, match=expected):
        tasks.retry(database, find(database, "small"), TRIAL)


def test_progress_by_a_checkpoint_counts(database):
    """An attempt that vanishes after a checkpoint has progressed, even within its first epoch."""
    for step in (10, 20, 30, 40):
        attempt = worker(database, f"w{step}").claim(TRIAL)
        attempt.record_step(step)
        end_lease(database, called_in=True)
    assert (state(database)["counted"], state(database)["progress"]) == (0, 40)
    for name in ("x", "y"):
        worker(database, name).claim(TRIAL)
        end_lease(database, called_in=True)
    assert state(database)["counted"] == 1


def test_without_a_complete_trial_the_later_stages_are_impossible(database):
    """Without a complete trial, folds and finals are impossible, and the error has the counts."""
    for index in range(3):
        attempt = worker(database, f"p{index}").claim(Key("cnn", "trial", index))
        attempt.commit("pruned", None, {}, {}, reason="diverged")
    with pytest.raises(Impossible, match="cnn has no complete trial to continue with: 3 pruned"):
        worker(database).claim(Key("cnn", "final", 0))


def test_other_tables_are_told_apart(database, database_url):
    """No tables are not ready; another schema version, wrong password or database is invalid."""
    database.rows("update job_schema set version = 99")
    with pytest.raises(Invalid, match=r"schema version 99, but this program expects \d"):
        find(database, "small")
    wrong_password = database_url.replace("@", "x@")
    with pytest.raises(Invalid, match="refused us"):
        Database(wrong_password, 0).rows("select 1")
    with pytest.raises(Invalid, match="refused us"):
        Database(database_url + "x", 0).rows("select 1")
    database.rows("drop schema job cascade")
    with pytest.raises(NotReady, match="has no tables yet: run `job prepare"):
        find(database, "small")


@pytest.mark.parametrize("gone", ["job_schema", "task", "trials"])
def test_a_database_that_lost_some_tables_is_not_called_empty(database, gone):
    """A database that lost a table is invalid and the table named, be it ours or Optuna's.

    The error suggests neither waiting nor `prepare`.
    """
    database.rows(f"drop table {gone} cascade")
    expected = (
        f'is incomplete: relation "{gone}" does not exist, but other tables of ours are there'
    )
    with pytest.raises(Invalid, match=expected):
        worker(database).claim(TRIAL)
    if gone != "trials":  # Optuna creates its tables again, empty
        with pytest.raises(Invalid, match=expected):
            database.create_schema()
            register(database, parse(SPEC), STAGED)
