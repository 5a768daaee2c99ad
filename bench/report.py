"""Time `job report` over 1,000 classes and 1,000,000 test images: a real process, made results.

python -m bench.report DATABASE STORE FOLDER: make these results, in a process of its own. A process
counts as its peak what its parent held when it started.
"""

import hashlib
import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from bench import workers
from bench.databases import fill, fresh
from bench.pairs import Row, compare
from bench.world import Subject, World, live
from job.coordination.database import Database, json_value
from job.experiment.specification import parse
from job.learning.scores import class_scores
from job.storage import paths
from job.storage.store import Store, open_store
from job.work.prepare import register

NAME = "large"
CLASSES = 1_000
TEST = 1_000_000
TRAIN = 200_000
FOLDS = 2
TRIALS = 20
BLOCK = 10_000  # rows that are made at once
SIDE = 64  # pixels, of the sample images
REPORT_S = 60.0
MEMORY_MB = 1024  # allowed on top of the imports
PAGE_MB = 5.0
NAN = float("nan")
NAMES = [f"a class of number {c}" for c in range(CLASSES)]
IMPORTS = "import job.report.report, job.coordination.study, job.storage.s3, optuna"
SCORES = ("accuracy", "precision", "recall", "f1", "roc_auc", "balanced_accuracy", "log_loss")

# A decided fold or final, with its only attempt.
DECIDE = """
with decided as (
    update task set state = 'complete', attempt = 1, finished = clock_timestamp(), value = 0.7,
        progress = 100, metrics = %(metrics)s, artifact = %(artifact)s, parameters = '{}'
    where (model, stage, index) = ('cnn', %(stage)s, %(index)s)
    returning *
)
insert into attempt (experiment, model, stage, index, number, owner, host, started, ended, outcome,
                     first_step, last_step, seconds)
select experiment, model, stage, index, 1, md5(stage), 'node', finished - interval '1 minute',
       finished, 'complete', 0, 100, '{"train": 50, "import": 3.5}'
from decided
"""
SELECT = """
insert into selection (experiment, model, trial, value, parameters)
select experiment, model, index, value, parameters from task
where stage = 'trial' and state = 'complete' order by value desc limit 1
"""


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows; they have limits instead of a yardstick."""
    rounds = min(rounds, 3)
    url = fresh(world, "report")
    subject = Subject(world, NAME, url, f"s3://{world.s3.bucket}/large")
    live(sys.executable, "-m", "bench.report", url, subject.store_url, world.folder)
    out = world.folder / "large-report"
    lives = [subject.job("report", "--out", out) for _ in range(rounds)]
    imports = [live(sys.executable, "-c", IMPORTS) for _ in range(rounds)]
    page_mb = (out / "index.html").stat().st_size / 1e6
    of = f"of {CLASSES:,} classes, {TEST:,} test images"
    over = [life.peak_mb - base.peak_mb for life, base in zip(lives, imports, strict=True)]
    return [
        _row(f"report {of}", "s", [life.wall_s for life in lives], REPORT_S),
        _row("its memory over the imports", "MB", over, MEMORY_MB),
        _row("its page", "MB", [page_mb], PAGE_MB),
    ]


def _row(name: str, unit: str, ours: list[float], limit: float) -> Row:
    no_yardstick = [NAN] * len(ours)
    return compare(name, unit, ours, no_yardstick, less_is_better=True, limit=limit)


def make(database_url: str, store_url: str, folder: str) -> None:
    """Register the experiment, and decide all its tasks with made results.

    Args:
        database_url: of an empty database.
        store_url: where the files go.
        folder: for predictions.npz, 4 GB, until it is stored.
    """
    spec = workers.specification(NAME, TRIALS, pruner="none") | {"folds": {"count": FOLDS}}
    data = replace(
        workers.DATA,
        classes=NAMES,
        image_shape=(SIDE, SIDE, 3),
        train=TRAIN,
        validation=TRAIN // 5,
        test=TEST,
        train_counts=[TRAIN // CLASSES] * CLASSES,
        test_counts=[TEST // CLASSES] * CLASSES,
    )
    database = Database(database_url)
    database.create_schema()
    register(database, parse(spec), workers.STAGED | {"data": data})
    store = open_store(store_url, 60)
    fill(database_url, spec, TRIALS)
    database.rows(SELECT)
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 255, (20, 8, SIDE, SIDE, 3), np.uint8)
    store.put(paths.data_file(data.id, paths.SAMPLES), _npz(images=samples))
    for index in range(FOLDS):
        _decide(database, store, Path(folder), ("fold", index), np.arange(index, TRAIN, FOLDS))
    _decide(database, store, Path(folder), ("final", 0), np.arange(TEST))


def _decide(
    database: Database, store: Store, folder: Path, task: tuple[str, int], rows: np.ndarray
) -> None:
    """Store the files of a fold or final, and commit it with their scores."""
    stage, index = task
    labels = rows // FOLDS % CLASSES if stage == "fold" else rows % CLASSES
    file = folder / "predictions.npz"
    guesses = _write_predictions(file, rows, labels, seed=len(rows) + index)
    contents: dict[str, bytes | Path] = {
        paths.PREDICTIONS: file,
        paths.RESULT: json.dumps({"seed": 1, "versions": {"python": "3.11"}}).encode(),
    }
    if stage == "final":
        contents[paths.MISTAKES] = _mistakes(labels, guesses)
    artifact = {
        name: _put(store, f"made/{stage}/{index}/{name}", contents[name]) for name in contents
    }
    file.unlink()
    metrics = _metrics(labels, guesses)
    database.rows(
        DECIDE,
        stage=stage,
        index=index,
        metrics=json_value(metrics),
        artifact=json_value(artifact),
    )


def _put(store: Store, key: str, source: bytes | Path) -> dict:
    """Store an object; return its entry in the task's row."""
    stored = store.put(key, source)
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"key": key, "sha256": sha256, "size": stored.size, "etag": stored.etag}


def _write_predictions(path: Path, rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Write predictions.npz block by block; return the predicted classes, int64 [n].

    A class is right in 40 to 95 % of its images, and is else mostly taken for its neighbor.
    """
    rng = np.random.default_rng(seed)
    right = rng.random(len(rows)) < np.linspace(0.4, 0.95, CLASSES)[labels]
    taken_for = np.where(right, labels, (labels + 1) % CLASSES)
    guesses = np.zeros(len(rows), np.int64)
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("probabilities.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), CLASSES)}
            npy.write_array_header_1_0(file, header)
            for first in range(0, len(rows), BLOCK):
                block = rng.random((min(BLOCK, len(rows) - first), CLASSES), np.float32)
                own = np.arange(len(block))
                block[own, labels[first : first + BLOCK]] += 0.5
                block[own, taken_for[first : first + BLOCK]] += rng.random(len(block), np.float32)
                block **= 8
                block /= block.sum(1, keepdims=True)
                guesses[first : first + BLOCK] = block.argmax(1)
                file.write(block.tobytes())
        for name, array in {"labels": labels, "rows": rows}.items():
            with archive.open(f"{name}.npy", "w") as file:
                npy.write_array(file, array.astype(np.int64))
    return guesses


def _mistakes(labels: np.ndarray, guesses: np.ndarray) -> bytes:
    wrong = np.flatnonzero(labels != guesses)[:16]
    images = np.random.default_rng(1).integers(0, 255, (len(wrong), 96, 96, 3), np.uint8)
    confidence = np.full(len(wrong), 0.9, np.float32)
    return _npz(
        images=images,
        rows=wrong,
        labels=labels[wrong],
        predictions=guesses[wrong],
        confidence=confidence,
    )


def _metrics(labels: np.ndarray, guesses: np.ndarray) -> dict:
    """Return the metrics of a task; the areas and the intervals are made up."""
    matrix = np.bincount(labels * CLASSES + guesses, minlength=CLASSES**2)
    matrix = matrix.reshape(CLASSES, CLASSES)
    hits = np.diag(matrix).astype(float)
    by_class = np.stack(class_scores(hits, matrix.sum(0), matrix.sum(1)), 1).tolist()
    scores = dict.fromkeys(SCORES, float(hits.sum() / len(labels)))
    return scores | {
        "n": len(labels),
        "roc_auc_reason": None,
        "weighted": {name: scores[name] for name in ("precision", "recall", "f1")},
        "per_class": [
            {"class": name, "precision": p, "recall": r, "f1": f, "support": n, "roc_auc": 0.9}
            for name, (p, r, f), n in zip(NAMES, by_class, matrix.sum(1).tolist(), strict=True)
        ],
        "undefined_precision": [],
        "confusion_matrix": matrix.tolist(),
        "intervals": {name: [value - 0.001, value + 0.001] for name, value in scores.items()},
        "without_copies": None,
    }


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


if __name__ == "__main__":
    make(*sys.argv[1:])
