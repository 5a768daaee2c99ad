"""Measure how many trials that train nothing are done per second, by us and by stock Optuna.

Processes are long-lived or cold.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

from bench import workers
from bench.databases import fresh, load
from bench.pairs import Row, compare, in_turn
from bench.world import World
from bench.yardsticks import trials as stock

RATES = {1: 40, 8: 100, 64: 100}  # long-lived processes: the least trials per second
RATE_S = 10
ROOM = 4_000  # trials prepared for one round: more than it can finish
NAN = float("nan")


def rates(world: World, rounds: int) -> list[Row]:
    """Return the rows of trials that train nothing, by random search.

    One row has a connection per trial, the other a connection per step, as the worker has it.
    """
    rounds = min(rounds, 3)
    trials = len(RATES) * rounds * ROOM
    spec = workers.specification("rates", trials, sampler="random", pruner="none")
    urls = {side: fresh(world, f"rates_{side}") for side in ("burst", "ours")}
    for url in urls.values():
        workers.create(url, spec)
    number = count()
    rows = []

    def ours(side: str, processes: int, begin: Iterator[int]) -> float:
        return _rate(side, urls[side], spec, processes, next(begin))

    def theirs(processes: int) -> float:
        # In a new database: otherwise it would read the trials of earlier rounds.
        url = fresh(world, f"rates_stock{next(number)}")
        stock.create(url, spec)
        return _rate("stock", url, spec, processes, 0)

    for block, (processes, least) in enumerate(RATES.items()):
        begin = range(block * rounds * ROOM, (block + 1) * rounds * ROOM, ROOM)
        sides = [partial(ours, side, processes, iter(begin)) for side in urls]
        per_trial, per_step, plain = in_turn(rounds, *sides, partial(theirs, processes))
        name = f"random search, {processes} processes, a connection a"
        rows.append(compare(f"{name} trial", "trials/s", per_trial, plain, limit=least))
        rows.append(compare(f"{name} step", "trials/s", per_step, plain, limit=0))
    return rows


def tpe(ours: str, theirs: str, spec: dict, rounds: int, finished: int) -> Row:
    """Return the row of eight long-lived processes by TPE, from trial `finished` on."""
    begin = iter(range(finished, finished + rounds * ROOM, ROOM))

    def our_rate() -> float:
        return _rate("ours", ours, spec, 8, next(begin))

    def their_rate() -> float:
        return _rate("stock", theirs, spec, 8, 0)

    our_rates, their_rates = in_turn(rounds, our_rate, their_rate)
    name = f"TPE, {finished} trials finished, 8 processes, one connection per step"
    return compare(name, "trials/s", our_rates, their_rates, limit=0)


def cold(ours: str, theirs: str, spec: dict, rounds: int, index) -> Row:
    """Return the row of whole processes, two at a time, start and imports included.

    Each process does one trial.
    """

    def rate(side: str, url: str) -> float:
        started = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            indices = [next(index) for _ in range(6)]
            list(pool.map(lambda i: load(side, "one", url, spec, i), indices))
        return 6 / (time.monotonic() - started)

    our_rates, their_rates = in_turn(
        rounds, lambda: rate("ours", ours), lambda: rate("stock", theirs)
    )
    name = "cold processes, TPE, 1000 trials finished, 2 at a time"
    return compare(name, "trials/s", our_rates, their_rates, limit=0)


def _rate(side: str, url: str, spec: dict, processes: int, first: int) -> float:
    """Return the trials per second of long-lived processes.

    If one fails there is no rate (nan), and the reason is printed.
    """
    outcome = load(side, "loop", url, spec, first, processes, RATE_S)
    failed = outcome["failed"]
    if failed:
        print(f"{processes} processes: {len(failed)} of {side} failed: {failed[0]}", flush=True)
        return NAN
    return outcome["finished"] / RATE_S
