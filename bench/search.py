"""The cheaper study: hyperband beside no pruner, on `cnn`, best accuracy by epochs spent; one seed a round, and the clock does not count.

Hyperband begins as many trials as a third of the epochs pays for. The margin, one point, was written down before the first study was run.
"""

import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import matplotlib.figure
import numpy as np

from bench.pairs import Row, compare
from bench.world import World, live
from job.database import Database

TRIALS, EPOCHS, MARGIN, SHARE, AT_ONCE = 60, 27, 0.01, 1 / 3, 2
ENOUGH = 4 * TRIALS  # trials for hyperband: more than it gets to
SPENT = {"none": TRIALS * EPOCHS, "hyperband": math.ceil(TRIALS * EPOCHS * SHARE)}

STUDY = """
name = "search-{pruner}-{seed}"
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
        print("No CIFAR-10: the row of the search is left out; `make bench DATA=cifar-10-python.tar.gz` takes it in", flush=True)
        return []
    file = world.out / "search.json"
    done = json.loads(file.read_text())["seeds"] if file.exists() else {}
    todo = [seed for seed in range(1, rounds + 1) if str(seed) not in done]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for future in as_completed({pool.submit(_pair, world, seed) for seed in todo}):
            done |= future.result()
            new = file.with_suffix(".new")
            new.write_text(text(done))
            new.replace(file)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # when we end early, the world ends what runs
    found = [{pruner: curve(trials) for pruner, trials in done[str(seed)].items()} for seed in range(1, rounds + 1)]
    plain, ours = [f["none"] for f in found], [f["hyperband"] for f in found]
    _tell(plain, ours)
    _picture(plain, ours).savefig(world.out / "search.png", dpi=120)
    needed = [reached(o, p[-1][1] - MARGIN, otherwise=p[-1][0]) for p, o in zip(plain, ours, strict=True)]
    return [compare(f"search: epochs to the unpruned best less {MARGIN:g}", "epochs", needed, [p[-1][0] for p in plain], True, 1 / SHARE)]


def _pair(world: World, seed: int) -> dict[str, dict]:
    """Work on both studies of a seed, one after the other; return their trials in the order they were worked on."""
    found = {}
    for pruner, trials in (("none", TRIALS), ("hyperband", ENOUGH)):
        subject = world.prepare(STUDY.format(pruner=pruner, seed=seed, trials=trials, epochs=EPOCHS), data=world.data)
        live(sys.executable, "-m", "bench.study", "cnn", SPENT[pruner], environ=subject.environ())
        found[pruner] = Database(subject.database_url).rows(QUERY, name=subject.name)
    return {str(seed): found}


def text(seeds: dict) -> str:
    """Return the trials of all seeds as JSON, one a line."""
    studies = {
        seed: ",\n".join(f'"{pruner}": [\n' + ",\n".join(map(json.dumps, trials)) + "\n]" for pruner, trials in of.items())
        for seed, of in seeds.items()
    }
    return '{"seeds": {\n' + ",\n".join(f'"{seed}": {{\n{of}\n}}' for seed, of in studies.items()) + "\n}}\n"


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
    """Print the paired difference at a third of the unpruned study's epochs, with its interval over seeds."""
    from scipy import stats

    differences = np.array([best_at(o, p[-1][0] * SHARE) - p[-1][1] for p, o in zip(plain, ours, strict=True)])
    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / n**0.5 if n > 1 else float("nan")
    trials = [len(o) for o in ours]
    print(
        f"search: hyperband at a third of the epochs less the unpruned study at its end: {differences.mean():+.4f} "
        f"({differences.mean() - half:+.4f} to {differences.mean() + half:+.4f}, n = {n} seeds; margin {MARGIN:g}); "
        f"they paid for {min(trials)} to {max(trials)} trials, without a pruner all for {TRIALS}",
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
        axes.plot(spent, best.mean(0), color=color, label=f"{name} (mean and range of {len(curves)} seeds)")
    axes.axvline(TRIALS * EPOCHS * SHARE, color="0.5", linewidth=0.8, linestyle=":")
    axes.set(xlabel="epochs spent", ylabel="best validation accuracy so far")
    axes.legend(loc="lower right", frameon=False)
    return figure
