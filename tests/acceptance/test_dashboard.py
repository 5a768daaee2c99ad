"""`job dashboard`: Optuna's dashboard shows our trials as they are, and can change nothing."""

import json
import signal
import urllib.error
import urllib.request

import pytest

from job.coordination import study, tasks
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment import serialize
from job.experiment.specification import parse
from job.experiment.task import Key
from job.work.prepare import register
from tests.support.site import Child
from tests.support.staged import STAGED

LEARNING_RATE = {"low": 1e-3, "high": 1e-1, "log": True}
SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {
        "trials": 10,
        "metric": "log_loss",
        "pruner": "median",
        "sampler": "random",
        "min_epochs": 1,
    },
    "models": {"cnn": {"epochs": 3, "learning_rate": LEARNING_RATE, "batch_size": [32, 64]}},
}
TABLES = (
    "task",
    "attempt",
    "epoch",
    "studies",
    "trials",
    "trial_values",
    "trial_params",
    "trial_intermediate_values",
)
ROWS = " union all ".join(f"select '{table}' || t::text as x from {table} t" for table in TABLES)
EVERYTHING = f"select md5(string_agg(x, ';' order by x)) as digest from ({ROWS}) y"


def _lived(url: str) -> Database:
    """Make an experiment with trials in every state.

    Trials 0 to 4 are complete, and 0 failed before. The others are pruned, failed, running,
    interrupted and untouched (9).
    """
    database = Database(url, 10)
    database.create_schema()
    register(database, parse(SPEC), STAGED)
    registered = find(database, "small")

    def attempt(index: int):
        key = Key("cnn", "trial", index)
        found = Tasks(database, registered, Worker(), 60, 0).claim(key)
        study.choose(registered.experiment, found)
        return key, found

    def fail(index: int):
        for _ in range(3):
            attempt(index)[1].error("no room")

    fail(0)
    tasks.retry(database, registered, Key("cnn", "trial", 0))
    for index in range(6):
        key, found = attempt(index)
        for epoch in range(3):
            value = index / 10 + 1 / (epoch + 2)
            if found.report(epoch, {}, value, study.rule(registered.experiment, key, epoch)):
                found.commit(
                    "pruned", value, {}, {}, reason=f"pruned after epoch {epoch + 1} by median"
                )
                break
        else:
            found.commit("complete", value, {}, {}, step=3)
    fail(6)
    attempt(7)[1].report(0, {}, 0.5)
    attempt(8)[1].release("SIGTERM")
    return database


def _get(url: str, method: str = "GET", body: dict | None = None, **headers: str):
    """Return the JSON answer of the dashboard's HTTP API."""
    request = urllib.request.Request(
        url,
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json", **headers},
        method=method,
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        request, timeout=20
    ) as answer:
        return json.load(answer)


def _address(child: Child) -> str:
    """Return the URL that a dashboard prints."""
    child.until("shows the studies of")
    return next(word for word in child.text().split() if word.startswith("http://127.0.0.1:"))


def test_it_shows_the_rows(site):
    """Its HTTP API shows our rows: states, values, parameters, epochs, direction and reasons.

    It exits with 0 on a signal.
    """
    database = _lived(site.database_url)
    child = site.start("dashboard", "--port", 0)
    url = _address(child)
    (summary,) = _get(f"{url}api/studies")["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == ("small/cnn", ["minimize"])
    shown = _get(f"{url}api/studies/{summary['study_id']}?after=0")["trials"]
    ours = database.rows("select * from task where stage = 'trial' order by index")
    assert {row["state"] for row in ours} == {"complete", "pruned", "failed", "running", "waiting"}
    for trial, row in zip(shown, ours, strict=True):
        # Optuna has no word for a trial that waits for its next attempt.
        begun = "Running" if row["parameters"] else "Waiting"
        states = {"complete": "Complete", "pruned": "Pruned", "failed": "Fail"}
        states |= {"running": "Running", "waiting": begun}
        assert (trial["number"], trial["state"]) == (row["index"], states[row["state"]])
        assert trial.get("values") == (None if row["value"] is None else [row["value"]])
        parameters = {p["name"]: p["param_external_value"] for p in trial["params"]}
        assert {k: str(v) for k, v in (row["parameters"] or {}).items()} == parameters
        epochs = database.rows(
            "select epoch + 1 as step, value from epoch where index = %(i)s order by epoch",
            i=row["index"],
        )
        assert trial["intermediate_values"] == epochs
        reasons = {a["key"]: a["value"] for a in trial["user_attrs"]}
        assert reasons == ({"reason": row["reason"]} if row["reason"] else {})
    assert site.database_url.split(":")[2].split("@")[0] not in child.text(), "the password"
    child.send(signal.SIGINT)
    child.wait(20, check=0)


def test_it_changes_nothing(site):
    """The dashboard and its storage refuse every change, and no row changes."""
    database = _lived(site.database_url)
    before = database.rows(EVERYTHING)
    child = site.start("dashboard", "--port", 0)
    url = _address(child)
    (summary,) = _get(f"{url}api/studies")["study_summaries"]
    path = f"{url}api/studies/{summary['study_id']}"
    trial = _get(f"{path}?after=0")["trials"][9]["trial_id"]
    for address, method, body in (
        (path, "DELETE", {"remove_associated_artifacts": False}),
        (f"{path}/rename", "POST", {"study_name": "mine"}),
        (f"{url}api/studies", "POST", {"study_name": "new", "directions": ["minimize"]}),
        (f"{url}api/trials/{trial}/tell", "POST", {"state": "Complete", "values": [0]}),
        (f"{path}/note", "PUT", {"version": 1, "body": "x"}),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            _get(address, method, body)
        assert refused.value.code == 403
    with pytest.raises(urllib.error.HTTPError):
        _get(f"{url}api/studies", Host="rebound.example")
    assert database.rows(EVERYTHING) == before
    storage = study.open_reader(database)
    for change in (
        lambda: storage.delete_study(summary["study_id"]),
        lambda: storage.set_study_user_attr(summary["study_id"], "a", 1),
    ):
        with pytest.raises(Exception) as refused:
            change()
        assert "read-only transaction" in str(refused.value.__cause__ or refused.value)
    assert database.rows(EVERYTHING) == before


def test_what_it_cannot_show(site):
    """No database of `job local`, no tables, a port that is taken: one sentence each."""
    empty = site.job("dashboard", "--local", site.folder / "none", JOB_DATABASE_URL="")
    assert empty.returncode == 78
    assert "there is no database; `job local` makes one" in empty.stderr
    unset = site.job("dashboard", JOB_DATABASE_URL="", check=2).stderr
    assert "is not set: give postgresql://" in unset
    assert unset.endswith("after `job local`: --local DIR\n")
    both = ("list", "--local", "out", "--database-url", site.database_url)
    assert (
        "--local out and --database-url both say where things are: give one of them"
        in site.job(*both, check=2).stderr
    )
    assert "has no tables yet" in site.job("dashboard", "--port", 0, check=75).stderr


def test_on_the_servers_of_a_local_run(site):
    """A stopped database of `job local` is started, then stopped; a running one is left alone."""
    from job.local.embedded import Postgres

    folder = site.folder / "out" / "servers"
    folder.mkdir(parents=True)
    (site.folder / "out" / "experiment.toml").write_text(serialize.toml(parse(SPEC).spec))
    with Postgres(folder) as server:
        url = _lived(site.database_url).url
        _lived(server.url)
        local = ("dashboard", "--local", site.folder / "out", "--port", 0)
        running = site.start(*local, JOB_DATABASE_URL="")
        studies = _get(f"{_address(running)}api/studies")["study_summaries"]
        assert studies[0]["study_name"] == "small/cnn"
        running.send(signal.SIGTERM)
        running.wait(20, check=0)
        unset = {"JOB_DATABASE_URL": "", "JOB_EXPERIMENT": ""}
        status = site.job("status", "--json", "--local", "out", check=0, **unset)
        state = json.loads(status.stdout)
        assert state["experiment"] == "small", "the experiment that `job local` has there"
        Database(server.url, 0).rows("select 1")
    started = site.start(*local, JOB_DATABASE_URL="")
    assert len(_get(f"{_address(started)}api/studies")["study_summaries"]) == 1
    taken = _address(started).split(":")[2].strip("/")
    assert (
        f"--port {taken}: cannot listen on it"
        in site.job("dashboard", "--port", taken, JOB_DATABASE_URL=url, check=2).stderr
    )
    started.send(signal.SIGTERM)
    started.wait(60, check=0)
    assert not (folder / "postgres" / "pid").exists()
