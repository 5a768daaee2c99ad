"""Optuna: what is stored is readable by Optuna, what is decided is what Optuna decides."""

import json
import math
import random
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import psycopg2
import pytest
from promises import Kept
from psycopg2.extras import RealDictCursor
from refusal import role

from job.coordination import history, hyperband, study
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.errors import Invalid, Unreachable
from job.experiment.specification import parse
from job.experiment.task import Key
from job.work.prepare import _register

STAGED = {"data": {"id": "d", "files": {}}, "weights": {}, "splits": {}}
# Validation accuracy by epoch of the first 40 trials of a real study: `make bench PARTS=search`, seed 6, no pruner, 2026-11-27.
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
    database = Kept(database_url)
    yield database
    for connection in database.all:
        connection.close()


def register(database, **search):
    experiment = parse(spec(**search))
    _register(database, experiment, STAGED)
    return experiment, find(database, "small")


def claim(database, registered, index):
    attempt = Tasks(database, registered, Worker(owner=f"w{index}"), 60, 0).claim(
        Key("cnn", "trial", index)
    )
    study.choose(registered.experiment, attempt)
    return attempt


def curve(parameters, epoch):
    """A made-up validation score that depends on the parameters."""
    return (
        0.9
        - abs(parameters["learning_rate"] - 0.01) * 5
        - 0.3 / (epoch + 1)
        - parameters["width"] / 1000
    )


def run(database, registered, index):
    """Run a trial on the made-up curve; return the epochs it was asked at and whether it was pruned."""
    attempt = claim(database, registered, index)
    for epoch in range(9):
        value = curve(attempt.parameters, epoch)
        if attempt.report(epoch, {}, value, study.rule(registered.experiment, attempt.key, epoch)):
            attempt.commit("pruned", value, {}, {}, reason="pruned")
            return epoch, True
    attempt.commit("complete", value, {}, {})
    return 8, False


def test_optuna_reads_what_we_wrote(database):
    """The contract: parameters, values, steps and states come back through Optuna's own API; N tasks are N trials."""
    experiment, registered = register(database, enqueue=[{"learning_rate": 0.05, "batch_size": 16}])
    run(database, registered, 0)
    claim(database, registered, 3)
    theirs = optuna.load_study(
        study_name="small/cnn",
        storage=database.url.replace("postgresql://", "postgresql+psycopg2://"),
    )
    trials = theirs.get_trials()
    assert [t.number for t in trials] == list(range(25))
    done, running, waiting = trials[0], trials[3], trials[1]
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
    """Trials claimed at the same time, with nothing finished, all draw different points, and the same ones again."""
    _, registered = register(database)
    first = [claim(database, registered, i).parameters for i in range(8)]
    assert len({p["learning_rate"] for p in first}) == 8
    database.rows(
        "update task set parameters = null, state = 'waiting', owner = null, lease_until = null"
    )
    assert claim(database, registered, 2).parameters == first[2]


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_suggestions_are_optunas_own(database, pruner):
    """After ten trials a suggestion is what Optuna's TPE, with the task's seed, draws from the same finished, pruned and running trials."""
    experiment, registered = register(database, pruner=pruner)
    for index in range(20):
        run(database, registered, index)
    claim(database, registered, 20)
    ours = claim(database, registered, 21).parameters
    reference = optuna.create_study(
        direction="maximize", sampler=study.sampler(experiment, Key("cnn", "trial", 21))
    )
    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "running": optuna.trial.TrialState.RUNNING,
    }
    rows = database.rows(
        """select state, parameters, case when state = 'complete' then value end as value,
           array(select value from epoch e where e.stage = t.stage and e.index = t.index order by epoch) as epochs
           from task t where stage = 'trial' and index < 21 order by index"""
    )
    for row in rows:
        known = {
            "params": row["parameters"],
            "distributions": study.distributions(experiment, "cnn"),
        }
        steps = {epoch + 1: value for epoch, value in enumerate(row["epochs"])}
        reference.add_trial(
            optuna.trial.create_trial(
                state=states[row["state"]], value=row["value"], intermediate_values=steps, **known
            )
        )
    assert ours == reference.ask(study.distributions(experiment, "cnn")).params
    assert any(row["state"] == "pruned" for row in rows) == (pruner != "none")


PRUNERS = {
    "median": lambda least, epochs: optuna.pruners.MedianPruner(
        n_startup_trials=5, n_warmup_steps=least
    ),
    "hyperband": lambda least, epochs: optuna.pruners.HyperbandPruner(
        min_resource=least, max_resource=epochs, reduction_factor=3
    ),
}


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
@pytest.mark.parametrize(
    "name, least", [("median", 1), ("median", 4), ("hyperband", 1), ("hyperband", 2)]
)
def test_pruning_is_optunas_own(database, name, least, metric):
    """Of trials side by side, with many ties, each decision equals the one of Optuna's pruner fed with the same reports in the same order."""
    draw = random.Random(f"{name} {least} {metric}")
    prune_both(
        database,
        draw,
        25,
        9,
        lambda index, epoch: (index % 4 * 2 + draw.randrange(5)) / 11,
        name,
        least,
        metric=metric,
    )


@pytest.mark.parametrize("name, least", [("median", 3), ("hyperband", 1), ("hyperband", 3)])
def test_pruning_of_a_recorded_study_is_optunas_own(database, name, least):
    """The same on the curves of a real study."""
    curves = json.loads(CURVES.read_text())
    prune_both(
        database,
        random.Random(least),
        len(curves),
        len(curves[0]),
        lambda index, epoch: curves[index][epoch],
        name,
        least,
    )


def test_brackets_are_counted_in_whole_numbers():
    """Hyperband has a bracket for each power of three that fits, exactly; a logarithm, Optuna's too, finds one too few of 243 epochs, as method 1 does."""
    assert [
        hyperband.brackets(least, epochs, 2)
        for least, epochs in ((1, 243), (1, 242), (1, 1), (2, 486), (7, 20))
    ] == [6, 5, 1, 6, 1]
    wrong = set()
    for least in range(1, 1001):
        for epochs in range(least, 1001):
            exact, theirs = (
                hyperband.brackets(least, epochs, 2),
                math.floor(math.log(epochs / least, 3)) + 1,
            )
            assert (
                least * 3 ** (exact - 1) <= epochs < least * 3**exact
                and hyperband.brackets(least, epochs, 1) == theirs
            )
            if exact != theirs:
                wrong.add((least, epochs))
    assert wrong == {(1, 243), (2, 486), (3, 729), (4, 972)}
    pruner = PRUNERS["hyperband"](1, 243)
    optuna.create_study(pruner=pruner).optimize(
        lambda trial: trial.report(0, 1) or trial.should_prune(), n_trials=1
    )
    assert len(pruner._pruners) == 5 == hyperband.brackets(1, 243, 1)
    drawn = {hyperband.bracket_of("small/cnn", trial, 1, 243, 2) for trial in range(500)}
    assert drawn == set(range(6))


def prune_both(database, draw, trials, epochs, value_of, name, least, **search):
    """Run trials four at a time, each as far as our pruner lets it: at every epoch Optuna's says the same; some end early, some do not."""
    experiment, registered = register(
        database,
        epochs=epochs,
        trials=trials,
        pruner=name,
        min_epochs=least,
        sampler="random",
        **search,
    )
    theirs = optuna.create_study(
        study_name="small/cnn", direction=experiment.direction, pruner=PRUNERS[name](least, epochs)
    )
    running, begun = [], 0
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
            attempt.commit(
                "pruned" if pruned else "complete",
                value,
                {},
                {},
                reason="pruned" if pruned else None,
            )
            theirs.tell(
                trial,
                *(() if pruned else (value,)),
                state=optuna.trial.TrialState.PRUNED if pruned else None,
            )
    assert {
        row["state"] for row in database.rows("select state from task where stage = 'trial'")
    } == {"complete", "pruned"}


def test_a_long_study_is_shown_in_part(database, monkeypatch):
    """Of more trials than a sampler is shown: the best, all that run, and of all the others an even part; no failed one, and not itself."""
    experiment, registered = register(database, trials=600)
    database.rows(
        """update task set parameters = jsonb_build_object('learning_rate', 0.01, 'batch_size', 16, 'width', 4), value = mod(index * 7, 601),
           state = case when index between 10 and 19 then 'failed' when index < 30 then 'running' when mod(index, 2) = 0 then 'pruned' else 'complete' end
           where stage = 'trial' and index < 599"""
    )
    for name, most in {"SHOWN_BEST": 5, "SHOWN_RUNNING": 50, "SHOWN_SPREAD": 100}.items():
        monkeypatch.setattr(history, name, most)
    found = {
        r.index: r
        for r in history.past_trials(
            database, experiment, registered.values(Key("cnn", "trial", 3))
        )
    }
    complete = sorted((i for i in range(31, 599, 2)), key=lambda i: -(i * 7 % 601))
    assert found.keys() >= {*complete[:5], *range(3), *range(4, 10), *range(20, 30)}
    assert not found.keys() & {3, *range(10, 20), 599}
    assert 100 <= len(found) <= 130
    gaps = sorted(found.keys())
    assert max(b - a for a, b in zip(gaps, gaps[1:], strict=False)) <= 20
    database.rows(
        "update task set state = 'running' where stage = 'trial' and mod(index, 4) = 1 and index < 599"
    )
    shown = Counter(
        r.state
        for r in history.past_trials(
            database, experiment, registered.values(Key("cnn", "trial", 3))
        )
    )
    assert (
        shown["running"] in (49, 50) and shown["complete"] + shown["pruned"] >= 100
    )  # a crowd at work does not hide what is known


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_a_trial_is_few_messages(database, database_url, monkeypatch, name):
    """From finding our tables to the commit, a trial of nine epochs with a pruner sends a message an epoch, and seven more."""
    register(database, pruner=name)
    for index in range(12):
        run(database, find(database, "small"), index)
    sent, execute = [], RealDictCursor.execute
    monkeypatch.setattr(
        RealDictCursor,
        "execute",
        lambda cursor, query, *values: (sent.append(query), execute(cursor, query, *values))[1],
    )
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
    """Whatever class SQLAlchemy has for it: what waiting cannot mend is refused, the rest is tried again."""
    experiment, _ = register(database)
    database.rows(
        f"create function trouble() returns trigger language plpgsql as $$ begin raise 'in trouble' using errcode = '{state}'; end $$;"
        " create trigger trouble before insert or delete on studies for each row execute function trouble();"
    )
    for call in (study.drop, lambda *_: study.create(database, replace(experiment, name="other"))):
        with pytest.raises(kind, match=words):
            call(database, experiment)


def test_optuna_takes_the_host_that_answers(database, database_url):
    """A URL of two hosts, the first of them dead, is good for what Optuna does by itself, too: for `prepare`, `drop` and the dashboard."""
    experiment, _ = register(database)
    head, _, tail = database_url.rpartition("@")
    several = Database(f"{head}@127.0.0.1:1,{tail}", 0)
    assert study.create(several, experiment).keys() == {"cnn"}
    assert [s.study_name for s in study.reader(several).get_all_studies()] == ["small/cnn"]


@pytest.mark.parametrize("call", [study.create, study.drop])
def test_no_connection_left_for_optuna(database, database_url, call):
    """What Optuna does by itself, while our transaction has the only connection, is tried again like all else."""
    experiment, _ = register(database)
    with role(database_url, "connection limit 1") as url, closing(psycopg2.connect(url)):
        with pytest.raises(Unreachable, match="too many connections for role"):
            call(Database(url, 0), experiment)
