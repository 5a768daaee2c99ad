"""Run trials that train nothing, in one process or many: ours or stock Optuna's.

Usage: python -m bench.load SIDE VERB DATABASE_URL EXPERIMENT_JSON INDEX ...
SIDE is ours, burst or stock. It prints one JSON object.

cold          take a trial after all imports, report one epoch: seconds and megabytes
one           take a trial, finish it, exit
loop P S      P processes from INDEX on, for S seconds: how many trials were finished
crowd T E P   T threads, one worker per thread, from INDEX on; each reports E epochs,
              one every P seconds: how many failed, and why
first T       T threads that create the tables and the study: how many failed, and why
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

    # The yardstick borrows modules of ours, which set a wait callback. A plain script has none.
    psycopg2.extensions.set_wait_callback(None)


def cold(url: str, spec: dict, index: int) -> dict:
    """Return the seconds and megabytes of taking a trial, and the seconds of one report."""
    before = _megabytes("VmRSS")
    started = time.monotonic()
    side = Side(url, spec)
    trial = side.take(index)
    taken = time.monotonic()
    megabytes = _megabytes("VmHWM") - before
    side.report(trial, 0, 0.9)
    return {"seconds": taken - started, "megabytes": megabytes, "report": time.monotonic() - taken}


def one(url: str, spec: dict, index: int) -> dict:
    """Take and finish one trial."""
    Side(url, spec).nothing(index)
    return {}


def loop(url: str, spec: dict, index: int, processes: int, seconds: float) -> dict:
    """Fork processes that each take the next free trial; return how many they finished.

    At the fork everything is imported and no connection is open.
    """
    ends = []
    upcoming = multiprocessing.Value("q", index)

    def take() -> int:
        with upcoming:
            upcoming.value += 1
            return upcoming.value - 1

    for _ in range(processes):
        reads, writes = os.pipe()
        if os.fork() == 0:
            done = 0
            try:
                side = Side(url, spec)
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    side.nothing(take())
                    done += 1
            except Exception as exc:
                done = repr(exc)[:200]
            os.write(writes, json.dumps(done).encode())
            os._exit(0)
        os.close(writes)
        ends.append(reads)
    answers = [json.loads(os.read(end, 1000)) for end in ends]
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    return {
        "finished": sum(n for n in answers if isinstance(n, int)),
        "failed": [n for n in answers if not isinstance(n, int)],
    }


def crowd(url: str, spec: dict, index: int, threads: int, epochs: int, pause_s: float) -> dict:
    """Let each thread take a trial, report its epochs and finish it; return the failures."""

    def work(number: int) -> None:
        side = Side(url, spec)
        trial = side.take(index + number)
        for epoch in range(epochs):
            time.sleep(pause_s)
            side.report(trial, epoch, 0.5)
        side.finish(trial, 0.5)

    return _together(work, threads)


def first(url: str, spec: dict, index: int, threads: int) -> dict:
    """Let each thread create the tables and the study; return the failures."""
    return _together(lambda number: create(url, spec), threads)


def _together(work, threads: int) -> dict:
    """Start all threads at once, when the parent process sends a line; return the failures."""
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, number) for number in range(threads)]
        errors = [future.exception() for future in futures]
    return {"failed": [traceback.format_exception_only(e)[-1].strip()[:200] for e in errors if e]}


def _megabytes(name: str) -> float:
    """Return a memory figure of this process from the kernel.

    `ru_maxrss` would include the memory of the parent process.
    """
    status = Path("/proc/self/status").read_text()
    kilobytes = re.search(rf"^{name}:\s*(\d+) kB", status, re.M)[1]
    return int(kilobytes) / 1024


if __name__ == "__main__":
    verb, url, spec, index, *numbers = sys.argv[2:]
    verbs = {"cold": cold, "one": one, "loop": loop, "crowd": crowd, "first": first}
    numbers = [int(n) if n.isdigit() else float(n) for n in numbers]
    answer = verbs[verb](url, json.loads(spec), int(index), *numbers)
    print(json.dumps(answer), flush=True)
    sys.stderr.flush()
    os._exit(0)
