"""How many trials that train nothing are done in a second: long-lived processes and cold ones, ours and stock Optuna's."""

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

RATES = {1: 40, 8: 100, 64: 100}  # long-lived processes, and the trials a second they are to do
RATE_S = 10
ROOM = 4_000  # trials of one round: more than are done
NAN = float("nan")


def rates(world: World, rounds: int) -> list[Row]:
    """Return the rows of trials that train nothing, by random search: a connection a trial, and one a step as the worker has it."""
    rounds = min(rounds, 3)
    spec = workers.specification(
        "rates", len(RATES) * rounds * ROOM, sampler="random", pruner="none"
    )
    places, found = {side: fresh(world, f"rates_{side}") for side in ("burst", "ours")}, []
    for url in places.values():
        workers.create(url, spec)
    number = count()

    def ours(side: str, processes: int, begin: Iterator[int]) -> float:
        return _rate(side, places[side], spec, processes, next(begin))

    def theirs(processes: int) -> float:
        stock.create(
            url := fresh(world, f"rates_stock{next(number)}"), spec
        )  # or it would read what was done before
        return _rate("stock", url, spec, processes, 0)

    for place, (processes, least) in enumerate(RATES.items()):
        begin = range(place * rounds * ROOM, (place + 1) * rounds * ROOM, ROOM)
        sides = [partial(ours, side, processes, iter(begin)) for side in places]
        burst, apart, plain = in_turn(rounds, *sides, partial(theirs, processes))
        name = f"random search, {processes} processes, a connection a"
        found.append(compare(f"{name} trial", "trials/s", burst, plain, limit=least))
        found.append(compare(f"{name} step", "trials/s", apart, plain, limit=0))
    return found


def tpe(ours: str, theirs: str, spec: dict, rounds: int, finished: int) -> Row:
    """Return the row of eight long-lived processes by TPE, from trial `finished` on."""
    begin = iter(range(finished, finished + rounds * ROOM, ROOM))
    both = in_turn(
        rounds,
        lambda: _rate("ours", ours, spec, 8, next(begin)),
        lambda: _rate("stock", theirs, spec, 8, 0),
    )
    return compare(
        f"TPE, {finished} trials finished, 8 processes, a connection a step",
        "trials/s",
        *both,
        limit=0,
    )


def cold(ours: str, theirs: str, spec: dict, rounds: int, index) -> Row:
    """Return the row of whole processes, a trial each, two at a time, start and imports included."""

    def rate(side: str, url: str) -> float:
        started = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(lambda i: load(side, "one", url, spec, i), [next(index) for _ in range(6)])
            )
        return 6 / (time.monotonic() - started)

    return compare(
        "cold processes, TPE, 1000 trials finished, 2 at a time",
        "trials/s",
        *in_turn(rounds, lambda: rate("ours", ours), lambda: rate("stock", theirs)),
        limit=0,
    )


def _rate(side: str, url: str, spec: dict, processes: int, first: int) -> float:
    """Return the trials a second of long-lived processes; where one fails there is no rate, and why is told."""
    said = load(side, "loop", url, spec, first, processes, RATE_S)
    if said["failed"]:
        print(
            f"{processes} processes: {len(said['failed'])} of {side} failed: {said['failed'][0]}",
            flush=True,
        )
    return said["finished"] / RATE_S if not said["failed"] else NAN
