"""What is done, what runs where, how long it will take: from the database only, every figure of one moment."""

import math

from job.coordination.database import Database, queries
from job.coordination.tasks import Registered
from job.errors import NotReady
from job.experiment.experiment import METRICS, STAGES

SQL = queries("status")
STATES = ("waiting", "running", "complete", "pruned", "failed")
WINDOW_S = 600.0  # images a second are those of the last ten minutes


def collect(database: Database, registered: Registered) -> dict:
    """Return the state of an experiment, as `job status --json` gives it."""
    values = {
        "experiment": registered.id,
        "sign": registered.experiment.sign,
        "window_s": WINDOW_S,
        "models": list(registered.experiment.models),
    }
    names = (
        "states",
        "running",
        "failed",
        "best",
        "selected",
        "folds",
        "attempts",
        "seconds",
        "speed",
        "notes",
    )
    rows = database.run(lambda cursor: _snapshot(cursor, names, values))
    stages = _counted(rows["states"])
    left, total = (
        undecided(stages),
        sum(sum(counts.values()) for models in stages.values() for counts in models.values()),
    )
    mean_s = {(r["stage"], r["model"]): r["mean_s"] for r in rows["seconds"]}
    return {
        "experiment": registered.experiment.name,
        "id": registered.id,
        "metric": registered.experiment.search["metric"],
        "tasks": total,
        "undecided": sum(left.values()),
        "stages": stages,
        "models": {
            m: _results(rows, m, registered.experiment.folds["count"])
            for m in registered.experiment.models
        },
        "attempts": {r["outcome"]: r["attempts"] for r in rows["attempts"]},
        "images_per_s": _speeds(registered, stages, rows["speed"]),
        "task_s": [
            {"stage": stage, "model": model, "mean_s": seconds}
            for (stage, model), seconds in mean_s.items()
        ],
        "time_left": time_left(stages, _expected(registered, rows["seconds"]), rows["running"]),
        "running": rows["running"],
        "failed": rows["failed"],
        "notes": [*registered.experiment.notes, *(row["note"] for row in rows["notes"])],
    }


def check_all_decided(database: Database, registered: Registered) -> None:
    """Raise `NotReady` while there are tasks that somebody may still decide."""
    left = undecided(_counted(database.rows(SQL["states"], experiment=registered.id)))
    if left:
        raise NotReady(
            f"not every task is decided: {', '.join(f'{n} of {stage}' for stage, n in left.items())} to go"
        )


def may_be_decided(database: Database, registered: Registered, model: str, stage: str) -> bool:
    """Tell whether a model's tasks of a stage can still be decided."""
    counted = _counted(database.rows(SQL["states"], experiment=registered.id))
    return (stage, model) in {(s, m) for s, m, _ in reachable(counted)}


def undecided(stages: dict) -> dict[str, int]:
    """Return the number of tasks that may still be decided, by stage."""
    left = dict.fromkeys(STAGES, 0)
    for stage, _, counts in reachable(stages):
        left[stage] += counts["waiting"] + counts["running"]
    return {stage: n for stage, n in left.items() if n}


def reachable(stages: dict) -> list[tuple[str, str, dict]]:
    """Return stage, model and counts by state of every stage whose tasks can be decided.

    Those behind a stage that ended without what they need never will be: a failed shard of features, no complete trial.
    """
    found = []
    for model in {model: None for models in stages.values() for model in models}:
        for stage in STAGES:
            counts = stages[stage].get(model)
            if counts is None:
                continue
            found.append((stage, model, counts))
            open_ = counts["waiting"] + counts["running"]
            if (stage == "features" and counts["failed"]) or (
                stage == "trial" and not open_ + counts["complete"]
            ):
                break
    return found


def _expected(registered: Registered, seconds: list[dict]) -> dict:
    """Return the seconds a task of each stage and model will take: what decided ones took, pruned ones among them.

    Folds and finals, until one is decided: what complete trials took, in proportion to the images they train on.
    """
    experiment, data = registered.experiment, registered.data
    found = {(r["stage"], r["model"]): r["mean_s"] for r in seconds}
    shares = {"fold": 1 - 1 / experiment.folds["count"], "final": 1.0}
    for r in seconds:
        if r["stage"] == "trial" and r["complete_s"] is not None:
            whole_s = r["complete_s"] / (1 - data["validation"] / data["train"])
            for stage, share in shares.items():
                found.setdefault((stage, r["model"]), whole_s * share)
    return found


def time_left(stages: dict, mean_s: dict, running: list[dict]) -> dict:
    """Return an estimate of the seconds to the end, and how it came about.

    Args:
        mean_s: seconds that a task takes, by stage and model; as many run at a time as now.

    Returns: `left_s` (None while nothing is known or nothing runs), `work_s` (what is left for one worker), `workers` (those with
        a lease), `unknown` (the stages of which nothing is known yet, so not in the sum).
    """
    alive = [r for r in running if r["lease_left_s"] > 0]
    work, longest, unknown = 0.0, 0.0, []
    for stage, model, counts in reachable(stages):
        if not counts["waiting"] + counts["running"]:
            continue
        if (mean := mean_s.get((stage, model))) is None:
            unknown.append(f"{stage} {model}")
            continue
        begun = [
            max(mean - r["running_s"], 0.0)
            for r in alive
            if (r["stage"], r["model"]) == (stage, model)
        ]
        untouched = counts["waiting"] + counts["running"] - len(begun)
        work += untouched * mean + sum(begun)
        longest = max([longest, *begun, mean if untouched else 0.0])
    known = bool(alive) and not (unknown and not work)
    decided = not work and not unknown
    return {
        "left_s": 0.0 if decided else round(max(work / len(alive), longest), 1) if known else None,
        "work_s": round(work, 1),
        "workers": len(alive),
        "unknown": unknown,
    }


def experiments(database: Database) -> list[dict]:
    """Return every experiment of the database, oldest first, as `job list --json` gives it."""
    database.check_schema()
    rows = database.run(
        lambda cursor: _snapshot(cursor, ("experiments", "all_states", "scores"), {})
    )
    return [
        _entry(
            row,
            *(
                [r for r in rows[name] if r["experiment"] == row["id"]]
                for name in ("all_states", "scores")
            ),
        )
        for row in rows["experiments"]
    ]


def _entry(row: dict, states: list[dict], scores: list[dict]) -> dict:
    stages = _counted(states)
    counts = {
        state: sum(models["tasks"] for models in states if models["state"] == state)
        for state in STATES
    }
    left = sum(undecided(stages).values())
    return {
        "name": row["name"],
        "id": row["id"],
        "created": row["created"].isoformat(timespec="seconds"),
        "tasks": sum(counts.values()),
        "decided": counts["complete"] + counts["pruned"] + counts["failed"],
        "undecided": left,
        "running": counts["running"],
        "failed": counts["failed"],
        "metric": row["metric"],
        "best": _leader(scores, METRICS[row["metric"]] == "maximize", over=not left),
    }


def _leader(scores: list[dict], upwards: bool, over: bool) -> dict | None:
    """Return who leads: by mean fold score, `won` once nobody can overtake; before the first such score by the best trial."""
    first = max if upwards else min
    for by, key in (("fold mean", "fold_mean"), ("trial", "highest" if upwards else "lowest")):
        if found := [(s[key], s["model"]) for s in scores if s[key] is not None]:
            value, model = first(found, key=lambda pair: pair[0])
            return {"model": model, "value": value, "by": by, "won": over and by == "fold mean"}
    return None


def _snapshot(cursor, names: tuple[str, ...], values: dict) -> dict[str, list[dict]]:
    """Read at one moment, so that no figure contradicts another."""
    cursor.execute(SQL["snapshot"])
    rows = {}
    for name in names:
        cursor.execute(SQL[name], values)
        rows[name] = [dict(row) for row in cursor.fetchall()]
    return rows


def _counted(rows: list[dict]) -> dict:
    """Return the counts as stage -> model -> state -> tasks."""
    stages = {stage: {} for stage in STAGES}
    for row in rows:
        stages[row["stage"]].setdefault(row["model"], dict.fromkeys(STATES, 0))[row["state"]] = row[
            "tasks"
        ]
    return stages


def _results(rows: dict, model: str, folds: int) -> dict:
    """Return what a model has come to: its best trial so far, the selected one, the mean of its complete folds."""

    def of(name: str) -> dict | None:
        return next(
            (
                {k: v for k, v in row.items() if k != "model"}
                for row in rows[name]
                if row["model"] == model
            ),
            None,
        )

    return {
        "best": of("best"),
        "selected": of("selected"),
        "folds": (of("folds") or {"folds": 0, "mean": None}) | {"of": folds},
    }


def _speeds(registered: Registered, stages: dict, rows: list[dict]) -> list[dict]:
    """Return the images a second of each stage and model that runs: what an attempt saved in a second of its life, times those running."""
    found = {}
    for row in rows:
        images = row["steps"] * _images_per_step(registered, row)
        sums = found.setdefault((row["stage"], row["model"]), [0.0, 0.0])
        sums[0], sums[1] = sums[0] + images, sums[1] + row["seconds"]
    speeds = []
    for (stage, model), (images, seconds) in found.items():
        running = stages[stage][model]["running"]
        if running and images:
            speeds.append(
                {
                    "stage": stage,
                    "model": model,
                    "images_per_s": round(images / seconds * running, 1),
                }
            )
    return speeds


def _images_per_step(registered: Registered, row: dict) -> float:
    """Return how many training images a step is on average: the last batch of an epoch is what is left over."""
    if row["stage"] == "features":
        return 1.0
    n, experiment = registered.data["train"], registered.experiment
    if row["stage"] == "trial":
        n -= registered.data["validation"]
    elif row["stage"] == "fold":
        n -= n / experiment.folds["count"]
    batch = int(row["batch_size"] or experiment.fixed(row["model"]).get("batch_size", 0))
    return n / math.ceil(n / batch) if batch else 0.0  # it has no parameters yet, and so no step
