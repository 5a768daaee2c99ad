"""The cheaper study: hyperband beside no pruner, on `cnn`, best accuracy by epochs spent; one seed a round, and the clock does not count.

Hyperband begins as many trials as a third of the epochs pays for. The margin, one point, was written down before the first study was run.

The best of many complete trials had more luck than the best of few, and pruned ones have no value: therefore the trials that both studies
choose are also trained again, on other images, in turn. This was added after nine seeds, before any was trained again.
"""

import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import matplotlib.figure
import numpy as np

from bench.pairs import Row, compare, interval
from bench.world import World, live
from job.coordination.database import Database

TRIALS, EPOCHS, MARGIN, SHARE, AT_ONCE = 60, 27, 0.01, 1 / 3, 2
AGAIN = 5  # trainings of each chosen trial
ENOUGH = 4 * TRIALS  # trials for hyperband: more than it gets to
SPENT = {"none": TRIALS * EPOCHS, "hyperband": math.ceil(TRIALS * EPOCHS * SHARE)}

STUDY = """
name = "search-{name}"
seed = {seed}
threads = 1
[data]
source = "cifar10"
image_size = 8
train = 6000
test = 100
validation = 0.6667
[search]
trials = {trials}
pruner = "{pruner}"
enqueue = [{points}]
[folds]
count = 2
[parameters]
learning_rate = {{ low = 1e-5, high = 1e-1, log = true }}
batch_size = [32, 64, 128]
dropout = {{ low = 0.0, high = 0.7 }}
schedule = "cosine"
[models.cnn]
epochs = {epochs}
blocks = [1, 2]
width = [4, 8]
augment = {{ shift = 0.1, flip = true }}
"""

# What each trial cost and found, in the order they were worked on.
QUERY = """
select t.state, t.value, t.parameters, (select count(*) from epoch where (experiment, model, stage, index) = (t.experiment, t.model, t.stage, t.index)) as epochs
from task t join experiment e on e.id = t.experiment where e.name = %(name)s and t.stage = 'trial' and t.attempt > 0 order by t.index
"""


def rows(world: World, rounds: int) -> list[Row]:
    """Return the row of the epochs until the unpruned study's best, less the margin, is reached; draw the curves.

    Hours of work: what OUT/search.json has of a seed is not done again, and a seed that ends is there at once.
    """
    if world.data is None:
        print(
            "No CIFAR-10: the row of the search is left out; `make bench DATA=cifar-10-python.tar.gz` takes it in",
            flush=True,
        )
        return []
    file = world.out / "search.json"
    done = json.loads(file.read_text())["seeds"] if file.exists() else {}
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for future in as_completed(
            {
                pool.submit(_seed, world, seed, done.get(str(seed), {}))
                for seed in range(1, rounds + 1)
            }
        ):
            done |= future.result()
            new = file.with_suffix(".new")
            new.write_text(text(done))
            new.replace(file)
    finally:
        pool.shutdown(
            wait=False, cancel_futures=True
        )  # when we end early, the world ends what runs
    seeds = [done[str(seed)] for seed in range(1, rounds + 1)]
    plain, ours = ([curve(seed[pruner]) for seed in seeds] for pruner in SPENT)
    _tell(plain, ours)
    _picture(plain, ours).savefig(world.out / "search.png", dpi=120)
    needed = [
        reached(o, p[-1][1] - MARGIN, otherwise=p[-1][0]) for p, o in zip(plain, ours, strict=True)
    ]
    return [
        compare(
            f"search: epochs to the unpruned best less {MARGIN:g}",
            "epochs",
            needed,
            [p[-1][0] for p in plain],
            True,
            1 / SHARE,
        ),
        again([seed["again"] for seed in seeds]),
    ]


def _seed(world: World, seed: int, found: dict[str, list]) -> dict[str, dict]:
    """Work on both studies of a seed, one after the other, then on what they chose; return their trials in the order they were worked on."""
    for pruner, trials in (("none", TRIALS), ("hyperband", ENOUGH)):
        if pruner not in found:
            found[pruner] = _study(
                world,
                f"{pruner}-{seed}",
                SPENT[pruner],
                pruner=pruner,
                seed=seed,
                trials=trials,
                points="",
            )
    if "again" not in found:
        points = ", ".join([_point(chosen(found[pruner])) for pruner in SPENT] * AGAIN)
        # Another seed has other slices and splits of the data, and begins elsewhere.
        trials = len(SPENT) * AGAIN
        found["again"] = _study(
            world,
            f"again-{seed}",
            trials * EPOCHS,
            pruner="none",
            seed=seed + 100,
            trials=trials,
            points=points,
        )
    return {str(seed): found}


def _study(world: World, name: str, spent: int, **values: object) -> list[dict]:
    subject = world.prepare(STUDY.format(name=name, epochs=EPOCHS, **values), data=world.data)
    live(sys.executable, "-m", "bench.study", "cnn", spent, environ=subject.environ())
    return Database(subject.database_url).rows(QUERY, name=subject.name)


def chosen(trials: list[dict]) -> dict:
    """Return the trial a study goes on with."""
    return max((t for t in trials if t["state"] == "complete"), key=lambda t: t["value"])


def _point(trial: dict) -> str:
    return (
        "{ " + ", ".join(f"{name} = {value}" for name, value in trial["parameters"].items()) + " }"
    )


def again(seeds: list[list[dict]]) -> Row:
    """Return the row of the chosen trials, trained again: means over seeds of the means of a seed."""
    plain, ours = (
        np.array([np.mean([t["value"] for t in trials[i :: len(SPENT)]]) for trials in seeds])
        for i in range(len(SPENT))
    )
    _difference(
        "search: the trial hyperband chose, trained again, less the unpruned study's", ours - plain
    )
    ratios, limit = ours / plain, float(plain.mean()) - MARGIN
    values = (
        float(ours.mean()),
        float(plain.mean()),
        float(np.median(ratios)),
        (float(ratios.min()), float(ratios.max())),
    )
    return Row(
        "search: the chosen trial, trained again", "accuracy", *values, len(seeds), limit=limit
    )


def text(seeds: dict) -> str:
    """Return the trials of all seeds as JSON, one a line."""
    studies = {
        seed: ",\n".join(
            f'"{pruner}": [\n' + ",\n".join(map(json.dumps, trials)) + "\n]"
            for pruner, trials in of.items()
        )
        for seed, of in seeds.items()
    }
    return (
        '{"seeds": {\n'
        + ",\n".join(f'"{seed}": {{\n{of}\n}}' for seed, of in studies.items())
        + "\n}}\n"
    )


def curve(trials: list[dict]) -> list[tuple[int, float]]:
    """Return after each trial the epochs spent so far and the best value of a complete trial, 0 before there is one."""
    spent, best, points = 0, 0.0, []
    for trial in trials:
        spent += trial["epochs"]
        best = max(best, trial["value"]) if trial["state"] == "complete" else best
        points.append((spent, best))
    return points


def reached(points: list[tuple[int, float]], target: float, otherwise: int) -> int:
    """Return the epochs spent when a curve reached a value."""
    return next((spent for spent, best in points if best >= target), otherwise)


def best_at(points: list[tuple[int, float]], spent: float) -> float:
    """Return the best value a curve had when so many epochs were spent."""
    return max((best for epochs, best in points if epochs <= spent), default=0.0)


def _tell(plain: list, ours: list) -> None:
    """Print the paired difference at a third of the unpruned study's epochs, and how many trials that paid for."""
    differences = np.array(
        [best_at(o, p[-1][0] * SHARE) - p[-1][1] for p, o in zip(plain, ours, strict=True)]
    )
    _difference(
        "search: hyperband at a third of the epochs less the unpruned study at its end", differences
    )
    trials = [len(o) for o in ours]
    print(
        f"search: they paid for {min(trials)} to {max(trials)} trials, without a pruner all for {TRIALS}",
        flush=True,
    )


def _difference(name: str, differences: np.ndarray) -> None:
    """Print the mean of paired differences with its interval over seeds."""
    low, high = interval(differences) if len(differences) > 1 else (math.nan, math.nan)
    print(
        f"{name}: {differences.mean():+.4f} ({low:+.4f} to {high:+.4f}, n = {len(differences)} seeds; margin {MARGIN:g})",
        flush=True,
    )


def _picture(plain: list, ours: list) -> matplotlib.figure.Figure:
    """Return the curves of both: best validation accuracy against epochs spent, mean over the seeds and their range."""
    figure = matplotlib.figure.Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, curves, color in (("hyperband", ours, "#0b6e99"), ("no pruner", plain, "#b3541e")):
        spent = np.arange(max(c[0][0] for c in curves), min(c[-1][0] for c in curves) + 1)
        best = np.array([[best_at(c, s) for s in spent] for c in curves])
        axes.fill_between(spent, best.min(0), best.max(0), color=color, alpha=0.15, linewidth=0)
        axes.plot(
            spent,
            best.mean(0),
            color=color,
            label=f"{name} (mean and range of {len(curves)} seeds)",
        )
    axes.axvline(TRIALS * EPOCHS * SHARE, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(xlabel="epochs spent", ylabel="best validation accuracy so far")
    axes.legend(loc="lower right", frameon=False)
    return figure
