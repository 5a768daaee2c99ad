"""Time prepare, status, report and verify over ten thousand trials, each as a real process."""

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

from bench import workers
from bench.databases import fill, fresh
from bench.pairs import Row, compare
from bench.world import Subject, World
from job.coordination.database import Database
from job.storage.store import open_store
from job.verify.objects import FILES

TRIALS = 10_000
PREPARE_S = 5.0
STATUS_S = 3.0
REPORT_S = 30.0
REPORT_MB = 1000
CONTENT = json.dumps(workers.METRICS).encode()
NAN = float("nan")


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows; they have limits instead of a yardstick."""
    spec = workers.specification("lists", TRIALS, pruner="none")
    file = world.folder / "lists.toml"
    file.write_text(_toml(spec))
    subjects = [
        Subject(world, "lists", fresh(world, f"lists{i}"), f"s3://{world.s3.bucket}/lists{i}")
        for i in range(rounds)
    ]
    # A fresh S3 creates its volumes at the first put.
    open_store(subjects[0].store_url, 60).put("first", b"")
    prepared = [s.job("prepare", file) for s in subjects]
    subject = subjects[-1]
    _finish(subject, spec)
    status = [subject.job("status") for _ in range(rounds)]
    report = [subject.job("report", "--out", world.folder / "report") for _ in range(rounds)]
    verify = [subject.job("verify") for _ in range(rounds)]
    return [
        _row(f"prepare of {TRIALS} trials", "s", [x.wall_s for x in prepared], PREPARE_S),
        _row(f"status of {TRIALS} trials", "s", [x.wall_s for x in status], STATUS_S),
        _row(f"report of {TRIALS} trials", "s", [x.wall_s for x in report], REPORT_S),
        _row("its memory", "MB", [x.peak_mb for x in report], REPORT_MB),
        _row(f"verify of {TRIALS} trials", "s", [x.wall_s for x in verify], REPORT_S),
    ]


def _row(name: str, unit: str, ours: list[float], limit: float) -> Row:
    no_yardstick = [NAN] * len(ours)
    return compare(name, unit, ours, no_yardstick, less_is_better=True, limit=limit)


def _finish(subject: Subject, spec: dict) -> None:
    """Finish every trial, with artifacts that are in the store."""
    database = Database(subject.database_url)
    store = open_store(subject.store_url, 60)
    experiment = database.rows("select id from experiment")[0]["id"]
    files = FILES["trial"]
    digest = sha256(CONTENT).hexdigest()

    def key(index: int | str, name: str) -> str:
        return f"experiments/{experiment}/cnn/trial/{index}/1/{name}"

    def put(index: int) -> list:
        return [store.put(key(index, name), CONTENT) for name in files]

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(put, range(TRIALS)))[0]
    entries = {
        name: {"key": key("INDEX", name), "sha256": digest, "size": o.size, "etag": o.etag}
        for name, o in zip(files, stored, strict=True)
    }
    fill(subject.database_url, spec, TRIALS)
    database.rows(
        "update task set artifact = replace(%(artifact)s, 'INDEX', index::text)::jsonb"
        " where stage = 'trial'",
        artifact=json.dumps(entries),
    )


def _toml(spec: dict) -> str:
    """Return a specification as TOML: JSON whose ranges have equals signs instead of colons."""
    model = "\n".join(
        f"{k} = {json.dumps(v).replace(': ', ' = ')}" for k, v in spec["models"]["cnn"].items()
    )
    search = "\n".join(f"{k} = {json.dumps(v)}" for k, v in spec["search"].items())
    return (
        f'name = "{spec["name"]}"\n[data]\nsource = "digits"\n'
        f"[search]\n{search}\n[models.cnn]\n{model}\n"
    )
