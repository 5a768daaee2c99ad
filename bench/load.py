"""One process, or many, of trials that train nothing: ours or stock Optuna's.

Usage: python -m bench.load SIDE VERB DATABASE_URL EXPERIMENT_JSON INDEX ..., SIDE ours, burst or stock. Prints one JSON object.

cold          take a trial: seconds and megabytes of it, once all is imported; report an epoch of it: seconds
one           take a trial, finish it, leave
loop P S      P processes from INDEX on, for S seconds: how many trials each finished
crowd T E P   T threads, a worker each, from INDEX on: E epochs, one every P seconds: how many failed, and of what
first T       T threads that create the tables and the study: how many failed, and of what
"""

import json
import multiprocessing
import os
import re
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2.extensions

if sys.argv[1:2] == ["ours"]:
    from bench.workers import Ours as Side
    from bench.workers import create
elif sys.argv[1:2] == ["burst"]:
    from bench.workers import Burst as Side
    from bench.workers import create
else:
    from bench.yardsticks.trials import Stock as Side
    from bench.yardsticks.trials import create

    psycopg2.extensions.set_wait_callback(
        None
    )  # ours is Python, and came with what the yardstick borrows of ours: a script has none


def cold(url: str, spec: dict, index: int) -> dict:
    before, started = _megabytes("VmRSS"), time.monotonic()
    side = Side(url, spec)
    trial = side.take(index)
    taken, megabytes = time.monotonic(), _megabytes("VmHWM") - before
    side.report(trial, 0, 0.9)
    return {"seconds": taken - started, "megabytes": megabytes, "report": time.monotonic() - taken}


def one(url: str, spec: dict, index: int) -> dict:
    Side(url, spec).nothing(index)
    return {}


def loop(url: str, spec: dict, index: int, processes: int, seconds: float) -> dict:
    """Fork: all is imported, no connection is open; each takes the next trial that nobody has taken."""
    ends, following = [], multiprocessing.Value("q", index)

    def take() -> int:
        with following:
            following.value += 1
            return following.value - 1

    for _ in range(processes):
        reads, writes = os.pipe()
        if os.fork() == 0:
            done = 0
            try:
                side, until = Side(url, spec), time.monotonic() + seconds
                while time.monotonic() < until:
                    side.nothing(take())
                    done += 1
            except Exception as exc:
                done = repr(exc)[:200]
            os.write(writes, json.dumps(done).encode())
            os._exit(0)
        os.close(writes)
        ends.append(reads)
    found = [json.loads(os.read(end, 1000)) for end in ends]
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    return {
        "finished": sum(n for n in found if isinstance(n, int)),
        "failed": [n for n in found if not isinstance(n, int)],
    }


def crowd(url: str, spec: dict, index: int, threads: int, epochs: int, pause_s: float) -> dict:
    def work(number: int) -> None:
        side = Side(url, spec)
        trial = side.take(index + number)
        for epoch in range(epochs):
            time.sleep(pause_s)
            side.report(trial, epoch, 0.5)
        side.finish(trial, 0.5)

    return _together(work, threads)


def first(url: str, spec: dict, index: int, threads: int) -> dict:
    return _together(lambda number: create(url, spec), threads)


def _together(work, threads: int) -> dict:
    """Let all begin when whoever started us says so."""
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        errors = [
            future.exception()
            for future in [pool.submit(work, number) for number in range(threads)]
        ]
    return {"failed": [traceback.format_exception_only(e)[-1].strip()[:200] for e in errors if e]}


def _megabytes(name: str) -> float:
    """Return what the kernel says of this process's memory; `ru_maxrss` would begin with that of who started us."""
    return (
        int(re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.M)[1])
        / 1024
    )


if __name__ == "__main__":
    verb, url, spec, index, *numbers = sys.argv[2:]
    verbs = {"cold": cold, "one": one, "loop": loop, "crowd": crowd, "first": first}
    answer = verbs[verb](
        url, json.loads(spec), int(index), *(int(n) if n.isdigit() else float(n) for n in numbers)
    )
    print(json.dumps(answer), flush=True)
    sys.stderr.flush()
    os._exit(0)
