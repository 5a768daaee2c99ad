"""Optuna can read what we store, and we decide what Optuna would decide."""

import json
import math
import random
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import optuna
import psycopg2
import pytest
from psycopg2.extras import RealDictCursor

from job.coordination import history, hyperband, study
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.errors import Invalid, Unreachable
from job.experiment.specification import parse
from job.experiment.task import Key
from job.work.prepare import register
from tests.support.promises import ConnectionPerThread
from tests.support.refusals import role
from tests.support.staged import STAGED

# The validation accuracy by epoch of the first 40 trials of a real study:
# `make bench PARTS=search`, seed 6, no pruner, 2026-11-27.
CURVES = Path(__file__).with_name("curves.json")


def spec(epochs=9, **search):
    return {
        "name": "small",
        "seed": 5,
        "data": {"source": "digits"},
        "search": {"trials": 25, **search},
        "models": {
            "cnn": {
                "epochs": epochs,
                "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
                "batch_size": [16, 32],
                "width": {"low": 4, "high": 16, "step": 4},
            }
        },
    }


@pytest.fixture
def database(database_url):
    Database(database_url, outage_s=5).create_schema()
    database = ConnectionPerThread(database_url)
    yield database
    for connection in database.all:
        connection.close()


def register_study(database, **search):
    experiment = parse(spec(**search))
    register(database, experiment, STAGED)
    return experiment, find(database, "small")


def claim(database, registered, index):
    tasks = Tasks(database, registered, Worker(owner=f"w{index}"), 60, 0)
    attempt = tasks.claim(Key("cnn", "trial", index))
    study.choose(registered.experiment, attempt)
    return attempt


def curve(parameters, epoch):
    """Return a made-up validation score that depends on the parameters."""
    distance = abs(parameters["learning_rate"] - 0.01) * 5
    return 0.9 - distance - 0.3 / (epoch + 1) - parameters["width"] / 1000


def run(database, registered, index):
    """Run a trial on the made-up curve; return its last epoch and whether it was pruned."""
    attempt = claim(database, registered, index)
    for epoch in range(9):
        value = curve(attempt.parameters, epoch)
        rule = study.rule(registered.experiment, attempt.key, epoch)
        if attempt.report(epoch, {}, value, rule):
            attempt.commit("pruned", value, {}, {}, reason="pruned")
            return epoch, True
    attempt.commit("complete", value, {}, {})
    return 8, False


def test_optuna_reads_what_we_wrote(database):
    """Optuna's own API returns our parameters, values, steps and states; N tasks are N trials."""
    experiment, registered = register_study(
        database, enqueue=[{"learning_rate": 0.05, "batch_size": 16}]
    )
    run(database, registered, 0)
    claim(database, registered, 3)
    storage = database.url.replace("postgresql://", "postgresql+psycopg2://")
    theirs = optuna.load_study(study_name="small/cnn", storage=storage)
    trials = theirs.get_trials()
    assert [t.number for t in trials] == list(range(25))
    done = trials[0]
    waiting = trials[1]
    running = trials[3]
    ours = {r["index"]: r for r in database.rows("select * from task where stage = 'trial'")}
    assert done.state.name == "COMPLETE"
    assert done.params == ours[0]["parameters"]
    assert (done.params["learning_rate"], done.params["batch_size"]) == (0.05, 16)
    assert done.value == ours[0]["value"]
    assert done.intermediate_values == {e + 1: curve(done.params, e) for e in range(9)}
    assert done.distributions == study.distributions(experiment, "cnn")
    assert running.state.name == "RUNNING"
    assert running.params == ours[3]["parameters"]
    assert waiting.state.name == "WAITING"
    assert theirs.direction.name == "MAXIMIZE"


def test_every_task_draws_its_own_point(database):
    """Trials claimed at the same time draw different points, and the same ones when repeated."""
    _, registered = register_study(database)
    first = [claim(database, registered, i).parameters for i in range(8)]
    assert len({p["learning_rate"] for p in first}) == 8
    reset = "parameters = null, state = 'waiting', owner = null, lease_until = null"
    database.rows(f"update task set {reset}")
    assert claim(database, registered, 2).parameters == first[2]


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_suggestions_are_optunas_own(database, pruner):
    """After ten trials a suggestion is what Optuna's TPE draws with the task's seed.

    Both see the same finished, pruned and running trials.
    """
    experiment, registered = register_study(database, pruner=pruner)
    for index in range(20):
        run(database, registered, index)
    claim(database, registered, 20)
    ours = claim(database, registered, 21).parameters
    sampler = study.sampler(experiment, Key("cnn", "trial", 21))
    reference = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = study.distributions(experiment, "cnn")
    rows = database.rows(
        """
        select state, parameters, case when state = 'complete' then value end as value,
               array(select value from epoch e where (e.stage, e.index) = (t.stage, t.index)
                     order by epoch) as epochs
        from task t where stage = 'trial' and index < 21 order by index"""
    )
    for row in rows:
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[row["state"].upper()],
            params=row["parameters"],
            distributions=distributions,
            value=row["value"],
            intermediate_values=dict(enumerate(row["epochs"], start=1)),
        )
        reference.add_trial(trial)
    assert ours == reference.ask(distributions).params
    assert any(row["state"] == "pruned" for row in rows) == (pruner != "none")


def optunas_pruner(name: str, least: int, epochs: int) -> optuna.pruners.BasePruner:
    """Return Optuna's pruner with our settings."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=least)
    return optuna.pruners.HyperbandPruner(
        min_resource=least, max_resource=epochs, reduction_factor=3
    )


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
@pytest.mark.parametrize(
    "name, least", [("median", 1), ("median", 4), ("hyperband", 1), ("hyperband", 2)]
)
def test_pruning_is_optunas_own(database, name, least, metric):
    """For parallel trials with many ties, each decision equals that of Optuna's pruner.

    Both receive the same reports in the same order.
    """
    draw = random.Random(f"{name} {least} {metric}")

    def value_of(index: int, epoch: int) -> float:
        return (index % 4 * 2 + draw.randrange(5)) / 11

    search = {"trials": 25, "pruner": name, "min_epochs": least, "metric": metric}
    prune_both(database, draw, 9, value_of, **search)


@pytest.mark.parametrize("name, least", [("median", 3), ("hyperband", 1), ("hyperband", 3)])
def test_pruning_of_a_recorded_study_is_optunas_own(database, name, least):
    """On the curves of a real study, each decision equals that of Optuna's pruner."""
    curves = json.loads(CURVES.read_text())

    def value_of(index: int, epoch: int) -> float:
        return curves[index][epoch]

    search = {"trials": len(curves), "pruner": name, "min_epochs": least}
    prune_both(database, random.Random(least), len(curves[0]), value_of, **search)


def test_brackets_are_counted_in_whole_numbers():
    """Hyperband has exactly one bracket for each power of three that fits.

    A logarithm, as in Optuna and in method 1, counts one too few for 243 epochs.
    """
    expected = {(1, 243): 6, (1, 242): 5, (1, 1): 1, (2, 486): 6, (7, 20): 1}
    for (least, epochs), brackets in expected.items():
        assert hyperband.brackets(least, epochs, 2) == brackets
    wrong = set()
    for least in range(1, 1001):
        for epochs in range(least, 1001):
            exact = hyperband.brackets(least, epochs, 2)
            theirs = math.floor(math.log(epochs / least, 3)) + 1
            assert least * 3 ** (exact - 1) <= epochs < least * 3**exact
            assert hyperband.brackets(least, epochs, 1) == theirs
            if exact != theirs:
                wrong.add((least, epochs))
    assert wrong == {(1, 243), (2, 486), (3, 729), (4, 972)}
    pruner = optunas_pruner("hyperband", 1, 243)
    optuna.create_study(pruner=pruner).optimize(
        lambda trial: trial.report(0, 1) or trial.should_prune(), n_trials=1
    )
    assert len(pruner._pruners) == 5 == hyperband.brackets(1, 243, 1)
    drawn = {hyperband.bracket_of("small/cnn", trial, 1, 243, 2) for trial in range(500)}
    assert drawn == set(range(6))


def prune_both(database, draw, epochs, value_of, *, trials, pruner, min_epochs, **search):
    """Run trials four at a time, and compare our pruner's decisions with Optuna's at every epoch.

    Some trials end early, some do not.
    """
    search |= {"trials": trials, "pruner": pruner, "min_epochs": min_epochs}
    experiment, registered = register_study(database, epochs=epochs, sampler="random", **search)
    theirs = optuna.create_study(
        study_name="small/cnn",
        direction=experiment.direction,
        pruner=optunas_pruner(pruner, min_epochs, epochs),
    )
    running = []
    begun = 0
    while begun < trials or running:
        if begun < trials and (len(running) < 4 or draw.random() < 0.1):
            running.append((claim(database, registered, begun), theirs.ask(), iter(range(epochs))))
            begun += 1
            continue
        attempt, trial, left = draw.choice(running)
        epoch = next(left)
        value = value_of(attempt.key.index, epoch)
        trial.report(value, epoch + 1)
        pruned = attempt.report(epoch, {}, value, study.rule(experiment, attempt.key, epoch))
        assert pruned == (epoch + 1 < epochs and trial.should_prune()), (attempt.key, epoch)
        if pruned or epoch + 1 == epochs:
            running.remove(next(r for r in running if r[0] is attempt))
            if pruned:
                attempt.commit("pruned", value, {}, {}, reason="pruned")
                theirs.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                attempt.commit("complete", value, {}, {})
                theirs.tell(trial, value)
    rows = database.rows("select state from task where stage = 'trial'")
    assert {row["state"] for row in rows} == {"complete", "pruned"}


def test_a_long_study_is_shown_in_part(database, monkeypatch):
    """A sampler sees a bounded part of a long study: the best, the running, an even spread.

    It sees no failed trial, and not its own.
    """
    experiment, registered = register_study(database, trials=600)
    database.rows(
        """
        update task set value = mod(index * 7, 601),
            parameters = jsonb_build_object('learning_rate', 0.01, 'batch_size', 16, 'width', 4),
            state = case when index between 10 and 19 then 'failed'
                         when index < 30 then 'running'
                         when mod(index, 2) = 0 then 'pruned'
                         else 'complete' end
        where stage = 'trial' and index < 599"""
    )
    for name, most in {"SHOWN_BEST": 5, "SHOWN_RUNNING": 50, "SHOWN_SPREAD": 100}.items():
        monkeypatch.setattr(history, name, most)
    values = registered.values(Key("cnn", "trial", 3))
    shown = {trial.index for trial in history.past_trials(database, experiment, values)}
    complete = sorted((i for i in range(31, 599, 2)), key=lambda i: -(i * 7 % 601))
    assert shown >= {*complete[:5], *range(3), *range(4, 10), *range(20, 30)}
    assert not shown & {3, *range(10, 20), 599}
    assert 100 <= len(shown) <= 130
    assert max(b - a for a, b in pairwise(sorted(shown))) <= 20
    # A crowd of running trials does not hide the finished ones.
    crowd = "stage = 'trial' and mod(index, 4) = 1 and index < 599"
    database.rows(f"update task set state = 'running' where {crowd}")
    states = Counter(t.state for t in history.past_trials(database, experiment, values))
    assert states["running"] in (49, 50)
    assert states["complete"] + states["pruned"] >= 100


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_a_trial_is_few_messages(database, database_url, monkeypatch, name):
    """A trial of nine epochs with a pruner sends one message per epoch, and seven more.

    They are counted from finding our tables to the commit.
    """
    register_study(database, pruner=name)
    for index in range(12):
        run(database, find(database, "small"), index)
    sent = []
    execute = RealDictCursor.execute

    def counted_execute(cursor, query, *values):
        sent.append(query)
        return execute(cursor, query, *values)

    monkeypatch.setattr(RealDictCursor, "execute", counted_execute)
    monkeypatch.setattr(sys.modules[__name__], "curve", lambda parameters, epoch: 1.0)
    fresh = Database(database_url)
    assert run(fresh, find(fresh, "small"), 12) == (8, False)
    assert len(sent) == 9 + 7


@pytest.mark.parametrize(
    "state, kind, words",
    [
        ("XX001", Invalid, "says that its own files are damaged: in trouble"),
        ("25006", Invalid, "is read-only: in trouble"),
        ("42501", Invalid, "refused us: in trouble"),
        ("53100", Unreachable, "Optuna's tables could not be reached: in trouble"),
        ("XX000", Unreachable, "Optuna's tables could not be reached: in trouble"),
    ],
)
def test_trouble_that_optuna_meets_is_told_as_ours(database, state, kind, words):
    """Whatever SQLAlchemy raises, permanent trouble is refused and the rest is retried."""
    experiment, _ = register_study(database)
    database.rows(
        f"""
        create function trouble() returns trigger language plpgsql as $$
        begin raise 'in trouble' using errcode = '{state}'; end $$;
        create trigger trouble before insert or delete on studies
            for each row execute function trouble();"""
    )
    for call in (study.drop, lambda *_: study.create(database, replace(experiment, name="other"))):
        with pytest.raises(kind, match=words):
            call(database, experiment)


def test_optuna_takes_the_host_that_answers(database, database_url):
    """A URL of two hosts works for Optuna's own connections, too, even if the first is dead.

    `prepare`, `drop` and the dashboard use them.
    """
    experiment, _ = register_study(database)
    head, _, tail = database_url.rpartition("@")
    several = Database(f"{head}@127.0.0.1:1,{tail}", 0)
    assert study.create(several, experiment).keys() == {"cnn"}
    assert [s.study_name for s in study.open_reader(several).get_all_studies()] == ["small/cnn"]


@pytest.mark.parametrize("call", [study.create, study.drop])
def test_no_connection_left_for_optuna(database, database_url, call):
    """Optuna's own calls are retried while our transaction holds the only connection."""
    experiment, _ = register_study(database)
    with role(database_url, "connection limit 1") as url, closing(psycopg2.connect(url)):
        with pytest.raises(Unreachable, match="too many connections for role"):
            call(Database(url, 0), experiment)
