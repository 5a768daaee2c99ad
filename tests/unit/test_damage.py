"""Damage to any object of the store is recognized, and counts as nobody's error."""

import io
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from job.coordination.registered import Registered
from job.data import parts, staging
from job.errors import Invalid
from job.experiment.specification import parse
from job.experiment.task import Key
from job.learning import provenance
from job.learning.weights import upload
from job.patience import Patience
from job.report.collect import _read_samples
from job.storage.cache import Cache
from job.storage.folder import FolderStore
from job.work import results, stages, training
from job.work.context import Context
from tests.support.staged import DATA

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "features": {"shards": 4},
    "models": {"cnn": {"epochs": 2}, "mobilenetv2": {}},
}
DAMAGES = {
    "missing": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[]",
    "null": lambda content: b"null",
    "zeros": lambda content: bytes(len(content)),
    "no text": lambda content: b"\xff\xfe" * 9,
}


class Decided:
    """An attempt without a database, which only records what it would write."""

    number = 2
    owner = "b" * 32
    parameters = {"learning_rate": 0.1, "batch_size": 32}

    def __init__(self, key):
        self.key = key
        self.told = None
        self.committed = None

    def record_machine(self, machine):
        """Check that the machine is named."""
        assert machine

    def restore_records(self, epochs):
        """Record the epochs."""
        self.told = epochs

    def commit(self, *what):
        """Record the result."""
        self.committed = what

    def record_step(self, step):
        """Ignore that a checkpoint arrived."""

    def artifacts(self, stage):
        """Return the features objects of the four shards."""
        hashes = [provenance.sha256(features(i)) for i in range(4)]
        return [
            {"features.npy": {"key": f"features/{i}.npy", "sha256": sha256}}
            for i, sha256 in enumerate(hashes)
        ]


def features(shard: int) -> bytes:
    """Return the content of a features object."""
    return staging.npy(np.full((2, 3), shard))


def list_files(files: dict[str, bytes]) -> dict:
    """Return hash and size of each file, as a manifest or a result lists them."""
    return {
        name: {"sha256": provenance.sha256(content), "size": len(content)}
        for name, content in files.items()
    }


@pytest.fixture
def store(tmp_path):
    """A store in an empty folder."""
    return FolderStore(tmp_path / "store", 5, time.sleep)


@pytest.fixture
def context_of(store, tmp_path):
    """Return a function that makes the context of a model's task on staged data."""
    images = np.zeros((8, 4, 4, 3), np.uint8)
    labels = np.arange(8)
    files = {"train-images.npy": staging.npy(images), "train-labels.npy": staging.npy(labels)}
    data = replace(DATA, files=list_files(files))
    for name, content in files.items():
        store.put(f"data/d/{name}", content)
    for i in range(4):
        store.put(f"features/{i}.npy", features(i))
    content = parts.Splits(labels > 5, labels % 2).content
    splits = {"key": "data/d/splits.npz", "sha256": provenance.sha256(content)}
    store.put(splits["key"], content)
    (tmp_path / "weights.h5").write_bytes(b"weights")
    weights = {"mobilenetv2": upload(store, "mobilenetv2", {"alpha": 1.0}, tmp_path / "weights.h5")}
    experiment = parse(SPEC)
    registered = Registered("small-1", experiment, experiment.fingerprint, data, weights, splits)
    cache = Cache(store, tmp_path / "cache", 1.0)

    def make(model: str) -> Context:
        return Context(Decided(Key(model, "fold", 0)), registered, store, cache, 60, Patience(0))

    return make


def put_result(context, attempt="1-aaaaaaaa") -> str:
    """Store a complete result of an attempt; return its folder."""
    folder = f"{context.folder}/{attempt}"
    history = [{"epoch": e, "loss": 0.5, "value": 0.25 * e} for e in range(2)]
    files = {"history.csv": provenance.history_csv(history), "predictions.npz": b"predictions"}
    result = context.identity | {"attempt": 1, "state": "complete", "reason": None}
    result |= {"value": 0.25, "metrics": {}, "step": 18}
    result |= {"machines": [{"cpu": "x"}], "files": list_files(files)}
    for name, content in (files | {"result.json": provenance.seal(result)}).items():
        context.store.put(f"{folder}/{name}", content)
    return folder


def damage_object(store, key, damage):
    """Damage an object of the store."""
    content = DAMAGES[damage](store.get(key))
    if content is None:
        store.delete([key])
    else:
        store.put(key, content)


@pytest.mark.parametrize("attempt", ["1-aaaaaaaa", "1"])
def test_a_whole_result_is_adopted(context_of, attempt):
    """A whole result is committed with its epochs.

    So is one of an older version, in a folder without an owner.
    """
    context = context_of("cnn")
    folder = put_result(context, attempt)
    assert results.adopt(context)
    assert [e["value"] for e in context.attempt.told] == [0.0, 0.25]
    assert {e["key"].rpartition("/")[0] for e in context.attempt.committed[3].values()} == {folder}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "history.csv", "predictions.npz"])
def test_a_damaged_result_is_not_used(context_of, name, damage, caplog):
    """A damaged result is skipped with a warning, and the work is done again."""
    context = context_of("cnn")
    damage_object(context.store, f"{put_result(context)}/{name}", damage)
    assert not results.adopt(context)
    assert context.attempt.committed is None
    absent = damage == "missing" and name == "result.json"
    assert absent or "is not used" in caplog.text


@pytest.mark.parametrize("files", [None, [], {}, {"history.csv": 1}])
def test_a_seal_over_something_else(context_of, files, caplog):
    """A valid seal over something that is not a result is damage, too."""
    context = context_of("cnn")
    content = context.identity | dict.fromkeys(results.ADOPTED) | {"files": files}
    context.store.put(f"{put_result(context)}/result.json", provenance.seal(content))
    assert not results.adopt(context)
    assert "is not used" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("needed", ["images", "splits", "weights", "features"])
def test_what_a_task_needs_and_did_not_make(context_of, needed, damage):
    """Damage to an input is a permanent failure (78) that counts as nobody's error.

    The sentence names the object and the commands.
    """
    context = context_of("cnn" if needed in ("images", "splits") else "mobilenetv2")
    uses = {
        "images": ("data/d/train-images.npy", training._inputs),
        "splits": ("data/d/splits.npz", training._left_out),
        "weights": (context.registered.weights.get("mobilenetv2")["key"], training._weights),
        "features": ("features/2.npy", training._inputs),
    }
    key, use = uses[needed]
    damage_object(context.store, key, damage)
    words = rf"{key}.*`job verify.*names what is damaged.*`job (repair|prepare)`"
    with pytest.raises(Invalid, match=words):
        use(context)


@pytest.mark.parametrize("damage", DAMAGES)
def test_samples_that_are_damaged(store, damage):
    """A report without readable samples is written all the same, and names the problem."""
    buffer = io.BytesIO()
    problems = []
    np.savez(buffer, images=np.zeros((1, 1, 4, 4, 3), np.uint8))
    store.put("data/d/samples.npz", buffer.getvalue())
    damage_object(store, "data/d/samples.npz", damage)
    assert _read_samples(store, {"id": "d"}, problems) is None
    assert len(problems) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_no_staged_data(store, damage):
    """A data set with a damaged manifest is not found."""
    store.put("data/d/manifest.json", b'{"id": "d"}')
    assert staging.manifest_in(store, DATA)
    damage_object(store, "data/d/manifest.json", damage)
    assert not staging.manifest_in(store, DATA)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_features_are_made_again(store, damage, monkeypatch):
    """A features object that does not have the hash in its name is stored again under its key."""
    content = staging.npy(np.ones((2, 3), np.float32))
    # The net that computes them is not under test.
    monkeypatch.setattr(stages, "features_prefix", lambda *_: "features/d/x/0-")
    monkeypatch.setattr(stages, "shard", lambda *_: np.ones((2, 3), np.float32))
    monkeypatch.setattr(stages, "clear", lambda context: None)
    key = stages._named("features/d/x/0-", content)
    committed = []
    store.put(key, content)
    damage_object(store, key, damage)
    attempt = SimpleNamespace(seconds={}, commit=lambda *what, **_: committed.append(what))
    context = SimpleNamespace(
        registered=None, key=Key("m", "features", 0), store=store, attempt=attempt
    )
    context.clock = lambda part: io.StringIO()
    monkeypatch.setattr(stages, "_hooks", lambda context: None)
    stages.features(context)
    assert store.get(key) == content
    assert committed[0][3]["features.npy"]["sha256"] == provenance.sha256(content)
