"""Optuna: what is stored is readable by Optuna, what is decided is what Optuna decides."""

import optuna
import pytest

from job import study, tasks
from job.database import Database
from job.index import Key
from job.prepare import _register
from job.specification import parse
from job.tasks import Tasks, Worker

STAGED = {"data": {"id": "d", "files": {}}, "weights": {}, "splits": {}}


def spec(**search):
    return {
        "name": "small",
        "seed": 5,
        "data": {"source": "digits"},
        "search": {"trials": 25, **search},
        "models": {
            "cnn": {
                "epochs": 9,
                "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
                "batch_size": [16, 32],
                "width": {"low": 4, "high": 16, "step": 4},
            }
        },
    }


@pytest.fixture
def database(database_url):
    database = Database(database_url, outage_s=5)
    database.create_schema()
    return database


def register(database, **search):
    experiment = parse(spec(**search))
    _register(database, experiment, STAGED)
    return experiment, tasks.find(database, "small")


def claim(database, registered, index):
    attempt = Tasks(database, registered, Worker(owner=f"w{index}"), 60, 0).claim(Key("cnn", "trial", index))
    attempt.set_parameters(lambda cursor: study.suggest(registered.experiment, attempt.key, attempt.values, cursor))
    return attempt


def curve(parameters, epoch):
    """A made-up validation score that depends on the parameters."""
    return 0.9 - abs(parameters["learning_rate"] - 0.01) * 5 - 0.3 / (epoch + 1) - parameters["width"] / 1000


def run(database, registered, index):
    """Run a trial on the made-up curve; return the epochs it was asked at and whether it was pruned."""
    attempt = claim(database, registered, index)
    for epoch in range(9):
        value = curve(attempt.parameters, epoch)
        if attempt.report(
            epoch, {}, value, lambda cursor: study.decide(registered.experiment, attempt.key, attempt.values, epoch, value, cursor)
        ):
            attempt.commit("pruned", value, {}, {}, reason="pruned")
            return epoch, True
    attempt.commit("complete", value, {}, {})
    return 8, False


def test_optuna_reads_what_we_wrote(database):
    """The contract: parameters, values, steps and states come back through Optuna's own API; N tasks are N trials."""
    experiment, registered = register(database, enqueue=[{"learning_rate": 0.05, "batch_size": 16}])
    run(database, registered, 0)
    claim(database, registered, 3)
    theirs = optuna.load_study(study_name="small/cnn", storage=database.url.replace("postgresql://", "postgresql+psycopg2://"))
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
    experiment = registered.experiment
    values = registered.values(Key("cnn", "trial", 2))
    database.rows("update task set parameters = null, state = 'waiting'")
    again = database.run(lambda cursor: study.suggest(experiment, Key("cnn", "trial", 2), values, cursor))
    assert again == first[2]


def test_suggestions_are_optunas_own(database):
    """After ten trials a suggestion is what Optuna's TPE, with the task's seed, draws from the same finished and running trials."""
    experiment, registered = register(database)
    for index in range(14):
        run(database, registered, index)
    claim(database, registered, 14)
    ours = claim(database, registered, 15).parameters
    key = Key("cnn", "trial", 15)
    reference = optuna.create_study(study_name="small/cnn", direction="maximize", sampler=study.sampler(experiment, key))
    for row in database.rows("select * from task where stage = 'trial' and index < 15 order by index"):
        done = row["state"] == "complete"
        state = optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.RUNNING
        known = {"params": row["parameters"], "distributions": study.distributions(experiment, "cnn")}
        reference.add_trial(optuna.trial.create_trial(state=state, value=row["value"] if done else None, **known))
    assert ours == reference.ask(study.distributions(experiment, "cnn")).params


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_pruning_is_optunas_own(database, name):
    """Each decision equals the one of Optuna's pruner fed with the same history in one process."""
    experiment, registered = register(database, pruner=name, min_epochs=1)
    ours = [run(database, registered, i) for i in range(25)]
    parameters = [r["parameters"] for r in database.rows("select parameters from task where stage = 'trial' order by index")]
    reference = optuna.create_study(study_name="small/cnn", direction="maximize", pruner=study.pruner(experiment, "cnn"))
    theirs = []
    for chosen in parameters:
        reference.enqueue_trial(chosen)
        trial = reference.ask(study.distributions(experiment, "cnn"))
        for epoch in range(9):
            trial.report(curve(chosen, epoch), epoch + 1)
            if epoch < 8 and trial.should_prune():
                reference.tell(trial, state=optuna.trial.TrialState.PRUNED)
                theirs.append((epoch, True))
                break
        else:
            reference.tell(trial, curve(chosen, 8))
            theirs.append((8, False))
    assert ours == theirs
    assert any(pruned for _, pruned in ours)
