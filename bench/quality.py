"""Are the suggestions as good as Optuna's? The best of 200 trials, eight at a time, by our worker on PostgreSQL, by Optuna's TPE in memory, by chance.

The margins were written down after a pilot on other seeds (101 to 110): half of what chance lost to Optuna's TPE there.
Other seeds, and longer studies of more at once: python -m bench.quality FIRST LAST [TRIALS AT_ONCE]
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

TRIALS, AT_ONCE, SEEDS = 200, 8, 20
RECORDED = Path(__file__).with_name("recorded.json")
FIRST = "12345"  # the recorded seeds there were when the margin was written down
UNIT = {"low": 0.0, "high": 1.0}


def branin(p: dict) -> float:
    """Two dimensions, three optima; at most 0. Source: Dixon and Szego 1978."""
    x, y = 15 * p["x0"] - 5, 15 * p["x1"]
    value = (
        (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )
    return 0.397887 - value


def ackley(p: dict) -> float:
    """Five dimensions, one optimum among many hills; at most 0. Source: Ackley 1987."""
    x = np.array([40 * p[f"x{i}"] - 15 for i in range(5)])
    return float(
        20 * np.exp(-0.2 * np.sqrt((x**2).mean()))
        + np.exp(np.cos(2 * math.pi * x).mean())
        - 20
        - math.e
    )


def rosenbrock(p: dict) -> float:
    """Four dimensions, a bent valley; minus the square root of what is left to the optimum, at most 0. Source: Rosenbrock 1960."""
    x = [4 * p[f"x{i}"] - 2 for i in range(4)]
    return -math.sqrt(
        sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:], strict=False))
    )


@cache
def _forest():
    """Return a forest over the recorded trials: it says what a trial in between would have had. Source: Eggensperger et al. 2015."""
    from sklearn.ensemble import RandomForestRegressor

    seeds = json.loads(RECORDED.read_text())["seeds"]
    trials = [t for seed in FIRST for t in seeds[seed]["none"] if t["state"] == "complete"]
    return RandomForestRegressor(100, random_state=0).fit(
        [_features(t["parameters"]) for t in trials], [t["value"] for t in trials]
    )


def _features(p: dict) -> list[float]:
    return [math.log10(p["learning_rate"]), p["batch_size"], p["dropout"], p["blocks"], p["width"]]


def recorded(p: dict) -> float:
    """The study of bench/search.py without a pruner: validation accuracy of `cnn` on CIFAR-10."""
    return float(_forest().predict([_features(p)])[0])


OWN = {"factory": "bench.quality:none", "epochs": 1}
PROBLEMS = {
    branin: OWN | {"x0": UNIT, "x1": UNIT},
    ackley: OWN | {f"x{i}": UNIT for i in range(5)},
    rosenbrock: OWN | {f"x{i}": UNIT for i in range(4)},
    recorded: {
        "epochs": 1, "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}, "batch_size": [32, 64, 128],
        "dropout": {"low": 0.0, "high": 0.7}, "blocks": [1, 2], "width": [4, 8],
    },
}  # fmt: skip
MARGINS = {"branin": 0.17, "ackley": 4.8, "rosenbrock": 2.0, "recorded": 0.0023}


def specification(problem, seed: int, kind: str, trials: int) -> dict:
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
        self.study = optuna.create_study(
            direction="maximize", sampler=sampler(spec["search"]["sampler"], spec["seed"])
        )
        self.space = study.distributions(parse(spec), model)

    def take(self, index: int) -> tuple:
        trial = self.study.ask(self.space)
        return trial, trial.params

    def finish(self, trial, value: float) -> None:
        self.study.tell(trial, value)


class Worker:
    """Our worker: each trial is taken by another, who knows what the database shows."""

    def __init__(self, url: str, spec: dict, model: str):
        self.url, self.spec, self.model = url, spec, model
        workers.create(url, spec)

    def take(self, index: int) -> tuple:
        side = workers.Ours(self.url, self.spec, self.model)
        attempt = side.take(index)
        return (side, attempt), attempt.parameters

    def finish(self, trial, value: float) -> None:
        trial[0].finish(trial[1], value)


def best(kind: str, problem, seed: int, url: str, trials: int, at_once: int) -> float:
    """Return the best value of a study whose trials run so many at a time, for times that differ."""
    spec = specification(problem, seed, "random" if kind == "chance" else "tpe", trials)
    model = next(iter(spec["models"]))
    side = Worker(url, spec, model) if kind == "ours" else Memory(spec, model)
    times, running, values = np.random.default_rng(seed), [], []
    for index in range(trials):
        if len(running) == at_once:
            _end(side, heapq.heappop(running), values)
        trial, parameters = side.take(index)
        begun = running[0][0] if running else 0.0
        heapq.heappush(running, (begun + times.exponential(), index, trial, problem(parameters)))
    while running:
        _end(side, heapq.heappop(running), values)
    return max(values)


def _end(side, ended: tuple, values: list[float]) -> None:
    side.finish(ended[2], ended[3])
    values.append(ended[3])


def rows(world: World, rounds: int) -> list[Row]:
    """Return a row a problem: the interval of the paired difference to Optuna's TPE, in margins."""
    return measure(fresh(world, "quality"), range(1, SEEDS + 1))


def measure(url: str, seeds: range, trials: int = TRIALS, at_once: int = AT_ONCE) -> list[Row]:
    found = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for problem in PROBLEMS:
            if problem is recorded and not RECORDED.exists():
                continue
            ours, theirs, chance = (
                np.array(
                    list(
                        pool.map(
                            best,
                            *zip(
                                *[(kind, problem, s, url, trials, at_once) for s in seeds],
                                strict=True,
                            ),
                        )
                    )
                )
                for kind in ("ours", "optuna", "chance")
            )
            margin = MARGINS[problem.__name__]
            (low, high), (least, most) = interval(ours - theirs), interval(chance - theirs)
            print(
                f"{problem.__name__}: best of {trials} less that of Optuna's TPE: ours {(ours - theirs).mean():+.4f} ({low:+.4f} to {high:+.4f}), "
                f"chance {(chance - theirs).mean():+.4f} (at most {most:+.4f}); margin {margin:g}, n = {len(seeds)} seeds",
                flush=True,
            )
            row = Row(
                f"suggestions: {problem.__name__}",
                f"best of {trials}",
                float(ours.mean()),
                float(theirs.mean()),
                low / margin,
                (low / margin, high / margin),
                len(seeds),
                goal=-1,
            )
            control = Row(
                "its control, by chance",
                f"best of {trials}",
                float(chance.mean()),
                float(theirs.mean()),
                -most / margin,
                (-most / margin, -least / margin),
                len(seeds),
                goal=0,  # clearly worse: what chance loses is more than its interval
            )
            found += [row, control]
    return found


if __name__ == "__main__":
    import tempfile

    from job.local.embedded import Postgres

    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "servers") as postgres:
        first, last, *size = map(int, sys.argv[1:])
        measure(postgres.url, range(first, last + 1), *size)
