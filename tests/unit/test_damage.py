"""Whatever befell an object of the store: damage is known as damage, and is nobody's counted error."""

import io
import time
from types import SimpleNamespace

import numpy as np
import pytest

from job.coordination.registered import Registered
from job.data import staging
from job.errors import Invalid
from job.experiment.specification import parse
from job.experiment.task import Key
from job.learning import provenance
from job.learning.weights import upload
from job.report.collect import _read_samples
from job.storage.cache import Cache
from job.storage.folder import FolderStore
from job.work import results, stages, training
from job.work.context import Context

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
    """An attempt that only listens: what it would write is compared, and no database is in question."""

    number, parameters = 2, {"learning_rate": 0.1, "batch_size": 32}

    def __init__(self, key):
        self.key, self.told, self.committed = key, None, None

    def computes_on(self, machine):
        assert machine

    def tell_again(self, epochs):
        self.told = epochs

    def commit(self, *what):
        self.committed = what

    def durable(self, step):
        pass

    def artifacts(self, stage):
        return [
            {
                "features.npy": {
                    "key": f"features/{i}.npy",
                    "sha256": provenance.sha256(staging.npy(np.full((2, 3), i))),
                }
            }
            for i in range(4)
        ]

    owner = "b" * 32


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store", 5, time.sleep)


@pytest.fixture
def context_of(store, tmp_path):
    """Return a function that makes the context of a task of a model, on what was staged."""
    images, labels = np.zeros((8, 4, 4, 3), np.uint8), np.arange(8)
    files = {"train-images.npy": staging.npy(images), "train-labels.npy": staging.npy(labels)}
    manifest = {
        "id": "d",
        "files": {
            name: {"sha256": provenance.sha256(b), "size": len(b)} for name, b in files.items()
        },
    }
    for name, content in files.items():
        store.put(f"data/d/{name}", content)
    for i in range(4):
        store.put(f"features/{i}.npy", staging.npy(np.full((2, 3), i)))
    content = staging.Splits(labels > 5, labels % 2).content
    splits = {"key": "data/d/splits.npz", "sha256": provenance.sha256(content)}
    store.put(splits["key"], content)
    (tmp_path / "weights.h5").write_bytes(b"weights")
    weights = {"mobilenetv2": upload(store, "mobilenetv2", {"alpha": 1.0}, tmp_path / "weights.h5")}
    experiment = parse(SPEC)
    registered = Registered(
        "small-1", experiment, experiment.fingerprint, manifest, weights, splits
    )
    cache = Cache(store, tmp_path / "cache", 1.0)
    return lambda model: Context(Decided(Key(model, "fold", 0)), registered, store, cache, 60)


def put_result(context, attempt="1-aaaaaaaa") -> str:
    """Store a complete result of an attempt; return its folder."""
    folder = f"{context.folder}/{attempt}"
    history = [{"epoch": e, "loss": 0.5, "value": 0.25 * e} for e in range(2)]
    files = {"history.csv": provenance.history_csv(history), "predictions.npz": b"predictions"}
    result = context.identity | {
        "attempt": 1,
        "state": "complete",
        "reason": None,
        "value": 0.25,
        "metrics": {},
        "step": 18,
    }
    result |= {
        "machines": [{"cpu": "x"}],
        "files": {n: {"sha256": provenance.sha256(c), "size": len(c)} for n, c in files.items()},
    }
    for name, content in (files | {"result.json": provenance.seal(result)}).items():
        context.store.put(f"{folder}/{name}", content)
    return folder


def befall(store, key, damage):
    content = DAMAGES[damage](store.get(key))
    store.delete([key]) if content is None else store.put(key, content)


@pytest.mark.parametrize("attempt", ["1-aaaaaaaa", "1"])
def test_a_whole_result_is_adopted(context_of, attempt):
    """Undamaged, it is committed with the epochs it implies; also one of an older version, in a folder without an owner."""
    context = context_of("cnn")
    folder = put_result(context, attempt)
    assert results.adopt(context)
    assert [e["value"] for e in context.attempt.told] == [0.0, 0.25]
    assert {e["key"].rpartition("/")[0] for e in context.attempt.committed[3].values()} == {folder}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.json", "history.csv", "predictions.npz"])
def test_a_damaged_result_is_not_used(context_of, name, damage, caplog):
    """It is skipped with a warning, and the work is done again."""
    context = context_of("cnn")
    befall(context.store, f"{put_result(context)}/{name}", damage)
    assert not results.adopt(context)
    assert context.attempt.committed is None
    assert damage == "missing" and name == "result.json" or "is not used" in caplog.text


@pytest.mark.parametrize("files", [None, [], {}, {"history.csv": 1}])
def test_a_seal_over_something_else(context_of, files, caplog):
    """A seal that holds over what is no result is damage, too."""
    context = context_of("cnn")
    context.store.put(
        f"{put_result(context)}/result.json",
        provenance.seal(context.identity | dict.fromkeys(results.ADOPTED) | {"files": files}),
    )
    assert not results.adopt(context)
    assert "is not used" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("needed", ["images", "splits", "weights", "features"])
def test_what_a_task_needs_and_did_not_make(context_of, needed, damage):
    """Its damage is what waiting cannot mend (78), counted for nobody; the sentence names the object and the commands."""
    context = context_of("cnn" if needed in ("images", "splits") else "mobilenetv2")
    key, use = {
        "images": ("data/d/train-images.npy", training._inputs),
        "splits": ("data/d/splits.npz", lambda context: training._rows(context, 8)),
        "weights": (context.registered.weights.get("mobilenetv2")["key"], training._weights),
        "features": ("features/2.npy", training._inputs),
    }[needed]
    befall(context.store, key, damage)
    with pytest.raises(
        Invalid, match=rf"{key}.*`job verify.*names what is damaged.*`job (repair|prepare)`"
    ):
        use(context)


@pytest.mark.parametrize("damage", DAMAGES)
def test_samples_that_are_damaged(context_of, store, damage):
    """A report goes without them, and says so."""
    buffer, problems = io.BytesIO(), []
    np.savez(buffer, images=np.zeros((1, 1, 4, 4, 3), np.uint8))
    store.put("data/d/samples.npz", buffer.getvalue())
    befall(store, "data/d/samples.npz", damage)
    assert _read_samples(store, {"id": "d"}, problems) is None
    assert len(problems) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_no_staged_data(store, damage):
    """Whoever looks for a data set by its manifest does not find it."""
    store.put("data/d/manifest.json", b'{"id": "d"}')
    assert staging.manifest_in(store, {"id": "d"})
    befall(store, "data/d/manifest.json", damage)
    assert not staging.manifest_in(store, {"id": "d"})


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_features_are_made_again(store, damage, monkeypatch):
    """A features object that is not what its name says is put again under the same key, not taken because the key is there."""
    content = staging.npy(np.ones((2, 3), np.float32))
    monkeypatch.setattr(
        stages, "features_prefix", lambda *_: "features/d/x/0-"
    )  # the net that computes them is not in question
    monkeypatch.setattr(stages, "shard", lambda *_: np.ones((2, 3), np.float32))
    monkeypatch.setattr(stages, "clear", lambda context: None)
    key, committed = stages._named("features/d/x/0-", content), []
    store.put(key, content)
    befall(store, key, damage)
    attempt = SimpleNamespace(seconds={}, commit=lambda *what, **_: committed.append(what))
    context = SimpleNamespace(
        registered=None,
        key=Key("m", "features", 0),
        store=store,
        attempt=attempt,
        clock=lambda part: io.StringIO(),
    )
    monkeypatch.setattr(stages, "_hooks", lambda context: None)
    stages.features(context)
    assert store.get(key) == content
    assert committed[0][3]["features.npy"]["sha256"] == provenance.sha256(content)
