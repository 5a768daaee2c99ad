"""Ten thousand trials, a thousand workers, one default PostgreSQL: what a claim costs, and what a crowd meets; stock Optuna beside it."""

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import nan

from bench import workers
from bench.databases import LEFT, alone, copied, fill, fresh, load
from bench.pairs import Row, compare, in_turn
from bench.rates import cold, tpe
from bench.wire import Wire
from bench.world import RUNNING, World
from bench.yardsticks import trials as stock
from job.coordination.connection import Limits
from job.coordination.database import Database
from job.coordination.registered import Worker
from job.coordination.status import collect
from job.coordination.tasks import Tasks
from job.errors import NotReady
from job.experiment.task import Key

SIZES = {
    100: 0.1,
    1_000: 0.15,
    10_000: 0.5,
}  # finished trials, and the seconds a claim and suggestion may take then
MANY, EPOCHS = 12_000, 10
HUNDRED, LOOK_S, STATUS_S = (
    100_000,
    0.05,
    0.5,
)  # trials, and what a look of who waits and a status may take then
CROWD, PROCESSES, PAUSE_S = 1_000, 50, 1.0
FIRSTS, FIRST_PROCESSES = 100, 5
REPORT_S = 0.1  # a report of an epoch, after however many trials


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
        compare(
            f"statements of a trial of {EPOCHS} epochs, judged by a pruner",
            "statements",
            [statements],
            [theirs],
            True,
            limit=20,
        ),
        compare(
            "connections held while training", "connections", [held], [their_held], True, limit=0
        ),
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
        found.append(
            compare(
                f"claim and suggestion, cold, {size} trials finished",
                "s",
                *seconds,
                True,
                limit=limit,
            )
        )
        reports = [[x["report"] for x in side] for side in both]
        found.append(
            compare(
                "a report after it, judged by the median pruner",
                "s",
                *reports,
                True,
                limit=REPORT_S,
            )
        )
        if size == 1_000:
            found.append(cold(url, theirs, spec, rounds, index))
            found.append(tpe(url, theirs, spec, rounds, size))
    memory = [[x["megabytes"] for x in side] for side in both]
    found.append(compare(f"its memory, {size} trials finished", "MB", *memory, True, limit=50))
    return found


def hundred(world: World, rounds: int) -> list[Row]:
    """Return the rows of what is asked again and again, after a hundred thousand finished trials; there is no yardstick beside them."""
    spec, url = workers.specification("hundred", HUNDRED + 100), fresh(world, "hundred")
    workers.create(url, spec)
    fill(url, spec, HUNDRED)
    database = Database(url, limits=Limits(answer_s=600))
    database.rows("cluster epoch using epoch_pkey")  # as trials leave them, one after the other
    alone(url, "vacuum analyze")
    worker = workers.Ours(url, spec)
    attempt, epochs = worker.take(HUNDRED), iter(range(EPOCHS))
    registered = replace(worker.registered, data={"train": 5_000, "validation": 1_000})
    waiter = Tasks(database, registered, Worker(), 180.0, 0.0)

    def look():
        with suppress(NotReady):
            waiter.claim(Key("cnn", "fold", 0))

    asked = {
        "a look of a fold that waits": (look, LOOK_S),
        "a report, judged by the median pruner": (
            lambda: worker.report(attempt, next(epochs), 0.9),
            REPORT_S,
        ),
        "what `job status` reads": (lambda: collect(database, registered), STATUS_S),
    }
    seconds = in_turn(
        min(rounds, EPOCHS - 1), *(partial(timed, call) for call, _ in asked.values())
    )
    return [
        compare(
            f"{name}, {HUNDRED} trials finished", "s", ours, [nan] * len(ours), True, limit=limit
        )
        for (name, (_, limit)), ours in zip(asked.items(), seconds, strict=True)
    ]


def timed(call) -> float:
    """Return the seconds that a call takes."""
    started = time.monotonic()
    call()
    return time.monotonic() - started


def crowds(world: World, rounds: int) -> list[Row]:
    """Return the rows of a thousand workers at once, and of a hundred that find an empty database."""
    spec, url = workers.specification("crowd", CROWD + 1), fresh(world, "crowd")
    workers.create(url, spec)
    started = time.monotonic()
    ours = _crowd("ours", "crowd", url, spec, PROCESSES, CROWD // PROCESSES, EPOCHS, PAUSE_S)
    seconds, left = time.monotonic() - started, Database(url).rows(LEFT)[0]
    done = Database(url).rows(
        "select count(*) as n from task where stage = 'trial' and state = 'complete'"
    )[0]["n"]
    print(
        f"crowd: {CROWD} workers in {PROCESSES} processes, {EPOCHS} epochs each {PAUSE_S:g} s: {done} trials finished in {seconds:.0f} s, "
        f"{left['bytes'] / CROWD / 1000:.2f} kB and {left['rows'] / CROWD:.0f} rows each",
        flush=True,
    )
    stock.create(other := fresh(world, "crowd_stock"), spec)
    theirs = _crowd(
        "stock", "crowd", other, spec, PROCESSES, 2, EPOCHS, PAUSE_S
    )  # a hundred, of which fail what fail
    firsts = [
        _crowd(
            side,
            "first",
            fresh(world, f"firsts_{side}"),
            workers.specification("first", 100),
            FIRST_PROCESSES,
            FIRSTS // FIRST_PROCESSES,
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
        compare(
            f"of {FIRSTS} that begin on an empty database, those that fail",
            "workers",
            [firsts[0]],
            [firsts[1]],
            True,
            limit=0,
        ),
    ]


def _crowd(
    side: str, verb: str, url: str, spec: dict, processes: int, threads: int, *numbers: object
) -> int:
    """Start all processes, let them begin together, and return how many workers failed; of what is told."""
    crowd = []
    for number in range(processes):
        command = [
            sys.executable,
            "-m",
            "bench.load",
            side,
            verb,
            url,
            json.dumps(spec),
            number * threads,
            threads,
            *numbers,
        ]
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
