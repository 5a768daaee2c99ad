"""The whole job as a user runs it: real processes, PostgreSQL and S3, from prepare to report."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image

from job.coordination.database import Database
from job.coordination.registered import find
from job.report.curves import calibration
from job.storage.store import open_store
from job.work.stages import features_prefix
from tests.support.databases import create_database, drop_database
from tests.support.experiments import TINY, write_images
from tests.support.formats import expect_format
from tests.support.site import new_site


@pytest.fixture(scope="module")
def finished(postgres, s3, prepare, weights, tmp_path_factory):
    """The experiment of two models, finished by real processes, and its report."""
    site = new_site(create_database(postgres.url), s3, tmp_path_factory.mktemp("finished"))
    write_images(site.folder / "images.npz")
    prepare(site, TINY, "--weights", weights)
    site.job("features", "--index", 0, check=0)
    for index in range(4):
        site.job("trial", "--index", index, check=0)
    for n, path in enumerate(sorted((site.folder / "cache").rglob("*.npy"))):
        # As a power cut leaves a file: it is fetched again, and is no task's error.
        os.truncate(path, n % 2 * path.stat().st_size // 2)
    for index in range(4):
        site.job("fold", check=0, JOB_COMPLETION_INDEX=str(index))
    assert Database(site.database_url, 5).rows("select * from opening") == []
    for index in range(2):
        site.job("final", check=0, SLURM_ARRAY_TASK_ID=str(index))
    site.job("report", "--out", "report", check=0)
    yield site
    drop_database(site.database_url)


@pytest.fixture
def database(finished):
    return Database(finished.database_url, 5)


@pytest.fixture
def store(finished, s3_environ):
    return open_store(finished.store_url, 5)


@pytest.fixture
def report(finished) -> dict:
    return json.loads((finished.folder / "report" / "report.json").read_text())


def test_each_final_opens_the_test_part_once(database):
    """The test part is opened by finals only, once each."""
    opened = database.rows(
        "select model, stage, count(*)::int as n from opening group by 1, 2 order by 1"
    )
    assert opened == [
        {"model": "cnn", "stage": "final", "n": 1},
        {"model": "mobilenetv2", "stage": "final", "n": 1},
    ]


def test_the_report_has_what_was_done(finished, store, report):
    """The report counts every task, names the winner by folds, and is in the store as well."""
    assert "tiny" in (finished.folder / "report" / "index.html").read_text()
    files = {path.name for path in (finished.folder / "report").iterdir()}
    objects = [o.key for o in store.listing("experiments/") if "/report/" in o.key]
    assert files == {key.rpartition("/")[2] for key in objects}
    assert {"leaderboard.csv", "roc.svg", "confusion-cnn.svg"} <= files
    assert {"curves-cnn-loss.svg", "augmentation-cnn.png"} <= files
    data = {"train": 90, "validation": 18, "test": 30, "classes": ["rows", "columns", "none"]}
    assert report["data"] == report["data"] | data
    trials = {"tasks": 2, "complete": 2, "pruned": 0, "failed": 0}
    for entry in report["models"].values():
        assert entry["trial"] == entry["trial"] | trials
        assert [f["state"] for f in entry["fold"]["folds"]] == ["complete", "complete"]
    means = {name: m["fold"]["mean"]["accuracy"] for name, m in report["models"].items()}
    assert report["winner"] == max(means, key=means.get)
    with open(finished.folder / "report" / "leaderboard.csv") as file:
        assert next(csv.DictReader(file))["model"] == report["winner"]


@pytest.fixture(scope="module")
def photos(finished):
    """The test images as files in two folders, beside one that is no image and a hidden one."""
    photos = finished.folder / "photos"
    (photos / "deeper").mkdir(parents=True)
    for i, image in enumerate(np.load(finished.folder / "images.npz")["x_test"]):
        Image.fromarray(image).save(photos / ("deeper" if i % 2 else "") / f"{i}.png")
    (photos / "notes.PNG").write_text("no image")
    (photos / ".hidden.png").write_text("not asked for")
    return photos


def stored_probabilities(database, store, model) -> np.ndarray:
    """Return the probabilities of the published final of a model."""
    (row,) = database.rows(
        "select artifact from task where model = %(m)s and stage = 'final'", m=model
    )
    return np.load(_file(store, row["artifact"]["predictions.npz"]["key"]))["probabilities"]


def test_the_files_are_what_their_schemas_say(database, store, report):
    """report.json, and the result.json of each trial, fold and final, are what the schemas say."""
    expect_format("report", report)
    tasks = database.rows("select artifact from task where stage <> 'features'")
    assert len(tasks) == 10
    for task in tasks:
        expect_format("result", json.loads(store.get(task["artifact"]["result.json"]["key"])))


def test_predict_gives_the_stored_predictions(finished, database, store, photos):
    """Test images as files get the stored predictions; a file that is no image is named."""
    done = finished.job("predict", "cnn", photos, "--format", "json", "--top", 3, check=1)
    assert "photos/notes.PNG' is not a PNG" in done.stderr
    assert "1 of 31 images could not be read" in done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == 30
    assert [a["file"] for a in answers] == sorted(a["file"] for a in answers)
    check_answers(answers, stored_probabilities(database, store, "cnn"))
    for answer in answers:
        chances = [t["probability"] for t in answer["top"]]
        assert chances == sorted(chances, reverse=True)
    assert "did you mean 'cnn'" in finished.job("predict", "cn", photos, check=2).stderr


def check_answers(answers, probabilities):
    """Compare the class and probability of each file with the stored row that its name gives."""
    for answer in answers:
        row = probabilities[int(answer["file"].rpartition("/")[2].removesuffix(".png"))]
        assert answer["class"] == ["rows", "columns", "none"][row.argmax()]
        assert float(answer["probability"]) == pytest.approx(row.max(), abs=1e-5)


@pytest.mark.parametrize("form", ["saved_model", "keras"])
def test_an_export_gives_the_stored_predictions(finished, database, store, report, photos, form):
    """An exported model, the winner unless one is named, predicts without servers or `job`."""
    model = report["winner"] if form == "saved_model" else "mobilenetv2"
    named = () if form == "saved_model" else ("--model", model)
    out = finished.folder / form
    scratch = finished.folder / f"tmp-{form}"
    scratch.mkdir()
    finished.job("export", *named, "--format", form, "--out", out, check=0, TMPDIR=str(scratch))
    assert list(scratch.iterdir()) == [], "nothing is left in the temporary folder"
    again = finished.job("export", "--model", model, "--out", out, check=2)
    assert "already exists" in again.stderr
    assert [p for p in finished.folder.iterdir() if p.name.startswith(f".{form}")] == []
    probabilities = stored_probabilities(database, store, model)
    card = (out / "README.md").read_text()
    right = probabilities.argmax(1) == np.load(finished.folder / "images.npz")["y_test"]
    error = calibration(right, probabilities.max(1))[1]
    assert f"| expected calibration error, ten bins | {error:.3f} | |" in card
    assert f"# {model} of tiny" in card
    assert (out / "labels.txt").read_text() == "rows\ncolumns\nnone\n"
    check_the_code_of_the_card(card, out, photos / "0.png", probabilities)
    if form == "saved_model":
        check_predict_without_servers(finished.folder, probabilities)


def check_the_code_of_the_card(card, out, image, probabilities):
    """Run the code of a model card on a photo that lies on its side, as phones write it."""
    sideways = Image.Exif()
    sideways[ExifTags.Base.Orientation] = 6  # a quarter turn to the right
    photo = Image.open(image).transpose(Image.Transpose.ROTATE_90)
    photo.save(out / "photo.png", exif=sideways)
    code = re.search(r"```python\n(.*?)```", card, re.S)[1]
    code += "\nimport sys\nassert 'job' not in sys.modules\n"
    done = run_alone([sys.executable, "-c", code], out, os.environ)
    assert done.returncode == 0, done.stderr
    label, probability = done.stdout.split()
    check_answers([{"file": "0.png", "class": label, "probability": probability}], probabilities)


def check_predict_without_servers(folder, probabilities):
    """Predict with an exported folder, without a database or a store."""
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "AWS_"))}
    command = [sys.executable, "-m", "job", "predict"]
    options = ["saved_model", "photos/deeper", "--format", "csv", "--trust", "--out", "a.csv"]
    done = run_alone([*command, *options], folder, alone)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    answers = list(csv.DictReader(io.StringIO((folder / "a.csv").read_text())))
    assert len(answers) == len(probabilities) // 2
    check_answers(answers, probabilities)
    done = run_alone([*command, "absent", "photos"], folder, alone)
    assert done.returncode == 2
    words = "'absent' is not a folder that `job export` wrote, and without a database"
    assert words in done.stderr


def run_alone(command, folder, environ) -> subprocess.CompletedProcess:
    """Run a command in a folder, and return what it printed."""
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120
    )


def test_an_unfinished_model_cannot_be_used(two_models):
    """Before its final is complete, predict and export exit with 75 and name what is missing."""
    write = Image.new("RGB", (32, 32))
    write.save(two_models.folder / "one.png")
    assert (
        "final 0 of cnn is waiting" in two_models.job("predict", "cnn", "one.png", check=75).stderr
    )
    assert (
        "there is no winner yet" in two_models.job("export", "--out", "exported", check=75).stderr
    )
    assert (
        "final 0 of cnn is waiting"
        in two_models.job("export", "--model", "cnn", "--out", "exported", check=75).stderr
    )
    assert not (two_models.folder / "exported").exists()
    (two_models.folder / "empty").mkdir()
    for arguments, words in (
        (("predict", "one.png", "one.png"), "is not a folder that `job export` wrote"),
        (("predict", "cnn", "nothing.png"), "there is no file or folder 'nothing.png'"),
        (("predict", "cnn", "empty"), "has no image below it"),
    ):
        assert words in two_models.job(*arguments, check=2).stderr


@pytest.mark.parametrize("model", ["cnn", "mobilenetv2"])
def test_the_figures_are_those_of_the_stored_predictions(database, store, report, model):
    """The report's accuracy is that of the stored predictions; folds cover each image once."""
    entry = report["models"][model]
    rows = database.rows(
        "select index, stage, artifact from task"
        " where model = %(m)s and stage in ('fold', 'final') order by stage, index",
        m=model,
    )
    loaded = {}
    for row in rows:
        file = _file(store, row["artifact"]["predictions.npz"]["key"])
        loaded[row["stage"], row["index"]] = np.load(file)
    final = loaded["final", 0]
    accuracy = (final["probabilities"].argmax(1) == final["labels"]).mean()
    assert entry["final"]["runs"][0]["accuracy"] == pytest.approx(accuracy)
    assert sorted(np.concatenate([loaded["fold", i]["rows"] for i in range(2)])) == list(range(90))
    side = [i for i in range(2) if 0 in loaded["fold", i]["rows"]]
    assert 3 in loaded["fold", side[0]]["rows"], "the copy of image 0 fell into another fold"
    assert [o.key for o in store.listing("experiments/") if "checkpoint" in o.key] == []


def _file(store, key):
    """Return an object of the store as a file."""
    return io.BytesIO(store.get(key))


def test_weights_are_staged_once(two_models):
    """A second experiment finds staged weights in the store, without a folder or a network."""
    text = (two_models.folder / "tiny.toml").read_text().replace('name = "tiny"', 'name = "second"')
    (two_models.folder / "second.toml").write_text(text)
    offline = {
        "https_proxy": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "KERAS_HOME": str(two_models.folder / "none"),
    }
    two_models.job("prepare", "second.toml", check=0, **offline)
    rows = Database(two_models.database_url, 5).rows("select weights from experiment")
    assert rows[0]["weights"] == rows[1]["weights"]


OLD = """
name = "old"
threads = 1
METHOD
[data]
source = "images.npz"
[search]
trials = 1
metric = "f1_macro"
[folds]
count = 2
[models.mobilenetv2]
epochs = 2
input_size = 32
alpha = 0.35
learning_rate = 0.003
batch_size = 16
weight_decay = 0.1
label_smoothing = 0.1
"""


def test_an_old_experiment_ends_by_its_own_method(site, weights):
    """An experiment begun by method 1 is resumed by method 1, and its results replay.

    Features have no antialiasing, and averages include a class that is nowhere.
    """
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (60, 48, 48, 3), np.uint8)
    y = np.arange(60) % 3
    test = rng.integers(0, 255, (8, 48, 48, 3), np.uint8)
    labels = np.arange(8) % 2
    arrays = {"x_train": x, "y_train": y, "x_test": test, "y_test": labels}
    np.savez(site.folder / "images.npz", **arrays, classes=np.array(["a", "b", "c"]))
    site.environ["JOB_EXPERIMENT"] = "old"
    (site.folder / "old.toml").write_text(OLD.replace("METHOD", "method = 1"))
    site.job("prepare", "old.toml", "--weights", weights, check=0)
    site.job("features", "--index", 0, check=0)
    (site.folder / "old.toml").write_text(OLD.replace("METHOD", ""))
    site.job("prepare", "old.toml", check=0)
    for arguments in (("trial", "--index", 0), ("final", "--index", 0)):
        site.job(*arguments, check=0)
    registered = find(Database(site.database_url, 5), "old")
    assert registered.experiment.method == 1
    (final,) = Database(site.database_url, 5).rows(
        "select metrics, value, artifact from task where stage = 'final'"
    )
    mean = sum(c["f1"] for c in final["metrics"]["per_class"]) / 3
    assert final["metrics"]["f1"] == final["value"] == pytest.approx(mean)
    done = site.job("verify", "--deep", "--replay", 9, check=0).stdout
    assert done.count("is bit for bit the same") == 3, done
    (shard,) = Database(site.database_url, 5).rows(
        "select artifact from task where stage = 'features'"
    )
    newest = replace(registered, experiment=replace(registered.experiment, method=2))
    prefix = features_prefix(registered, "mobilenetv2", 0)
    assert shard["artifact"]["features.npy"]["key"].startswith(prefix)
    other = features_prefix(newest, "mobilenetv2", 0)
    assert "-32-antialias/0-of-1-" in other, "other bits have another key"
    same = replace(newest, data=replace(newest.data, image_shape=(32, 32, 3)))
    shared = features_prefix(same, "mobilenetv2", 0)
    assert shared == features_prefix(registered, "mobilenetv2", 0), "equal bits are shared"
