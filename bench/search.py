"""Compare hyperband with no pruner on `cnn`: the best accuracy by epochs spent.

Each round has one seed, and time does not count.

Hyperband begins as many trials as a third of the epochs pays for.
The margin of one point was fixed before the first study was run.

The best of many complete trials owes more to luck than the best of few, and pruned trials have no
value. Therefore the trials that both studies choose are trained again, on other images, in turn.
This was added after nine seeds, before any trial was trained again.
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

TRIALS = 60
EPOCHS = 27
MARGIN = 0.01
SHARE = 1 / 3  # of the unpruned study's epochs
AT_ONCE = 2
AGAIN = 5  # trainings of each chosen trial
ENOUGH = 4 * TRIALS  # trials for hyperband: more than it can begin
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

# The value and the epochs of each trial, in the order they were run.
QUERY = """
select t.state, t.value, t.parameters,
       (select count(*) from epoch
        where (experiment, model, stage, index) = (t.experiment, t.model, t.stage, t.index)
       ) as epochs
from task t join experiment e on e.id = t.experiment
where e.name = %(name)s and t.stage = 'trial' and t.attempt > 0
order by t.index
"""


def rows(world: World, rounds: int) -> list[Row]:
    """Return the row of the epochs that hyperband needs, and that of the chosen trials.

    The first row ends at the unpruned study's best accuracy, less the margin. The curves are drawn.
    This takes hours. A seed that is in OUT/search.json is not run again, and each seed is saved
    there as soon as it ends.
    """
    if world.data is None:
        print(
            "No CIFAR-10: the row of the search is left out;"
            " run `make bench DATA=cifar-10-python.tar.gz` to include it",
            flush=True,
        )
        return []
    done = _seeds(world, rounds)
    seeds = [done[str(seed)] for seed in range(1, rounds + 1)]
    plain = [curve(seed["none"]) for seed in seeds]
    ours = [curve(seed["hyperband"]) for seed in seeds]
    _print_difference_at_share(plain, ours)
    _picture(plain, ours).savefig(world.out / "search.png", dpi=120)
    needed = []
    spent = []
    for p, o in zip(plain, ours, strict=True):
        epochs, best = p[-1]
        spent.append(epochs)
        needed.append(reached(o, best - MARGIN, otherwise=epochs))
    name = f"search: epochs to the unpruned best less {MARGIN:g}"
    return [
        compare(name, "epochs", needed, spent, less_is_better=True, goal=1 / SHARE),
        again([seed["again"] for seed in seeds]),
    ]


def _seeds(world: World, rounds: int) -> dict[str, dict]:
    """Run the missing seeds, save each as it ends, and return the trials of all by seed."""
    file = world.out / "search.json"
    done = json.loads(file.read_text())["seeds"] if file.exists() else {}
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        futures = {
            pool.submit(_seed, world, seed, done.get(str(seed), {}))
            for seed in range(1, rounds + 1)
        }
        for future in as_completed(futures):
            done |= future.result()
            new = file.with_suffix(".new")
            new.write_text(text(done))
            new.replace(file)
    finally:
        # After an early end the world kills the processes that still run.
        pool.shutdown(wait=False, cancel_futures=True)
    return done


def _seed(world: World, seed: int, studies: dict[str, list]) -> dict[str, dict]:
    """Run both studies of a seed one after the other, then the trials they chose.

    Returns:
        The trials of each study by seed and study, in the order they were run.
    """
    for pruner, trials in (("none", TRIALS), ("hyperband", ENOUGH)):
        if pruner not in studies:
            values = {"pruner": pruner, "seed": seed, "trials": trials, "points": ""}
            studies[pruner] = _study(world, f"{pruner}-{seed}", SPENT[pruner], **values)
    if "again" not in studies:
        points = ", ".join([_point(chosen(studies[pruner])) for pruner in SPENT] * AGAIN)
        trials = len(SPENT) * AGAIN
        # Each seed has its own samples and splits of the data, and its own initial weights.
        values = {"pruner": "none", "seed": seed + 100, "trials": trials, "points": points}
        studies["again"] = _study(world, f"again-{seed}", trials * EPOCHS, **values)
    return {str(seed): studies}


def _study(world: World, name: str, spent: int, **values: object) -> list[dict]:
    """Run a study until its epochs are spent; return its trials in order."""
    subject = world.prepare(STUDY.format(name=name, epochs=EPOCHS, **values), data=world.data)
    live(sys.executable, "-m", "bench.study", "cnn", spent, environ=subject.environ())
    return Database(subject.database_url).rows(QUERY, name=subject.name)


def chosen(trials: list[dict]) -> dict:
    """Return the complete trial with the best value."""
    return max((t for t in trials if t["state"] == "complete"), key=lambda t: t["value"])


def _point(trial: dict) -> str:
    parameters = ", ".join(f"{name} = {value}" for name, value in trial["parameters"].items())
    return f"{{ {parameters} }}"


def again(seeds: list[list[dict]]) -> Row:
    """Return the row of the chosen trials, trained again: the mean of the seeds' means."""
    plain = _means(seeds, first=0)
    ours = _means(seeds, first=1)
    name = "search: the trial hyperband chose, trained again, less the unpruned study's"
    _print_difference(name, ours - plain)
    ratios = ours / plain
    return Row(
        "search: the chosen trial, trained again",
        "accuracy",
        ours=float(ours.mean()),
        yardstick=float(plain.mean()),
        ratio=float(np.median(ratios)),
        spread=(float(ratios.min()), float(ratios.max())),
        n=len(seeds),
        limit=float(plain.mean()) - MARGIN,
    )


def _means(seeds: list[list[dict]], first: int) -> np.ndarray:
    """Return each seed's mean value of one study's trial: every second one, from `first` on."""
    return np.array(
        [np.mean([t["value"] for t in trials[first :: len(SPENT)]]) for trials in seeds]
    )


def text(seeds: dict) -> str:
    """Return the trials of all seeds as JSON, one trial per line."""
    parts = []
    for seed, studies in seeds.items():
        lists = ",\n".join(_study_text(pruner, trials) for pruner, trials in studies.items())
        parts.append(f'"{seed}": {{\n{lists}\n}}')
    return '{"seeds": {\n' + ",\n".join(parts) + "\n}}\n"


def _study_text(pruner: str, trials: list[dict]) -> str:
    lines = ",\n".join(map(json.dumps, trials))
    return f'"{pruner}": [\n{lines}\n]'


def curve(trials: list[dict]) -> list[tuple[int, float]]:
    """Return a point per trial: the epochs spent so far and the best value of a complete trial.

    The best value is 0 before there is a complete trial.
    """
    spent = 0
    best = 0.0
    points = []
    for trial in trials:
        spent += trial["epochs"]
        best = max(best, trial["value"]) if trial["state"] == "complete" else best
        points.append((spent, best))
    return points


def reached(points: list[tuple[int, float]], target: float, otherwise: int) -> int:
    """Return the epochs spent when a curve first reached the target, else `otherwise`."""
    return next((spent for spent, best in points if best >= target), otherwise)


def best_at(points: list[tuple[int, float]], spent: float) -> float:
    """Return the best value of a curve after some epochs."""
    return max((best for epochs, best in points if epochs <= spent), default=0.0)


def _print_difference_at_share(plain: list, ours: list) -> None:
    """Print the paired difference at a third of the unpruned study's epochs.

    A second line says how many trials those epochs paid for.
    """
    differences = np.array(
        [best_at(o, p[-1][0] * SHARE) - p[-1][1] for p, o in zip(plain, ours, strict=True)]
    )
    name = "search: hyperband at a third of the epochs less the unpruned study at its end"
    _print_difference(name, differences)
    trials = [len(o) for o in ours]
    print(
        f"search: a third of the epochs paid for {min(trials)} to {max(trials)} trials,"
        f" all epochs without a pruner for {TRIALS}",
        flush=True,
    )


def _print_difference(name: str, differences: np.ndarray) -> None:
    """Print the mean of paired differences with its interval over seeds."""
    n = len(differences)
    low, high = interval(differences) if n > 1 else (math.nan, math.nan)
    print(
        f"{name}: {differences.mean():+.4f}"
        f" ({low:+.4f} to {high:+.4f}, n = {n} seeds; margin {MARGIN:g})",
        flush=True,
    )


def _picture(plain: list, ours: list) -> matplotlib.figure.Figure:
    """Draw both curves: the best validation accuracy against the epochs spent.

    The lines are means over the seeds, the areas their ranges.
    """
    figure = matplotlib.figure.Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, curves, color in (("hyperband", ours, "#0b6e99"), ("no pruner", plain, "#b3541e")):
        spent = np.arange(max(c[0][0] for c in curves), min(c[-1][0] for c in curves) + 1)
        best = np.array([[best_at(c, s) for s in spent] for c in curves])
        axes.fill_between(spent, best.min(0), best.max(0), color=color, alpha=0.15, linewidth=0)
        label = f"{name} (mean and range of {len(curves)} seeds)"
        axes.plot(spent, best.mean(0), color=color, label=label)
    axes.axvline(TRIALS * EPOCHS * SHARE, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(xlabel="epochs spent", ylabel="best validation accuracy so far")
    axes.legend(loc="lower right", frameon=False)
    return figure
