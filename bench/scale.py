"""Ten thousand trials, a thousand workers, one default PostgreSQL: what a claim costs, and what a crowd meets; stock Optuna beside it."""

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench import workers
from bench.pairs import Row, compare, in_turn
from bench.wire import Wire
from bench.world import RUNNING, World, live
from bench.yardsticks import trials as stock
from job.database import Database

SIZES = {100: 0.1, 1_000: 0.15, 10_000: 0.5}  # finished trials, and the seconds a claim and suggestion may take then
MANY, EPOCHS = 12_000, 10
CROWD, PROCESSES, PAUSE_S = 1_000, 50, 1.0
FIRSTS, FIRST_PROCESSES = 100, 5
RATES = {1: 40, 8: 100, 64: 100}  # long-lived processes, and the trials a second they are to do
RATE_S = 10
ROOM = 5_000  # trials of one round: more than are done
NAN = float("nan")

# Finished trials as `job trial` leaves them, Optuna's rows by trigger and here.
FILL = """
with filled as (
    update task set state = 'complete', attempt = 1, finished = clock_timestamp(), metrics = %(metrics)s, artifact = %(artifact)s,
           value = 0.5 + 0.3 * random(), progress = 100,
           parameters = jsonb_build_object('learning_rate', 10 ^ (-5 + 4 * random()), 'batch_size', (array[32, 64, 128])[1 + floor(3 * random())],
                                           'dropout', 0.7 * random(), 'width', 4 * (1 + floor(16 * random())))
    where stage = 'trial' and index < %(upto)s and state = 'waiting'
    returning *
), attempts as (
    insert into attempt (experiment, model, stage, index, number, owner, host, started, ended, outcome, first_step, last_step, seconds)
    select experiment, model, stage, index, 1, md5(index::text), 'node', finished - interval '1 minute', finished, 'complete', 0, 100, '{"train": 60, "import": 3.5}' from filled
)
insert into trial_params (trial_id, param_name, param_value, distribution_json)
select optuna_trial_id, d->>'name',
       case d->>'name' when 'batch_size' then case (parameters->>'batch_size')::int when 32 then 0 when 64 then 1 else 2 end
       else (parameters->>(d->>'name'))::float end, d->>'distribution'
from filled, jsonb_array_elements(%(optuna)s) d
"""
FILL_EPOCHS = """
insert into epoch (experiment, model, stage, index, epoch, attempt, metrics, value)
select t.experiment, t.model, t.stage, t.index, e, 1, %(metrics)s, t.value - (9 - e) * 0.01 from task t, generate_series(0, 9) e
where t.stage = 'trial' and t.index < %(upto)s and t.state = 'complete'
on conflict do nothing
"""
LEFT = """
select (select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind = 'r')::float as bytes,
       (select count(*) from epoch) + (select count(*) from attempt where ended is not null) + (select count(*) from trial_params)
       + (select count(*) from trial_values) + (select count(*) from trial_intermediate_values) as rows
"""


def fresh(world: World, name: str) -> str:
    """Return the URL of a new, empty database."""
    Database(world.postgres.url).rows(f"create database {name}")
    return world.postgres.url.rpartition("/")[0] + f"/{name}"


def copied(world: World, url: str, name: str) -> str:
    """Return the URL of a copy for stock Optuna, without the trials that wait: it would take those."""
    Database(world.postgres.url).rows(f"create database {name} template {url.rpartition('/')[2]}")
    copy = world.postgres.url.rpartition("/")[0] + f"/{name}"
    Database(copy).rows("delete from trials where state = 'WAITING'")
    Database(copy).rows("analyze")
    return copy


def wires(world: World, rounds: int) -> list[Row]:
    """Return the rows of the statements of a trial, and of the connections it holds between its epochs."""
    spec, url = workers.specification("wires", 200), fresh(world, "wires")
    workers.create(url, spec)
    fill(url, spec, 100)
    found = []
    for side, place in ((workers.Ours, url), (stock.Stock, copied(world, url, "wires_stock"))):
        with Wire(world.postgres.ports[0]) as wire:
            worker = side(place.replace(f":{world.postgres.ports[0]}/", f":{wire.port}/"), spec)
            trial, held = worker.take(150), []
            for epoch in range(EPOCHS):
                time.sleep(0.1)
                held.append(wire.open)
                worker.report(trial, epoch, 0.9)
            worker.finish(trial, 0.9)
            found.append((wire.statements, max(held)))
    (statements, held), (theirs, their_held) = found
    return [
        compare(f"statements of a trial of {EPOCHS} epochs, judged by a pruner", "statements", [statements], [theirs], True, limit=20),
        compare("connections held while training", "connections", [held], [their_held], True, limit=0),
    ]


def claims(world: World, rounds: int) -> list[Row]:
    """Return the rows of what a cold process takes for a claim and a suggestion, by how many trials are finished."""
    rounds = min(rounds, 3)
    spec, url, found = workers.specification("claims", MANY), fresh(world, "claims"), []
    workers.create(url, spec)
    index = iter(range(MANY - 1, 0, -1))
    ask = lambda side, place: load(side, "cold", place, spec, next(index))  # noqa: E731
    empty = Database(url).rows(LEFT)[0]
    for size, limit in SIZES.items():
        fill(url, spec, size)
        theirs = copied(world, url, f"claims_{size}")
        left = Database(url).rows(LEFT)[0]
        print(
            f"{size} finished trials left {(left['bytes'] - empty['bytes']) / size / 1000:.2f} kB and {left['rows'] / size:.0f} rows each",
            flush=True,
        )
        both = in_turn(rounds, lambda: ask("ours", url), partial(ask, "stock", theirs))
        seconds = [[x["seconds"] for x in side] for side in both]
        found.append(compare(f"claim and suggestion, cold, {size} trials finished", "s", *seconds, True, limit=limit))
        if size == 1_000:
            found.append(_cold_rate(url, theirs, spec, rounds, index))
            found.append(_rate("TPE, 1000 trials finished, 8 processes", url, theirs, spec, 8, rounds, size, limit=0))
    memory = [[x["megabytes"] for x in side] for side in both]
    found.append(compare(f"its memory, {size} trials finished", "MB", *memory, True, limit=50))
    return found


def _cold_rate(ours: str, theirs: str, spec: dict, rounds: int, index) -> Row:
    """Return the row of whole processes, a trial each, two at a time, start and imports included."""

    def rate(side: str, url: str) -> float:
        started = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda i: load(side, "one", url, spec, i), [next(index) for _ in range(6)]))
        return 6 / (time.monotonic() - started)

    return compare(
        "cold processes, TPE, 1000 trials finished, 2 at a time",
        "trials/s",
        *in_turn(rounds, lambda: rate("ours", ours), lambda: rate("stock", theirs)),
        limit=0,
    )


def rates(world: World, rounds: int) -> list[Row]:
    """Return the rows of trials that train nothing, by random search."""
    rounds = min(rounds, 3)
    spec = workers.specification("rates", 3 * 3 * ROOM, sampler="random", pruner="none")
    theirs, found = fresh(world, "rates_stock"), []
    stock.create(theirs, spec)
    ours = fresh(world, "rates")
    workers.create(ours, spec)
    first = 0
    for processes, least in RATES.items():
        found.append(_rate(f"random search, {processes} processes", ours, theirs, spec, processes, rounds, first, least))
        first += rounds * ROOM
    return found


def _rate(name: str, ours: str, theirs: str, spec: dict, processes: int, rounds: int, first: int, limit: float) -> Row:
    """Return the row of long-lived processes; where one fails there is no rate, and why is told."""
    begin = iter(range(first, first + rounds * ROOM, ROOM))

    def rate(side: str, url: str) -> float:
        said = load(side, "loop", url, spec, next(begin) if side == "ours" else 0, processes, RATE_S)
        if said["failed"]:
            print(f"{name}: {len(said['failed'])} of {side} failed: {said['failed'][0]}", flush=True)
        return said["finished"] / RATE_S if not said["failed"] else NAN

    return compare(name, "trials/s", *in_turn(rounds, lambda: rate("ours", ours), lambda: rate("stock", theirs)), limit=limit)


def crowds(world: World, rounds: int) -> list[Row]:
    """Return the rows of a thousand workers at once, and of a hundred that find an empty database."""
    spec, url = workers.specification("crowd", CROWD + 1), fresh(world, "crowd")
    workers.create(url, spec)
    started = time.monotonic()
    ours = _crowd("ours", "crowd", url, spec, PROCESSES, CROWD // PROCESSES, EPOCHS, PAUSE_S)
    seconds, left = time.monotonic() - started, Database(url).rows(LEFT)[0]
    done = Database(url).rows("select count(*) as n from task where stage = 'trial' and state = 'complete'")[0]["n"]
    print(
        f"crowd: {CROWD} workers in {PROCESSES} processes, {EPOCHS} epochs each {PAUSE_S:g} s: {done} trials finished in {seconds:.0f} s, "
        f"{left['bytes'] / CROWD / 1000:.2f} kB and {left['rows'] / CROWD:.0f} rows each",
        flush=True,
    )
    stock.create(other := fresh(world, "crowd_stock"), spec)
    theirs = _crowd("stock", "crowd", other, spec, PROCESSES, 2, EPOCHS, PAUSE_S)  # a hundred, of which fail what fail
    firsts = [
        _crowd(
            side, "first", fresh(world, f"firsts_{side}"), workers.specification("first", 100), FIRST_PROCESSES, FIRSTS // FIRST_PROCESSES
        )
        for side in ("ours", "stock")
    ]
    return [
        compare(
            f"workers at once that fail: of {CROWD}, and of stock's {2 * PROCESSES}",
            "workers",
            [max(ours, CROWD - done)],
            [theirs],
            True,
            limit=0,
        ),
        compare(f"of {FIRSTS} that begin on an empty database, those that fail", "workers", [firsts[0]], [firsts[1]], True, limit=0),
    ]


def _crowd(side: str, verb: str, url: str, spec: dict, processes: int, threads: int, *numbers: object) -> int:
    """Start all processes, let them begin together, and return how many workers failed; of what is told."""
    crowd = []
    for number in range(processes):
        command = [sys.executable, "-m", "bench.load", side, verb, url, json.dumps(spec), number * threads, threads, *numbers]
        process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        RUNNING.add(process.pid)
        crowd.append(process)
    for process in crowd:
        process.stdout.readline()
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    failed = []
    for process in crowd:
        said = process.communicate()[0]
        RUNNING.discard(process.pid)
        failed += json.loads(said.splitlines()[-1])["failed"]
    for why, n in Counter(failed).most_common(3):
        print(f"{verb}: {n} of {side} failed: {why}", flush=True)
    return len(failed)


def fill(url: str, spec: dict, upto: int) -> None:
    """Make so many trials finished."""
    from job import study
    from job.database import json_value
    from job.specification import parse

    chosen = {"learning_rate": 0.01, "batch_size": 32, "dropout": 0.1, "width": 4}
    values = {
        "metrics": json_value(workers.METRICS),
        "artifact": json_value(workers.ARTIFACT),
        "optuna": json_value(study.internal(parse(spec), "cnn", chosen)),
        "upto": upto,
    }
    database = Database(url)
    database.rows(FILL, **values)
    database.rows(FILL_EPOCHS, **values)
    database.rows("analyze")


def load(side: str, verb: str, url: str, spec: dict, *numbers: object) -> dict:
    """Run one process of trials; return what it says."""
    return json.loads(live(sys.executable, "-m", "bench.load", side, verb, url, json.dumps(spec), *numbers).said.splitlines()[-1])
