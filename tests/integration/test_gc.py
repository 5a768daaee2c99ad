"""`job gc` deletes what ended attempts left, a lease after they ended, and nothing else."""

import os
import time

import pytest

from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment.task import Key
from job.storage.store import FolderStore, open_store
from job.verify.garbage import garbage
from job.work.prepare import drop

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 2},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2}},
}
TRIAL = Key("cnn", "trial", 0)
LEASE_S = 100


@pytest.fixture
def database(database_url, registered):
    registered(database_url, SPEC)
    return Database(database_url, outage_s=5)


@pytest.fixture
def store(tmp_path):
    """A folder store; a test can set the times of its files back."""
    return FolderStore(tmp_path / "store", 5, time.sleep)


@pytest.fixture
def attempt(database, store):
    """Return a function that begins an attempt of the trial and stores hour-old files under it."""

    def begin(*files):
        attempt = Tasks(database, find(database, "small"), Worker(), 60, 0).claim(TRIAL)
        attempt.set_parameters({})
        put(store, f"{folder(database)}/{attempt.number}/", *files)
        return attempt

    return begin


def folder(database, key=TRIAL):
    return f"experiments/{find(database, 'small').id}/{key.model}/{key.stage}/{key.index}"


def put(store, prefix, *files, age_s=3600):
    for name in files:
        store.put(prefix + name, b"bytes")
        set_age(store.root / (prefix + name), age_s)


def set_age(path, age_s=3600):
    then = time.time() - age_s
    os.utime(path, (then, then))


def an_hour_ago(database):
    """Set start and end of every attempt back by an hour."""
    database.rows(
        "update attempt set started = started - interval '1 h', ended = ended - interval '1 h'"
    )


def going(database, store) -> list[str]:
    """Return the keys that gc would delete, without the folder of the task."""
    prefix = folder(database) + "/"
    return [o.key.removeprefix(prefix) for o in garbage(database, store, None, LEASE_S)]


def named(database, number, *files) -> dict:
    return {
        name: {"key": f"{folder(database)}/{number}/{name}", "sha256": "", "size": 5, "etag": ""}
        for name in files
    }


def test_a_decided_task_keeps_what_its_row_names(database, store, attempt):
    """A decided task keeps the files that its row names; all else in its folder is deleted."""
    attempt("result.json", "history.csv", "checkpoint-000000003").release("x")
    artifact = named(database, 1, "result.json", "history.csv")
    attempt("result.json", "checkpoint-000000009").commit("complete", 0.5, {}, artifact)
    an_hour_ago(database)
    assert going(database, store) == [
        "1/checkpoint-000000003",
        "2/checkpoint-000000009",
        "2/result.json",
    ]


def test_a_waiting_task_keeps_its_way_on(database, store, attempt):
    """An unfinished task keeps its two newest checkpoints and every part of a result.

    Checkpoints are ordered by step over all attempts.
    """
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
    """A failed task keeps its newest checkpoints, from which `job retry` resumes."""
    for i in range(3):
        attempt(f"checkpoint-{i:09d}").error("x")
    an_hour_ago(database)
    state = "select state from task where stage = 'trial' and index = 0"
    assert database.rows(state) == [{"state": "failed"}]
    assert going(database, store) == ["1/checkpoint-000000000"]


def test_an_attempt_at_work_keeps_everything(database, store, attempt):
    """An attempt without an end loses nothing, however old its files are."""
    attempt("checkpoint-000000001").release("x")
    attempt("checkpoint-000000002", "checkpoint-000000003", "checkpoint-000000004", "history.csv")
    an_hour_ago(database)
    assert going(database, store) == ["1/checkpoint-000000001"]


def test_nothing_younger_than_a_lease_goes(database, store, attempt):
    """Nothing is deleted within a lease of the attempt's end or of the object's storing.

    A process that lost its lease may still write.
    """
    attempt("checkpoint-000000001").commit("complete", 0.5, {}, {})
    assert going(database, store) == [], "the attempt has just ended"
    an_hour_ago(database)
    put(store, f"{folder(database)}/1/", "late", age_s=LEASE_S / 2)
    assert going(database, store) == ["1/checkpoint-000000001"], "the other one was just stored"


def test_what_the_database_does_not_know_stays(database, store, attempt):
    """Other experiments, unknown tasks and attempts, reports and data are never deleted."""
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
    """A result committed between the listing and the reading of the rows stays."""
    working = attempt("result.json", "checkpoint-000000001")

    class Slow(FolderStore):
        def listing(self, prefix, halves=False):
            listed = super().listing(prefix, halves)
            working.commit("complete", 0.5, {}, named(database, 1, "result.json"))
            an_hour_ago(database)
            return listed

    assert going(database, Slow(store.root, 5, time.sleep)) == ["1/checkpoint-000000001"]


def test_what_a_killed_put_left_goes(database, store, attempt):
    """In a folder, only gc sees the half file that a killed put left, and deletes it."""
    attempt("checkpoint-000000001").release("interrupted")
    key = next(o.key for o in store.listing("experiments/"))
    (store.root / key).with_name(".put-left").write_bytes(b"half")
    an_hour_ago(database)
    for file in (store.root / key).parent.iterdir():
        set_age(file)
    assert [k for k in going(database, store) if "put" in k] == ["1/.put-left"]


def test_a_file_that_goes_while_a_folder_is_listed_is_left_out(store):
    """A checkpoint deleted during a listing does not break the listing.

    A link to nothing plays the file that vanishes in that moment.
    """
    store.put("experiments/e/stays", b"bytes")
    (store.root / "experiments/e/gone").symlink_to("nowhere")
    assert [o.key for o in store.listing("experiments/")] == ["experiments/e/stays"]


def test_what_a_drop_leaves(database, store, attempt):
    """A drop leaves a note, by which gc deletes late or remaining files a lease later.

    It helps when the drop crashes between rows and bytes, or workers still write.
    """
    attempt("checkpoint-000000001", "history.csv")  # still running
    note = f"dropped/{find(database, 'small').id}.json"
    late = f"{folder(database)}/1/result.json"
    of_another_database = "experiments/small-00000000/cnn/trial/0/1/result.json"
    put(store, "", of_another_database)
    drop(database, store, "small")
    assert [o.key for o in store.listing("")] == [note, of_another_database]
    put(store, "", late, age_s=LEASE_S / 2)
    set_age(store.root / note)
    assert garbage(database, store, None, LEASE_S) == [], "a worker may have written it just now"
    put(store, "", late)
    assert [o.key for o in garbage(database, store, "small", LEASE_S)] == [late, note]


@pytest.mark.parametrize("crash", ["before the rows", "after the rows"])
def test_a_drop_that_crashed(database, store, attempt, crash):
    """A drop deletes rows before bytes: rows keep their bytes, and bytes without rows are found."""
    attempt("result.json").release("x")
    key = next(o.key for o in store.listing(""))
    note = f"dropped/{find(database, 'small').id}.json"

    class Crashes(FolderStore):
        def put(self, key, source):
            super().put(key, source)
            if crash == "before the rows":
                raise KeyboardInterrupt

        def delete(self, keys, patience_s=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drop(database, Crashes(store.root, 5, time.sleep), "small")
    for remaining in (key, note):
        set_age(store.root / remaining)
    expected = [] if crash == "before the rows" else [key, note]
    assert [o.key for o in garbage(database, store, None, LEASE_S)] == expected


def test_a_drop_leaves_nothing(database, store, attempt):
    """Without running workers a drop leaves nothing, not even its note."""
    attempt("result.json").release("x")
    drop(database, store, "small")
    assert store.listing("") == []
    for table in ("experiment", "task", "studies"):
        assert database.rows(f"select count(*)::int as n from {table}") == [{"n": 0}]


def test_the_command(digits, s3_environ):
    """On S3 `--dry-run` lists without deleting, and the command deletes exactly what it listed.

    Within a lease of the attempt's end it deletes nothing.
    """
    database = Database(digits.database_url, 5)
    store = open_store(digits.store_url, 5)
    attempt = Tasks(database, find(database, "small"), Worker(), 60, 0).claim(TRIAL)
    attempt.commit("complete", 0.5, {}, {})
    key = f"{folder(database)}/1/checkpoint-000000001"
    store.put(key, b"bytes")
    assert digits.job("gc", check=0).stdout == "removed: 0 objects, 0 bytes\n"
    deadline = time.monotonic() + 30
    while not garbage(database, store, "small", 0.5) and time.monotonic() < deadline:
        time.sleep(0.1)
    others = {o.key for o in store.listing("")} - {key}
    dry = digits.job("gc", "--dry-run", check=0, JOB_LEASE_S="0.5").stdout
    assert dry == f"{5:>12}  {key}\nto remove: 1 objects, 5 bytes\n"
    assert store.head(key)
    assert digits.job("gc", check=0, JOB_LEASE_S="0.5").stdout == "removed: 1 objects, 5 bytes\n"
    assert {o.key for o in store.listing("")} == others
    refused = digits.job("gc", "--experiment", "other", check=2)
    assert "there is no experiment 'other'" in refused.stderr
