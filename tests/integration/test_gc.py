"""`job gc`: what ended attempts left goes, a lease after they ended; nothing else ever does."""

import os
import time

import pytest

from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment.specification import parse
from job.experiment.task import Key
from job.storage.store import FolderStore, open_store
from job.verify.garbage import garbage
from job.work.prepare import _register, drop

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 2},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2}},
}
STAGED = {"data": {"id": "d", "files": {}}, "weights": {}, "splits": {}}
TRIAL = Key("cnn", "trial", 0)
LEASE_S = 100


@pytest.fixture
def database(database_url):
    database = Database(database_url, outage_s=5)
    database.create_schema()
    _register(database, parse(SPEC), STAGED)
    return database


@pytest.fixture
def store(tmp_path):
    """A folder, whose clock can be set back."""
    return FolderStore(tmp_path / "store", 5, time.sleep)


@pytest.fixture
def attempt(database, store):
    """Return a function that begins an attempt of the trial and stores files under it, of an hour ago."""

    def begin(*files):
        attempt = Tasks(database, find(database, "small"), Worker(), 60, 0).claim(TRIAL)
        attempt.set_parameters({})
        put(store, folder(database) + f"/{attempt.number}/", *files)
        return attempt

    return begin


def folder(database, key=TRIAL):
    return f"experiments/{find(database, 'small').id}/{key.model}/{key.stage}/{key.index}"


def put(store, prefix, *files, age_s=3600):
    for name in files:
        store.put(prefix + name, b"bytes")
        os.utime(store.root / (prefix + name), (time.time() - age_s, time.time() - age_s))


def an_hour_ago(database):
    """Set the end of every attempt back by an hour."""
    database.rows(
        "update attempt set started = started - interval '1 h', ended = ended - interval '1 h'"
    )


def going(database, store) -> list[str]:
    """Return what would go, without the folder of the task."""
    return [
        o.key.removeprefix(folder(database) + "/") for o in garbage(database, store, None, LEASE_S)
    ]


def named(database, number, *files) -> dict:
    return {
        name: {"key": f"{folder(database)}/{number}/{name}", "sha256": "", "size": 5, "etag": ""}
        for name in files
    }


def test_a_decided_task_keeps_what_its_row_names(database, store, attempt):
    """All else under its folder goes: checkpoints, and the result of another attempt."""
    attempt("result.json", "history.csv", "checkpoint-000000003").release("x")
    attempt("result.json", "checkpoint-000000009").commit(
        "complete", 0.5, {}, named(database, 1, "result.json", "history.csv")
    )
    an_hour_ago(database)
    assert going(database, store) == [
        "1/checkpoint-000000003",
        "2/checkpoint-000000009",
        "2/result.json",
    ]


def test_a_waiting_task_keeps_its_way_on(database, store, attempt):
    """Of an unfinished task the newest two checkpoints stay, by step over all attempts, and all that is or may yet become a result."""
    attempt("checkpoint-000000003", "checkpoint-000000020", "history.csv").release("x")
    attempt("checkpoint-000000007", "checkpoint-000000009", "predictions.npz").release("x")
    attempt("predictions.npz", "result.json", "checkpoint-000000001").release("x")
    an_hour_ago(database)
    assert going(database, store) == [
        "1/checkpoint-000000003",
        "2/checkpoint-000000007",
        "3/checkpoint-000000001",
    ]


def test_a_failed_task_keeps_its_way_on(database, store, attempt):
    """`job retry` of a task that failed for good goes on from its newest checkpoints."""
    for i in range(3):
        attempt(f"checkpoint-{i:09d}").error("x")
    an_hour_ago(database)
    assert database.rows("select state from task where stage = 'trial' and index = 0") == [
        {"state": "failed"}
    ]
    assert going(database, store) == ["1/checkpoint-000000000"]


def test_an_attempt_at_work_keeps_everything(database, store, attempt):
    """Of an attempt without an end nothing goes, however old."""
    attempt("checkpoint-000000001").release("x")
    attempt("checkpoint-000000002", "checkpoint-000000003", "checkpoint-000000004", "history.csv")
    an_hour_ago(database)
    assert going(database, store) == ["1/checkpoint-000000001"]


def test_nothing_younger_than_a_lease_goes(database, store, attempt):
    """Both ages count: since the attempt ended, and since the object was stored (a process that lost its lease may still write)."""
    attempt("checkpoint-000000001").commit("complete", 0.5, {}, {})
    assert going(database, store) == [], "the attempt has just ended"
    an_hour_ago(database)
    put(store, f"{folder(database)}/1/", "late", age_s=LEASE_S / 2)
    assert going(database, store) == ["1/checkpoint-000000001"], "the other one was just stored"


def test_what_the_database_does_not_know_stays(database, store, attempt):
    """Other experiments, unknown tasks and attempts, reports, data: none is ours to remove."""
    attempt("checkpoint-000000001").commit("complete", 0.5, {}, {})
    an_hour_ago(database)
    mine = f"experiments/{find(database, 'small').id}"
    put(store, "experiments/small-0000/cnn/trial/0/1/", "checkpoint-000000001", "result.json")
    put(store, f"{mine}/cnn/trial/0/", "2/checkpoint-000000002", "notes.txt")
    put(store, f"{mine}/cnn/trial/99/1/", "checkpoint-000000002")
    put(store, f"{mine}/report/", "index.html")
    put(store, "features/d/x/", "0-of-1.npy")
    assert going(database, store) == ["1/checkpoint-000000001"]


def test_a_commit_in_between_protects(database, store, attempt):
    """What is committed after the store was listed and before the rows are read stays."""
    working = attempt("result.json", "checkpoint-000000001")

    class Slow(FolderStore):
        def listing(self, prefix, halves=False):
            listed = super().listing(prefix, halves)
            working.commit("complete", 0.5, {}, named(database, 1, "result.json"))
            an_hour_ago(database)
            return listed

    assert going(database, Slow(store.root, 5, time.sleep)) == ["1/checkpoint-000000001"]


def test_what_a_killed_put_left_goes(database, store, attempt):
    """In a folder, half a file that a killed put left is hidden from everybody but gc."""
    attempt("checkpoint-000000001").release("interrupted")
    key = next(o.key for o in store.listing("experiments/"))
    (store.root / key).with_name(".put-left").write_bytes(b"half")
    an_hour_ago(database)
    hour_old = time.time() - 3600
    for file in (store.root / key).parent.iterdir():
        os.utime(file, (hour_old, hour_old))
    assert [k for k in going(database, store) if "put" in k] == ["1/.put-left"]


def test_a_file_that_goes_while_a_folder_is_listed_is_left_out(store):
    """A worker that drops a checkpoint does not break who lists the experiment; a link to nothing stands for the moment between."""
    store.put("experiments/e/stays", b"bytes")
    (store.root / "experiments/e/gone").symlink_to("nowhere")
    assert [o.key for o in store.listing("experiments/")] == ["experiments/e/stays"]


def test_what_a_drop_leaves(database, store, attempt):
    """A drop that crashes between rows and bytes, or whose workers still write, leaves a note: gc removes the rest a lease later."""
    attempt("checkpoint-000000001", "history.csv")  # and is at work
    registered, late = find(database, "small"), folder(database) + "/1/result.json"
    put(store, "experiments/small-00000000/cnn/trial/0/1/", "result.json")  # of another database
    drop(database, store, "small")
    assert [o.key for o in store.listing("")] == [
        f"dropped/{registered.id}.json",
        "experiments/small-00000000/cnn/trial/0/1/result.json",
    ]
    put(store, "", late, age_s=LEASE_S / 2)
    os.utime(store.root / f"dropped/{registered.id}.json", (time.time() - 3600,) * 2)
    assert garbage(database, store, None, LEASE_S) == [], "a worker may have written it just now"
    put(store, "", late)
    assert [o.key for o in garbage(database, store, "small", LEASE_S)] == [
        late,
        f"dropped/{registered.id}.json",
    ]


@pytest.mark.parametrize("crash", ["before the rows", "after the rows"])
def test_a_drop_that_crashed(database, store, attempt, crash):
    """Rows go before bytes: what is there still has its bytes, and bytes without rows are found."""
    attempt("result.json").release("x")
    key, note = (
        next(o.key for o in store.listing("")),
        f"dropped/{find(database, 'small').id}.json",
    )

    class Crashes(FolderStore):
        def put(self, key, source):
            super().put(key, source)
            if crash == "before the rows":
                raise KeyboardInterrupt

        def delete(self, keys, patience_s=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drop(database, Crashes(store.root, 5, time.sleep), "small")
    for left in (key, note):
        os.utime(store.root / left, (time.time() - 3600,) * 2)
    found = [o.key for o in garbage(database, store, None, LEASE_S)]
    assert found == ([] if crash == "before the rows" else [key, note])


def test_a_drop_leaves_nothing(database, store, attempt):
    """Without workers the note goes, too."""
    attempt("result.json").release("x")
    drop(database, store, "small")
    assert store.listing("") == []
    assert [
        database.rows(f"select count(*)::int as n from {t}")[0]["n"]
        for t in ("experiment", "task", "studies")
    ] == [0, 0, 0]


def test_the_command(small, s3_environ):
    """On S3 --dry-run lists and removes nothing, then the command removes just that; with a lease's age it removes nothing."""
    small.job("prepare", "small.toml", check=0)
    database, store = Database(small.database_url, 5), open_store(small.store_url, 5)
    Tasks(database, find(database, "small"), Worker(), 60, 0).claim(TRIAL).commit(
        "complete", 0.5, {}, {}
    )
    key = f"{folder(database)}/1/checkpoint-000000001"
    store.put(key, b"bytes")
    assert small.job("gc", check=0).stdout == "removed: 0 objects, 0 bytes\n"
    deadline = time.monotonic() + 30
    while not garbage(database, store, "small", 0.5) and time.monotonic() < deadline:
        time.sleep(0.1)
    others = {o.key for o in store.listing("")} - {key}
    dry = small.job("gc", "--dry-run", check=0, JOB_LEASE_S="0.5").stdout
    assert dry == f"{5:>12}  {key}\nto remove: 1 objects, 5 bytes\n"
    assert store.head(key)
    assert small.job("gc", check=0, JOB_LEASE_S="0.5").stdout == "removed: 1 objects, 5 bytes\n"
    assert {o.key for o in store.listing("")} == others
    assert (
        "there is no experiment 'other'" in small.job("gc", "--experiment", "other", check=2).stderr
    )
