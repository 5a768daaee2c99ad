"""The whole job, as a user runs it: real processes, real PostgreSQL, real S3, from prepare to the report."""

import csv
import io
import json

import numpy as np
import pytest

from job.database import Database
from job.store import open_store


def test_from_prepare_to_report(tiny):
    """Every stage runs to its end, the test part is opened once per final, and the report says what is stored."""
    database, store = Database(tiny.database_url, 5), open_store(tiny.store_url, 5)
    tiny.job("features", "--index", 0, check=0)
    for index in range(4):
        tiny.job("trial", "--index", index, check=0)
    for index in range(4):
        tiny.job("fold", check=0, JOB_COMPLETION_INDEX=str(index))
    assert database.rows("select * from opening") == []
    for index in range(2):
        tiny.job("final", check=0, SLURM_ARRAY_TASK_ID=str(index))
    assert database.rows("select model, count(*)::int as n from opening group by 1 order by 1") == [
        {"model": "cnn", "n": 1},
        {"model": "mobilenetv2", "n": 1},
    ]
    tiny.job("report", "--out", "report", check=0)
    page = (tiny.folder / "report" / "index.html").read_text()
    report = json.loads((tiny.folder / "report" / "report.json").read_text())
    assert "tiny" in page
    files = {path.name for path in (tiny.folder / "report").iterdir()}
    assert files == {o.key.rpartition("/")[2] for o in store.listing("experiments/") if "/report/" in o.key}
    assert {"leaderboard.csv", "roc.svg", "confusion-cnn.svg", "curves-cnn-loss.svg", "augmentation-cnn.png"} <= files
    assert report["data"] == report["data"] | {"train": 90, "validation": 18, "test": 30, "classes": ["rows", "columns", "none"]}
    for model in ("cnn", "mobilenetv2"):
        entry = report["models"][model]
        assert entry["trial"] == entry["trial"] | {"tasks": 2, "complete": 2, "pruned": 0, "failed": 0}
        assert [f["state"] for f in entry["fold"]["folds"]] == ["complete", "complete"]
        check_stored(database, store, model, entry)
    assert report["winner"] == max(report["models"], key=lambda m: report["models"][m]["fold"]["mean"]["accuracy"])
    with open(tiny.folder / "report" / "leaderboard.csv") as file:
        assert [row["model"] for row in csv.DictReader(file)][0] == report["winner"]


def check_stored(database, store, model, entry):
    """The report's figures are those of the stored predictions, and the folds cover the training part once."""
    rows = database.rows(
        "select index, stage, artifact from task where model = %(m)s and stage in ('fold', 'final') order by stage, index", m=model
    )
    loaded = {(r["stage"], r["index"]): np.load(_file(store, r["artifact"]["predictions.npz"]["key"])) for r in rows}
    final = loaded["final", 0]
    assert entry["final"]["runs"][0]["accuracy"] == pytest.approx((final["probabilities"].argmax(1) == final["labels"]).mean())
    assert sorted(np.concatenate([loaded["fold", i]["rows"] for i in range(2)])) == list(range(90))
    side = [i for i in range(2) if 0 in loaded["fold", i]["rows"]]
    assert 3 in loaded["fold", side[0]]["rows"], "the copy of image 0 fell into another fold"
    assert [o.key for o in store.listing("experiments/") if "checkpoint" in o.key] == []


def _file(store, key):
    return io.BytesIO(store.get(key))


def test_weights_are_staged_once(tiny):
    """What one experiment staged, the next finds in the store: it needs no folder of weights and no network."""
    text = (tiny.folder / "tiny.toml").read_text().replace('name = "tiny"', 'name = "second"')
    (tiny.folder / "second.toml").write_text(text)
    offline = {"https_proxy": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1", "KERAS_HOME": str(tiny.folder / "none")}
    tiny.job("prepare", "second.toml", check=0, **offline)
    rows = Database(tiny.database_url, 5).rows("select weights from experiment")
    assert rows[0]["weights"] == rows[1]["weights"]
