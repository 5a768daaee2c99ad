"""Measure claims after ten thousand trials, and a thousand workers at once.

One PostgreSQL with default settings serves them; stock Optuna is the yardstick.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
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

# The numbers of finished trials, and the seconds that a claim with its suggestion may then take.
SIZES = {100: 0.1, 1_000: 0.15, 10_000: 0.5}
MANY = 12_000
EPOCHS = 10
HUNDRED = 100_000  # trials
LOOK_S = 0.05  # for one poll of a waiting fold, with that many trials
STATUS_S = 0.5  # for one status, with that many trials
CROWD = 1_000
PROCESSES = 50
PAUSE_S = 1.0
FIRSTS = 100
FIRST_PROCESSES = 5
REPORT_S = 0.1  # for one report of an epoch, with any number of trials
FINISHED = "select count(*) as n from task where stage = 'trial' and state = 'complete'"


def wires(world: World, rounds: int) -> list[Row]:
    """Return the rows of a trial's statements and of the connections it holds between epochs."""
    spec = workers.specification("wires", 200)
    url = fresh(world, "wires")
    workers.create(url, spec)
    fill(url, spec, 100)
    stock_url = copied(world, url, "wires_stock")
    statements, held = _traffic(world, workers.Ours, url, spec)
    their_statements, their_held = _traffic(world, stock.Stock, stock_url, spec)
    name = f"statements of a trial of {EPOCHS} epochs, judged by a pruner"
    return [
        compare(
            name, "statements", [statements], [their_statements], less_is_better=True, limit=20
        ),
        compare(
            "connections held while training",
            "connections",
            [held],
            [their_held],
            less_is_better=True,
            limit=0,
        ),
    ]


def _traffic(world: World, side: type, url: str, spec: dict) -> tuple[int, int]:
    """Run a trial; return its statements and the most connections it held between epochs."""
    port = world.postgres.ports[0]
    with Wire(port) as wire:
        worker = side(url.replace(f":{port}/", f":{wire.port}/"), spec)
        trial = worker.take(150)
        held = []
        for epoch in range(EPOCHS):
            time.sleep(0.1)
            held.append(wire.open)
            worker.report(trial, epoch, 0.9)
        worker.finish(trial, 0.9)
        return wire.statements, max(held)


def claims(world: World, rounds: int) -> list[Row]:
    """Return the rows of a cold claim and suggestion, by the number of finished trials."""
    rounds = min(rounds, 3)
    spec = workers.specification("claims", MANY)
    url = fresh(world, "claims")
    workers.create(url, spec)
    index = iter(range(MANY - 1, 0, -1))

    def ask(side: str, place: str) -> dict:
        return load(side, "cold", place, spec, next(index))

    rows = []
    empty = Database(url).rows(LEFT)[0]
    for size, limit in SIZES.items():
        fill(url, spec, size)
        stock_url = copied(world, url, f"claims_{size}")
        _print_size(size, empty, Database(url).rows(LEFT)[0])
        both = in_turn(rounds, lambda: ask("ours", url), partial(ask, "stock", stock_url))
        rows += _cold_rows(size, limit, both)
        if size == 1_000:
            rows.append(cold(url, stock_url, spec, rounds, index))
            rows.append(tpe(url, stock_url, spec, rounds, size))
    ours, theirs = [[x["megabytes"] for x in side] for side in both]
    name = f"its memory, {size} trials finished"
    rows.append(compare(name, "MB", ours, theirs, less_is_better=True, limit=50))
    return rows


def _print_size(size: int, empty: dict, filled: dict) -> None:
    """Print the space that a finished trial takes in the database."""
    kilobytes = (filled["bytes"] - empty["bytes"]) / size / 1000
    rows = filled["rows"] / size
    print(f"{size} finished trials left {kilobytes:.2f} kB and {rows:.0f} rows each", flush=True)


def _cold_rows(size: int, limit: float, both: list[list[dict]]) -> list[Row]:
    """Return the rows of the claim with its suggestion and of the report after it."""
    ours, theirs = [[x["seconds"] for x in side] for side in both]
    our_reports, their_reports = [[x["report"] for x in side] for side in both]
    claim = f"claim and suggestion, cold, {size} trials finished"
    report = "a report after it, judged by the median pruner"
    return [
        compare(claim, "s", ours, theirs, less_is_better=True, limit=limit),
        compare(report, "s", our_reports, their_reports, less_is_better=True, limit=REPORT_S),
    ]


def hundred(world: World, rounds: int) -> list[Row]:
    """Return the rows of frequent questions after a hundred thousand finished trials.

    They have limits instead of a yardstick.
    """
    spec = workers.specification("hundred", HUNDRED + 100)
    url = fresh(world, "hundred")
    workers.create(url, spec)
    fill(url, spec, HUNDRED)
    database = Database(url, limits=Limits(answer_s=600))
    database.rows("cluster epoch using epoch_pkey")  # the order in which real trials leave them
    alone(url, "vacuum analyze")
    worker = workers.Ours(url, spec)
    attempt = worker.take(HUNDRED)
    epochs = iter(range(EPOCHS))
    waiter = Tasks(database, worker.registered, Worker(), 180.0, 0.0)

    def look() -> None:
        with suppress(NotReady):
            waiter.claim(Key("cnn", "fold", 0))

    def report() -> None:
        worker.report(attempt, next(epochs), 0.9)

    def status() -> None:
        collect(database, worker.registered)

    questions = {
        "a look of a fold that waits": (look, LOOK_S),
        "a report, judged by the median pruner": (report, REPORT_S),
        "what `job status` reads": (status, STATUS_S),
    }
    calls = [partial(timed, call) for call, _ in questions.values()]
    seconds = in_turn(min(rounds, EPOCHS - 1), *calls)
    return [
        _limited(f"{name}, {HUNDRED} trials finished", ours, limit)
        for (name, (_, limit)), ours in zip(questions.items(), seconds, strict=True)
    ]


def _limited(name: str, ours: list[float], limit: float) -> Row:
    return compare(name, "s", ours, [nan] * len(ours), less_is_better=True, limit=limit)


def timed(call) -> float:
    """Return the seconds that a call takes."""
    started = time.monotonic()
    call()
    return time.monotonic() - started


def crowds(world: World, rounds: int) -> list[Row]:
    """Return the rows of a thousand workers at once, and of a hundred on an empty database."""
    failed, their_failed = _epochs_of_a_crowd(world)
    firsts = []
    for side in ("ours", "stock"):
        url = fresh(world, f"firsts_{side}")
        spec = workers.specification("first", 100)
        threads = FIRSTS // FIRST_PROCESSES
        firsts.append(_crowd(side, "first", url, spec, FIRST_PROCESSES, threads))
    our_firsts, their_firsts = firsts
    return [
        compare(
            f"workers at once that fail: of {CROWD}, and of stock's {2 * PROCESSES}",
            "workers",
            [failed],
            [their_failed],
            less_is_better=True,
            limit=0,
        ),
        compare(
            f"of {FIRSTS} that begin on an empty database, those that fail",
            "workers",
            [our_firsts],
            [their_firsts],
            less_is_better=True,
            limit=0,
        ),
    ]


def _epochs_of_a_crowd(world: World) -> tuple[int, int]:
    """Let a crowd of workers report epochs; return how many of ours and of stock's failed."""
    spec = workers.specification("crowd", CROWD + 1)
    url = fresh(world, "crowd")
    workers.create(url, spec)
    threads = CROWD // PROCESSES
    started = time.monotonic()
    ours = _crowd("ours", "crowd", url, spec, PROCESSES, threads, EPOCHS, PAUSE_S)
    seconds = time.monotonic() - started
    left = Database(url).rows(LEFT)[0]
    finished = Database(url).rows(FINISHED)[0]["n"]
    print(
        f"crowd: {CROWD} workers in {PROCESSES} processes, {EPOCHS} epochs each {PAUSE_S:g} s:"
        f" {finished} trials finished in {seconds:.0f} s,"
        f" {left['bytes'] / CROWD / 1000:.2f} kB and {left['rows'] / CROWD:.0f} rows each",
        flush=True,
    )
    stock_url = fresh(world, "crowd_stock")
    stock.create(stock_url, spec)
    # Only a hundred workers: enough to see how many fail.
    theirs = _crowd("stock", "crowd", stock_url, spec, PROCESSES, 2, EPOCHS, PAUSE_S)
    return max(ours, CROWD - finished), theirs


def _crowd(
    side: str, verb: str, url: str, spec: dict, processes: int, threads: int, *numbers: object
) -> int:
    """Start all processes, let them begin together, and return how many workers failed.

    The three most frequent reasons are printed.
    """
    crowd = []
    for number in range(processes):
        load_module = [sys.executable, "-m", "bench.load", side, verb, url, json.dumps(spec)]
        command = [*load_module, number * threads, threads, *numbers]
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
        output = process.communicate()[0]
        RUNNING.discard(process.pid)
        failed += json.loads(output.splitlines()[-1])["failed"]
    for why, n in Counter(failed).most_common(3):
        print(f"{verb}: {n} of {side} failed: {why}", flush=True)
    return len(failed)
