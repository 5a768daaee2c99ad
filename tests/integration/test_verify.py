"""`job verify` confirms every promise of a finished experiment, and names each broken one."""

import json
import re
import signal
import subprocess
import sys
import uuid

import pytest

from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.study import internal
from job.coordination.tasks import Tasks
from job.experiment.task import Element, Key
from job.learning.checkpoint import Damaged
from job.learning.provenance import unseal
from job.settings import Settings
from job.storage.cache import Cache
from job.storage.store import open_store
from job.verify import objects, verify
from job.verify.replayed import Replayed
from job.work import repair, worker
from tests.support.databases import copy_database, create_database, drop_database
from tests.support.site import new_site
from tests.support.tampered_rows import NEW_ETAG, ROWS
from tests.support.tampering import (
    artifact_of,
    broken,
    key_of,
    predictions_with,
    put_or_delete,
    replaced,
    result_with,
    rewritten,
    set_back,
    set_item,
    swap,
    update_task,
)
from tests.support.waiting import a_tick_after, wait_for

PROMISES = [
    "exactly N",
    "done is done",
    "one owner",
    "epochs",
    "bytes first",
    "selection",
    "the test part is locked",
    "data",
    "nothing leaks",
]
# Five trials that learn, a sixth that cannot and is pruned for it, a seventh for the test.
FILE = """
name = "checked"
threads = 1
[data]
source = "digits"
train = 800
test = 200
[search]
trials = 7
repeats = 2
pruner = "median"
enqueue = [
  { learning_rate = 0.02 },
  { learning_rate = 0.03 },
  { learning_rate = 0.01 },
  { learning_rate = 0.015 },
  { learning_rate = 0.02 },
  { learning_rate = 1e-8 },
]
[folds]
count = 2
[models.cnn]
epochs = 3
width = 8
blocks = 1
units = 32
dropout = 0.0
batch_size = 16
learning_rate = { low = 1e-8, high = 0.1, log = true }
augment = { shift = 0.05 }
"""


@pytest.fixture(scope="module")
def finished(postgres, s3, tmp_path_factory):
    """An experiment finished by real processes.

    It has five complete trials, a pruned and a diverged one, two folds and a final.
    """
    url = create_database(postgres.url)
    site = new_site(url, s3, tmp_path_factory.mktemp("verify"), stub=True)
    site.environ["JOB_EXPERIMENT"] = "checked"
    (site.folder / "checked.toml").write_text(FILE)
    site.job("prepare", "checked.toml", check=0)
    two_at_a_time(site, [("trial", i) for i in range(5)])
    site.job("trial", "--index", 5, check=0)
    database = Database(site.database_url, 5)
    registered = find(database, "checked")
    attempt = Tasks(database, registered, Worker(), 60, 0).claim(Key("cnn", "trial", 6))
    parameters = {"learning_rate": 0.1}
    attempt.set_parameters(parameters, internal(registered.experiment, "cnn", parameters))
    attempt.commit("pruned", None, {}, {}, reason="diverged: the loss is not finite in epoch 0")
    two_at_a_time(site, [("fold", 0), ("fold", 1), ("final", 0)])
    site.job("report", "--out", "report", check=0)
    yield site
    drop_database(url)


@pytest.fixture
def copy(finished, database_url, s3_environ):
    """A copy of the finished experiment's database, to tamper with."""
    copy_database(database_url, finished.database_url)
    return Database(database_url, 5)


@pytest.fixture(scope="module")
def store(finished):
    with pytest.MonkeyPatch.context() as shell:
        for name, value in finished.environ.items():
            shell.setenv(name, value)
        return open_store(finished.store_url, 5)


def two_at_a_time(site, tasks):
    for i in range(0, len(tasks), 2):
        for child in [site.start(stage, "--index", index) for stage, index in tasks[i : i + 2]]:
            child.wait(300, check=0)


def test_a_finished_experiment_keeps_every_promise(finished):
    """Every promise is kept, with all bytes hashed, all scores recomputed and all counts shown."""
    done = finished.job("verify", "--deep", check=0)
    lines = done.stdout.splitlines()
    expected = [f"ok    {name}" for name in (*PROMISES, "this node's cache")]
    assert [line.partition(":")[0] for line in lines[1:]] == expected
    assert lines[1] == "ok    exactly N: 7 trial, 2 fold, 1 final tasks, 10 decided"
    assert "opened 1 times, for 1 complete finals" in done.stdout
    statement = "select state from task where stage = 'trial' order by index"
    states = Database(finished.database_url, 5).rows(statement)
    assert [r["state"] for r in states] == ["complete"] * 5 + ["pruned"] * 2


def test_for_programs(finished, copy):
    """`--json` lists the promises with their violations, and any violation means exit 1."""
    copy.rows("update task set owner = 'x' where stage = 'fold' and index = 1")
    done = finished.job("verify", "--json", check=1, JOB_DATABASE_URL=copy.url)
    promises = {p["promise"]: p for p in json.loads(done.stdout)}
    assert [name for name, p in promises.items() if not p["ok"]] == ["done is done"]
    assert promises["done is done"]["violations"] == [
        "cnn fold 1 is complete and still has an owner or a lease"
    ]
    assert done.stderr.splitlines()[-1] == "job: 1 violation"


@pytest.mark.parametrize("what", ROWS)
def test_a_tampered_row_is_found(copy, store, what):
    """A forbidden state of the tables is named under its promise and under no other."""
    statement, expected = ROWS[what]
    copy.rows(statement)
    violations = broken(copy, store)
    assert violations.keys() == expected.keys(), violations
    for name, patterns in expected.items():
        sentences = violations[name]
        for pattern in patterns.split("|"):
            assert any(re.search(pattern, sentence) for sentence in sentences), sentences


def test_a_secret_in_a_row_is_found(copy, store, s3):
    """The database's password and the store's key are found in any row, and not repeated."""
    password = copy.url.split(":")[2].split("@")[0]
    update_task(copy, "trial", 5, "reason = %(text)s", text=f"login {password} refused")
    copy.rows("update attempt set host = %(text)s where stage = 'final'", text=s3.secret_key)
    assert broken(copy, store) == {
        "nothing leaks": [
            "cnn final 0, attempt 1, holds AWS_SECRET_ACCESS_KEY",
            "cnn trial 5 holds the database's password",
        ]
    }


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda content: None, "names model.keras, which is not in the store"),
        (lambda content: content[:-1], "names model.keras of"),
        (
            lambda content: content[:-1] + bytes([content[-1] ^ 1]),
            "names model.keras, but the store has another object of this size",
        ),
    ],
    ids=["deleted", "truncated", "altered"],
)
def test_a_tampered_object_is_found_in_the_listing(copy, store, change, sentence):
    """A deleted, truncated or altered object is found without reading it.

    Once the object is put back, all is right again.
    """
    key = key_of(copy, "fold", 1, "model.keras")
    with replaced(store, key, change(store.get(key))):
        violations = broken(copy, store)
    assert violations.keys() == {"bytes first"}
    assert len(violations["bytes first"]) == 1
    assert sentence in violations["bytes first"][0]
    assert broken(copy, store) == {}


@pytest.mark.parametrize("name", ["train-images.npy", "manifest.json", "splits"])
def test_missing_data_is_found(copy, store, name):
    """Missing data and splits are found, too."""
    row = copy.rows("select data, splits from experiment")[0]
    key = row["splits"]["key"] if name == "splits" else f"data/{row['data']['id']}/{name}"
    with replaced(store, key, None):
        assert broken(copy, store) == {"data": [f"{key} is not in the store"]}
    assert broken(copy, store) == {}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"value": 0.5}, "says value 0.5, expected"),
        ({"metrics": {"accuracy": 1.0}}, "says metrics"),
        ({"parameters": {"epochs": 99}}, "says parameters"),
        ({"attempt": 2}, "says attempt 2, expected 1"),
        ({"fingerprint": "0"}, "says fingerprint"),
        ({"threads": 64}, "says threads 64, expected 1"),
        ({"step": 1}, "says step 1, expected"),
        ({"seed": 1}, "says seed 1, expected"),
        ({"state": "pruned"}, "says state"),
        ({"files": {}}, "says files {}, expected"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_result_that_says_otherwise_is_found(copy, store, changes, sentence):
    """A result that is sealed anew over other figures contradicts its row and is found."""
    with rewritten(copy, store, "fold", 0, "result.json", result_with(copy, store, **changes)):
        assert broken(copy, store) == {}, "the listing alone cannot know"
        violations = broken(copy, store, deep=True)
    assert violations.keys() == {"bytes first"}
    expected = f"cnn fold 0 result.json {sentence}"
    assert [s for s in violations["bytes first"] if expected in s], violations


def test_a_broken_seal_is_found(copy, store):
    """A result altered without a new seal is found."""
    content = store.get(key_of(copy, "fold", 0, "result.json")).replace(b'"cpu"', b'"gpu"')
    with pytest.raises(Damaged):
        unseal(content)
    with rewritten(copy, store, "fold", 0, "result.json", content):
        sentence = "cnn fold 0 result.json cannot be checked: its hash does not match its content"
        assert broken(copy, store, deep=True) == {"bytes first": [sentence]}


@pytest.mark.parametrize(
    "stage, change, sentence",
    [
        ("trial", set_item("probabilities", slice(None), 0.1), "gives accuracy"),
        ("trial", set_item("rows", 0, 399), "has rows other than those left out of the training"),
        ("fold", swap, "has labels that differ from the staged ones of its rows"),
        ("fold", set_item("rows", slice(None), 0), "leave 1 images out more than once"),
        (
            "final",
            lambda arrays: set_item("labels", 0, (arrays["labels"][0] + 1) % 10)(arrays),
            "has label counts that differ from the test part",
        ),
    ],
    ids=["scores", "rows", "labels", "partition", "test"],
)
def test_other_predictions_are_found(copy, store, stage, change, sentence):
    """Scores, rows and labels are recomputed from the predictions, whatever the hashes are."""
    content = predictions_with(copy, store, stage, 0, change)
    with rewritten(copy, store, stage, 0, "predictions.npz", content):
        violations = broken(copy, store, deep=True)
    assert violations.keys() == {"bytes first"}
    assert [s for s in violations["bytes first"] if sentence in s], violations


@pytest.mark.parametrize(
    "name, change, sentence",
    [
        (
            "mistakes.npz",
            set_item("confidence", 0, 0.0),
            "mistakes.npz has other confidence than the most confident mistakes",
        ),
        ("mistakes.npz", set_item("rows", slice(None), 0), "mistakes.npz has other rows"),
        ("mistakes.npz", lambda arrays: arrays.update(images=arrays["images"][1:]), "images for"),
        (
            "predictions.npz",
            set_item("probabilities", slice(None), 0.1),
            "mistakes.npz has other rows",
        ),
    ],
    ids=["confidence", "rows", "images", "predictions"],
)
def test_other_mistakes_are_found(copy, store, name, change, sentence):
    """The mistakes of a report are the most confident ones of the stored predictions."""
    content = predictions_with(copy, store, "final", 0, change, name)
    with rewritten(copy, store, "final", 0, name, content):
        violations = broken(copy, store, deep=True)
    assert violations.keys() == {"bytes first"}
    of_final = [s for s in violations["bytes first"] if s.startswith("cnn final 0")]
    assert [s for s in of_final if sentence in s], violations


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda lines: [lines[0], lines[1].replace("0,", "0,9", 1), *lines[2:]], "says loss 9"),
        (lambda lines: lines[:-1], "has 5 epochs, but the database has 6"),
        (
            lambda lines: [line.rpartition(",")[0] for line in lines],
            "says value None in epoch 0, but the database says 0.",
        ),
    ],
    ids=["number", "epoch", "column"],
)
def test_another_history_is_found(copy, store, change, sentence):
    """The history is compared with the epoch rows, number by number."""
    lines = store.get(key_of(copy, "trial", 0, "history.csv")).decode().splitlines()
    with rewritten(copy, store, "trial", 0, "history.csv", "\n".join(change(lines)).encode()):
        violations = broken(copy, store, deep=True)
    assert violations.keys() == {"bytes first"}
    assert violations["bytes first"][0].startswith(f"cnn trial 0 history.csv {sentence}"), (
        violations
    )


@pytest.mark.parametrize(
    "device, promises", [("cpu", {"epochs", "bytes first"}), ("Tesla T4", set())]
)
def test_only_numbers_that_come_out_the_same_again_are_compared(copy, store, device, promises):
    """Epochs that a GPU attempt trained again may have other numbers than reported first.

    On a CPU, other numbers are a violation.
    """
    machine = "jsonb_set(machine, '{device}', to_jsonb(%(device)s::text))"
    copy.rows(f"update attempt set machine = {machine}", device=device)
    copy.rows(
        """
        update epoch set value = value + 1e-7, metrics = jsonb_set(metrics, '{loss}', '0.5')
        where stage = 'fold' and epoch = 2"""
    )
    assert broken(copy, store, deep=True).keys() == promises


def test_altered_bytes_are_found_by_their_hash(copy, store):
    """A file is found by its hash, even if its row has the new size and etag."""
    key = key_of(copy, "final", 0, "model.keras")
    with rewritten(copy, store, "final", 0, "model.keras", store.get(key) + b"x", reseal=False):
        changed = """jsonb_set(artifact, '{model.keras,sha256}', '"0"')"""
        update_task(copy, "final", 0, f"artifact = {changed}")
        assert broken(copy, store) == {}
        sentences = broken(copy, store, deep=True)["bytes first"]
    assert f"cnn final 0 names model.keras with another hash than in the store: {key}" in sentences


@pytest.mark.parametrize("name", ["train-labels.npy", "test-images.npy"])
def test_altered_data_is_found_by_its_hash(copy, store, name):
    """Data altered in place with the same size is found by its etag and by its hash."""
    key = f"data/{copy.rows('select data from experiment')[0]['data']['id']}/{name}"
    content = store.get(key)
    with replaced(store, key, content[:-1] + bytes([content[-1] ^ 1])):
        sentence = f"{key} is another object of this size (etag) than the staged one"
        assert broken(copy, store) == {"data": [sentence]}
        sentences = broken(copy, store, deep=True)["data"]
        assert f"{key} has another hash than it was staged with" in sentences
    assert broken(copy, store, deep=True) == {}


def test_a_damaged_cache_is_found_and_mended(copy, store, finished):
    """`--deep` names altered images in a node's cache, and no task trains on them.

    The file's times do not matter.
    """
    data = find(copy, "checked").data
    folder = finished.folder / "cache"
    key = f"data/{data.id}/train-images.npy"
    sha = data.files["train-images.npy"]["sha256"]
    content = (folder / key).read_bytes()
    a_tick_after(folder / key)
    with open(folder / key, "r+b") as file:
        file.seek(1000)
        file.write(bytes(255 - byte for byte in content[1000:31000]))
    (recorded,), _ = verify.read(copy, None, True)
    cache = Cache(store, folder, 50)
    assert list(objects.node_cache(recorded, cache)) == [
        f"{folder / key} has changed since it came into the cache: "
        "delete it, and the next task fetches it again"
    ]
    assert cache.file(key, sha).read_bytes() == content
    assert list(objects.node_cache(recorded, cache)) == []
    folder.chmod(0o777)
    assert "others may write there" in next(objects.node_cache(recorded, Cache(store, folder, 50)))
    folder.chmod(0o700)


def test_a_secret_in_the_store_is_found(copy, store, s3):
    """A report that contains the store's key is found by reading it."""
    key = f"experiments/{find(copy, 'checked').id}/report/report.json"
    with replaced(store, key, json.dumps({"key": s3.secret_key}).encode()):
        assert broken(copy, store) == {}
        leaks = [f"{key} holds AWS_SECRET_ACCESS_KEY"]
        assert broken(copy, store, deep=True) == {"nothing leaks": leaks}


def test_replay_draws_with_a_seed_and_says_what_came_out(copy):
    """A seed draws the same N tasks with a result, and only other bits are a violation.

    Each task is one line.
    """
    experiments, _ = verify.read(copy, None)

    def draw(count: int, seed: int) -> tuple[Key, ...]:
        return tuple(key for _, key in verify.choose(experiments, count, seed))

    drawn = draw(4, 1)
    assert drawn == draw(4, 1)
    assert len(set(drawn)) == 4
    assert len({draw(4, seed) for seed in range(9)}) > 1
    # The diverged trial has nothing to compare.
    assert set(draw(99, 1)) == set(experiments[0].tasks) - {Key("cnn", "trial", 6)}

    outcomes = (
        Replayed("same"),
        Replayed("not comparable", "other CPU"),
        Replayed("differs", "other bits"),
    )
    answers = [
        verify.replay_promise(experiments[0], Key("cnn", "trial", 0), lambda r=replayed: r)
        for replayed in outcomes
    ]
    assert [line for answer in answers for line in verify.lines(answer)] == [
        "ok    replay: cnn trial 0 is bit for bit the same",
        "skip  replay: cnn trial 0: other CPU",
        "FAIL  replay: cnn trial 0: other bits",
    ]


def work_here(site, database, stage, index):
    """Do a task in this process, on another database than the site's."""
    options = {"database_url": database.url, "cache_dir": str(site.folder / "cache")}
    settings = Settings.read(options, site.environ)
    worker.work(settings, stage, Element(index, "--index"), None)


def test_an_older_database_under_a_newer_store(finished, copy, store):
    """A result that an older database does not know is adopted with all that it implies.

    That includes epochs, the pruned epoch and the opening of the test part.
    """
    tables = (
        "select epoch, metrics, value, pruned, bracket from epoch order by stage, index, epoch",
        "select stage, index from opening",
    )
    before = [copy.rows(t) for t in tables]
    tasks = [("trial", 5), ("final", 0)]
    for stage, index in tasks:
        set_back(copy, stage, index)
    assert [len(copy.rows(t)) for t in tables] < [len(rows) for rows in before]
    for stage, index in tasks:
        work_here(finished, copy, stage, index)
    assert [copy.rows(t) for t in tables] == before
    assert copy.rows("select attempt from task where stage = 'final'") == [{"attempt": 2}]
    # In this made-up past, the trial was finished after the selection.
    assert broken(copy, store, deep=True).keys() <= {"selection"}


@pytest.fixture
def own_store(finished, store, s3):
    """A copy of the finished experiment's store, to damage."""
    url = f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    copied = open_store(url, 5)
    for o in store.listing(""):
        copied.put(o.key, store.get(o.key))
    return copied


LOSSES = {
    "missing": (lambda content: None, False, "is not in the store"),
    "empty": (lambda content: b"", False, "has 0 bytes, not"),
    "cut": (lambda content: content[:-9], False, "bytes, not"),
    "[]": (lambda content: b"[]", False, "has 2 bytes, not"),
    "null": (lambda content: b"null", False, "has 4 bytes, not"),
    "other bytes": (lambda content: bytes(len(content)), True, "has other bytes"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_lost_is_named_and_repaired(copy, own_store, loss):
    """A lost or damaged file of a decided task is named, and repair makes the task wait again.

    The task keeps its parameters, epochs and opening.
    """
    change, deep, words = LOSSES[loss]
    files = [
        ("trial", 0, "predictions.npz"),
        ("trial", 5, "history.csv"),
        ("fold", 0, "result.json"),
        ("final", 0, "model.keras"),
    ]
    for stage, index, name in files:
        key = key_of(copy, stage, index, name)
        content = change(own_store.get(key))
        put_or_delete(own_store, key, content)
    assert broken(copy, own_store, deep).keys() == {"bytes first"}
    kept = (
        "select parameters from task order by model, stage, index",
        "select * from epoch",
        "select * from opening",
    )
    before = [copy.rows(k) for k in kept]
    recorded = verify.read(copy, None)[0][0]
    losses = list(repair.losses(recorded, own_store, deep))
    damaged = sorted((stage, index) for stage, index, _ in files)
    assert sorted({(loss.key.stage, loss.key.index) for loss in losses}) == damaged
    assert all(words in loss.why for loss in losses), [loss.why for loss in losses]
    assert [repair.repair_task(copy, recorded, loss) for loss in losses] == [True] * 4
    # Each task is reset only once.
    assert [repair.repair_task(copy, recorded, loss) for loss in losses] == [False] * 4
    assert broken(copy, own_store, True) == {}
    assert [copy.rows(k) for k in kept] == before
    states = copy.rows(
        """
        select stage, index, progress, value, finished from task where state = 'waiting'
        order by stage, index"""
    )
    assert [(s["stage"], s["index"]) for s in states] == damaged
    assert {(s["progress"], s["value"], s["finished"]) for s in states} == {(0, None, None)}


def test_etags_of_another_time_are_noted(copy, own_store):
    """Equal bytes under a new etag are not redone: the etag is recorded.

    A copy of the store has new etags.
    """
    copy.rows(NEW_ETAG)
    recorded = verify.read(copy, None)[0][0]
    (loss,) = repair.losses(recorded, own_store, False)
    expected = "cnn final 0: its files have new etags and the same bytes; the etags are noted"
    assert str(loss) == expected
    assert repair.repair_task(copy, recorded, loss)
    assert broken(copy, own_store, True) == {}


def test_a_store_that_was_emptied(finished, copy, own_store):
    """Under a live database, an emptied store is restored bit for bit.

    Verify names the loss, prepare stages again, repair resets the tasks, workers do them.
    """
    own_store.delete([o.key for o in own_store.listing("")])
    where = {
        "JOB_DATABASE_URL": copy.url,
        "JOB_STORE_URL": own_store.url,
        "JOB_CACHE_DIR": str(finished.folder / "emptied"),
    }
    assert broken(copy, own_store).keys() == {"bytes first", "data"}
    selected = copy.rows("select trial from selection")[0]["trial"]
    tasks = [("trial", selected), ("final", 0)]
    before = [sha256s(copy, *task) for task in tasks]
    dry = finished.job("repair", "--dry-run", check=0, **where).stdout
    assert "would be done again: 9 tasks" in dry
    assert "is missing or damaged: `job prepare` with its file stages it again" in dry
    # A dry run changes nothing.
    assert copy.rows("select count(*)::int as n from task where state = 'waiting'") == [{"n": 0}]
    assert "will be done again: 9 tasks" in finished.job("repair", check=0, **where).stdout
    finished.job("prepare", "checked.toml", check=0, **where)
    for child in [finished.start(stage, "--index", index, **where) for stage, index in tasks]:
        child.wait(check=0)
    assert [sha256s(copy, *task) for task in tasks] == before
    assert broken(copy, own_store, deep=True) == {}


def sha256s(database, stage, index) -> dict:
    """Return the hashes of a task's files that depend only on its record."""
    artifact = artifact_of(database, stage, index)
    return {name: artifact[name]["sha256"] for name in ("history.csv", "predictions.npz")}


OTHER_THREADS = """
import sys, tensorflow as tf
from job.cli.cli import run
from job.learning.train import set_up
set_up(2)
tf.constant(1) + 1
sys.exit(run(["verify", "--replay", "1"]))
"""


def test_a_replay_needs_the_threads_of_the_record(finished):
    """A task recorded with other threads than this process has is not comparable.

    The first task of a process fixes TensorFlow's threads.
    """
    command = [sys.executable, "-c", OTHER_THREADS]
    done = subprocess.run(command, env=finished.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not comparable in this process, which began with other threads than 1" in done.stdout


def test_an_unfinished_experiment_keeps_every_promise(two_models):
    """An unfinished experiment has no violation; the name of an unknown one is a usage error.

    Nothing has begun, then features are computed, then a trial runs.
    """
    done = two_models.job("verify", "--deep", check=0)
    assert "4 trial, 4 fold, 2 final tasks, 0 decided" in done.stdout
    two_models.job("features", "--index", 0, check=0)
    database = Database(two_models.database_url, 5)
    child = two_models.start("trial", "--index", 0)
    wait_for(lambda: database.rows("select 1 from epoch"))
    # Paused in the middle of its work while verify looks.
    child.send(signal.SIGSTOP)
    done = two_models.job("verify", "--deep")
    child.send(signal.SIGCONT)
    child.send(signal.SIGTERM)
    child.wait(check=75)
    assert done.returncode == 0, done.stdout
    assert "1 features, 4 trial, 4 fold, 2 final tasks, 1 decided" in done.stdout
    assert "1 tasks at work" in done.stdout
    assert two_models.job("verify", "--deep", check=0).stdout
    refused = two_models.job("verify", "--experiment", "other", check=2)
    assert "there is no experiment 'other'" in refused.stderr
    (row,) = database.rows("select artifact from task where stage = 'features'")
    key = row["artifact"]["features.npy"]["key"]
    open_store(two_models.store_url, 5).delete([key])
    violation = f"mobilenetv2 features 0 names features.npy, which is not in the store: {key}"
    assert f"FAIL  bytes first: {violation}" in two_models.job("verify", check=1).stdout
