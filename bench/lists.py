"""Commands over ten thousand finished trials, each a real process: prepare, status, report, verify."""

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
PREPARE_S, STATUS_S, REPORT_S, REPORT_MB = 5.0, 3.0, 30.0, 1000
CONTENT = json.dumps(workers.METRICS).encode()
NAN = float("nan")


def rows(world: World, rounds: int) -> list[Row]:
    """Return the rows; there is no yardstick beside them."""
    spec = workers.specification("lists", TRIALS, pruner="none")
    file = world.folder / "lists.toml"
    file.write_text(_toml(spec))
    subjects = [
        Subject(world, "lists", fresh(world, f"lists{i}"), f"s3://{world.s3.bucket}/lists{i}")
        for i in range(rounds)
    ]
    open_store(subjects[0].store_url, 60).put(
        "first", b""
    )  # an S3 that has just started makes its volumes first
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
    return compare(name, unit, ours, [NAN] * len(ours), True, limit=limit)


def _finish(subject: Subject, spec: dict) -> None:
    """Let every trial be finished, with artifacts that lie in the store."""
    database, store = Database(subject.database_url), open_store(subject.store_url, 60)
    experiment = database.rows("select id from experiment")[0]["id"]
    files = FILES["trial"]
    key = lambda index, name: f"experiments/{experiment}/cnn/trial/{index}/1/{name}"  # noqa: E731
    with ThreadPoolExecutor(8) as pool:
        stored = list(
            pool.map(lambda i: [store.put(key(i, name), CONTENT) for name in files], range(TRIALS))
        )[0]
    entries = {
        name: {
            "key": key("INDEX", name),
            "sha256": sha256(CONTENT).hexdigest(),
            "size": o.size,
            "etag": o.etag,
        }
        for name, o in zip(files, stored, strict=True)
    }
    fill(subject.database_url, spec, TRIALS)
    database.rows(
        "update task set artifact = replace(%(artifact)s, 'INDEX', index::text)::jsonb where stage = 'trial'",
        artifact=json.dumps(entries),
    )


def _toml(spec: dict) -> str:
    """Return the text of a specification; its ranges and lists are TOML but for their colons."""
    own = "\n".join(
        f"{k} = {json.dumps(v).replace(': ', ' = ')}" for k, v in spec["models"]["cnn"].items()
    )
    search = "\n".join(f"{k} = {json.dumps(v)}" for k, v in spec["search"].items())
    return f'name = "{spec["name"]}"\n[data]\nsource = "digits"\n[search]\n{search}\n[models.cnn]\n{own}\n'
