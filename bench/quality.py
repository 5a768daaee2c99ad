"""Compare our suggestions with Optuna's: the best of 200 trials, eight at a time.

The contenders are our worker on PostgreSQL, Optuna's TPE in memory, and chance.

The margins were fixed after a pilot on other seeds (101 to 110).
Each margin is half of what chance lost to Optuna's TPE in that pilot.
For other seeds, or for longer and wider studies:
python -m bench.quality FIRST LAST [TRIALS AT_ONCE]
"""

import heapq
import json
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import optuna

from bench import workers
from bench.databases import fresh
from bench.pairs import Row, interval
from bench.world import World
from bench.yardsticks.trials import sampler
from job.coordination import study
from job.experiment.specification import parse

TRIALS = 200
AT_ONCE = 8
SEEDS = 20
RECORDED = Path(__file__).with_name("recorded.json")
FIRST = "12345"  # the seeds that were recorded when the margin was fixed
UNIT = {"low": 0.0, "high": 1.0}


def branin(p: dict) -> float:
    """Two dimensions, three optima; at most 0. Source: Dixon and Szego 1978."""
    x = 15 * p["x0"] - 5
    y = 15 * p["x1"]
    valley = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    waves = 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
    return 0.397887 - (valley + waves + 10)


def ackley(p: dict) -> float:
    """Five dimensions, one optimum among many hills; at most 0. Source: Ackley 1987."""
    x = np.array([40 * p[f"x{i}"] - 15 for i in range(5)])
    funnel = 20 * np.exp(-0.2 * np.sqrt((x**2).mean()))
    hills = np.exp(np.cos(2 * math.pi * x).mean())
    return float(funnel + hills - 20 - math.e)


def rosenbrock(p: dict) -> float:
    """Four dimensions, one bent valley; minus the root of the distance in value, at most 0.

    Source: Rosenbrock 1960.
    """
    x = [4 * p[f"x{i}"] - 2 for i in range(4)]
    pairs = zip(x, x[1:], strict=False)
    return -math.sqrt(sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in pairs))


@cache
def _forest():
    """Return a forest over the recorded trials, which predicts the value of trials in between.

    Source: Eggensperger et al. 2015.
    """
    from sklearn.ensemble import RandomForestRegressor

    seeds = json.loads(RECORDED.read_text())["seeds"]
    trials = [t for seed in FIRST for t in seeds[seed]["none"] if t["state"] == "complete"]
    features = [_features(t["parameters"]) for t in trials]
    values = [t["value"] for t in trials]
    return RandomForestRegressor(100, random_state=0).fit(features, values)


def _features(p: dict) -> list[float]:
    return [math.log10(p["learning_rate"]), p["batch_size"], p["dropout"], p["blocks"], p["width"]]


def recorded(p: dict) -> float:
    """Five dimensions; the validation accuracy of `cnn` on CIFAR-10.

    Source: the study of bench/search.py without a pruner.
    """
    return float(_forest().predict([_features(p)])[0])


CUSTOM = {"factory": "bench.quality:none", "epochs": 1}
PROBLEMS = {
    branin: CUSTOM | {"x0": UNIT, "x1": UNIT},
    ackley: CUSTOM | {f"x{i}": UNIT for i in range(5)},
    rosenbrock: CUSTOM | {f"x{i}": UNIT for i in range(4)},
    recorded: {
        "epochs": 1,
        "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "batch_size": [32, 64, 128],
        "dropout": {"low": 0.0, "high": 0.7},
        "blocks": [1, 2],
        "width": [4, 8],
    },
}
MARGINS = {"branin": 0.17, "ackley": 4.8, "rosenbrock": 2.0, "recorded": 0.0023}


def specification(problem, seed: int, kind: str, trials: int) -> dict:
    """Return an experiment with one problem as its only model."""
    model = "cnn" if problem is recorded else "own"
    search = {"trials": trials, "sampler": kind, "pruner": "none"}
    return {
        "name": f"{problem.__name__}-{seed}-{kind}",
        "seed": seed,
        "data": {"source": "digits"},
        "search": search,
        "models": {model: PROBLEMS[problem]},
    }


class Memory:
    """Optuna's own sampler, in memory."""

    def __init__(self, spec: dict, model: str):
        optunas = sampler(spec["search"]["sampler"], spec["seed"])
        self.study = optuna.create_study(direction="maximize", sampler=optunas)
        self.space = study.distributions(parse(spec), model)

    def take(self, index: int) -> tuple:
        trial = self.study.ask(self.space)
        return trial, trial.params

    def finish(self, trial, value: float) -> None:
        self.study.tell(trial, value)


class Worker:
    """Our workers: each trial has a new one, which knows only what the database shows."""

    def __init__(self, url: str, spec: dict, model: str):
        self.url = url
        self.spec = spec
        self.model = model
        workers.create(url, spec)

    def take(self, index: int) -> tuple:
        side = workers.Ours(self.url, self.spec, self.model)
        attempt = side.take(index)
        return (side, attempt), attempt.parameters

    def finish(self, trial, value: float) -> None:
        side, attempt = trial
        side.finish(attempt, value)


def best(kind: str, problem, seed: int, url: str, trials: int, at_once: int) -> float:
    """Return the best value of a study.

    At most `at_once` trials run at a time, and their durations are random.
    """
    spec = specification(problem, seed, "random" if kind == "chance" else "tpe", trials)
    model = next(iter(spec["models"]))
    side = Worker(url, spec, model) if kind == "ours" else Memory(spec, model)
    times = np.random.default_rng(seed)
    running = []
    values = []
    for index in range(trials):
        if len(running) == at_once:
            _end(side, heapq.heappop(running), values)
        trial, parameters = side.take(index)
        now = running[0][0] if running else 0.0
        end = now + times.exponential()
        heapq.heappush(running, (end, index, trial, problem(parameters)))
    while running:
        _end(side, heapq.heappop(running), values)
    return max(values)


def _end(side, ended: tuple, values: list[float]) -> None:
    _, _, trial, value = ended
    side.finish(trial, value)
    values.append(value)


def rows(world: World, rounds: int) -> list[Row]:
    """Return two rows per problem: ours and chance, each less Optuna's TPE, in margins."""
    return measure(fresh(world, "quality"), range(1, SEEDS + 1))


def measure(url: str, seeds: range, trials: int = TRIALS, at_once: int = AT_ONCE) -> list[Row]:
    """Measure all problems over some seeds; print the differences and return the rows."""
    rows = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for problem in PROBLEMS:
            if problem is recorded and not RECORDED.exists():
                continue
            values = {}
            for kind in ("ours", "optuna", "chance"):
                studies = [(kind, problem, seed, url, trials, at_once) for seed in seeds]
                columns = zip(*studies, strict=True)
                values[kind] = np.array(list(pool.map(best, *columns)))
            rows += _rows_of(problem.__name__, values, trials)
    return rows


def _rows_of(problem: str, values: dict[str, np.ndarray], trials: int) -> list[Row]:
    """Print the differences to Optuna's TPE; return the row of ours and the row of its control."""
    margin = MARGINS[problem]
    n = len(values["optuna"])
    ours = values["ours"] - values["optuna"]
    chance = values["chance"] - values["optuna"]
    low, high = interval(ours)
    least, most = interval(chance)
    print(
        f"{problem}: best of {trials} less that of Optuna's TPE:"
        f" ours {ours.mean():+.4f} ({low:+.4f} to {high:+.4f}),"
        f" chance {chance.mean():+.4f} (at most {most:+.4f});"
        f" margin {margin:g}, n = {n} seeds",
        flush=True,
    )
    unit = f"best of {trials}"
    optuna_mean = float(values["optuna"].mean())
    row = Row(
        f"suggestions: {problem}",
        unit,
        ours=float(values["ours"].mean()),
        yardstick=optuna_mean,
        ratio=low / margin,
        spread=(low / margin, high / margin),
        n=n,
        goal=-1,
    )
    control = Row(
        "its control, by chance",
        unit,
        ours=float(values["chance"].mean()),
        yardstick=optuna_mean,
        ratio=-most / margin,
        spread=(-most / margin, -least / margin),
        n=n,
        goal=0,  # chance must lose clearly: by more than its interval
    )
    return [row, control]


if __name__ == "__main__":
    import tempfile

    from job.local.embedded import Postgres

    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "servers") as postgres:
        first, last, *size = map(int, sys.argv[1:])
        measure(postgres.url, range(first, last + 1), *size)
