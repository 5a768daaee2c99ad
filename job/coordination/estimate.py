# pyright: strict
"""How long an experiment will take, and how fast it is now."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from job.coordination.counts import Stages, reachable
from job.coordination.registered import Registered

# Stage and model.
Part = tuple[str, str]


def expected_s(registered: Registered, rows: Sequence[Mapping[str, Any]]) -> dict[Part, float]:
    """Return the seconds that a task of each stage and model will take.

    They are what decided tasks took, pruned ones among them. Folds and finals, until one is
    decided, take what complete trials took, in proportion to the images they train on.

    Args: rows: the rows of `seconds`.
    """
    experiment = registered.experiment
    data = registered.data
    expected = {(row["stage"], row["model"]): row["mean_s"] for row in rows}
    shares = {"fold": 1 - 1 / experiment.folds.count, "final": 1.0}
    for row in rows:
        if row["stage"] == "trial" and row["complete_s"] is not None:
            # The repeats of a trial leave out different images.
            whole_s = row["complete_s"] / (experiment.repeats - data.validation / data.train)
            for stage, share in shares.items():
                expected.setdefault((stage, row["model"]), whole_s * share)
    return expected


def time_left(
    stages: Stages, mean_s: Mapping[Part, float], running: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return an estimate of the seconds to the end, and how it came about.

    Args:
        stages: the tasks by stage, model and state.
        mean_s: seconds that a task takes, by stage and model.
        running: the rows of `running`; as many run at a time from now on.

    Returns: `left_s` (None while nothing is known or nothing runs), `work_s` (what is left for one
        worker), `workers` (those with a lease), `unknown` (the stages about which nothing is known
        yet, so not in the sum).
    """
    alive = [row for row in running if row["lease_left_s"] > 0]
    work_s = 0.0
    longest_s = 0.0
    unknown: list[str] = []
    for part in reachable(stages):
        if not part.undecided:
            continue
        mean = mean_s.get((part.stage, part.model))
        if mean is None:
            unknown.append(f"{part.stage} {part.model}")
            continue
        begun = [
            max(mean - row["running_s"], 0.0)
            for row in alive
            if (row["stage"], row["model"]) == (part.stage, part.model)
        ]
        untouched = part.undecided - len(begun)
        work_s += untouched * mean + sum(begun)
        longest_s = max([longest_s, *begun, mean if untouched else 0.0])
    return {
        "left_s": _left_s(work_s, longest_s, len(alive), bool(unknown)),
        "work_s": round(work_s, 1),
        "workers": len(alive),
        "unknown": unknown,
    }


def _left_s(work_s: float, longest_s: float, workers: int, is_unknown: bool) -> float | None:
    """Return the seconds to the end, None while nothing is known or nothing runs."""
    if not work_s:
        return None if is_unknown else 0.0
    if not workers:
        return None
    return round(max(work_s / workers, longest_s), 1)


def speeds(
    registered: Registered, stages: Stages, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the images per second of each stage and model that runs.

    That is what an attempt saved per second of its life, times the number of those running.

    Args:
        registered: the experiment.
        stages: the tasks by stage, model and state.
        rows: the rows of `speed`.
    """
    images: dict[Part, float] = {}
    seconds: dict[Part, float] = {}
    for row in rows:
        part = (row["stage"], row["model"])
        saved = row["steps"] * _images_per_step(registered, row)
        images[part] = images.get(part, 0.0) + saved
        seconds[part] = seconds.get(part, 0.0) + row["seconds"]
    result: list[dict[str, Any]] = []
    for (stage, model), saved in images.items():
        running = stages[stage][model]["running"]
        if running and saved:
            rate = round(saved / seconds[stage, model] * running, 1)
            result.append({"stage": stage, "model": model, "images_per_s": rate})
    return result


def _images_per_step(registered: Registered, row: Mapping[str, Any]) -> float:
    """Return how many training images a step has on average.

    The last batch of an epoch is what is left over.
    """
    if row["stage"] == "features":
        return 1.0
    experiment = registered.experiment
    images = registered.data.train
    if row["stage"] == "trial":
        images -= registered.data.validation / experiment.repeats
    elif row["stage"] == "fold":
        images -= images / experiment.folds.count
    batch = int(row["batch_size"] or experiment.fixed(row["model"]).get("batch_size", 0))
    # Without a batch size the task has no parameters yet, and so no step.
    return images / math.ceil(images / batch) if batch else 0.0
