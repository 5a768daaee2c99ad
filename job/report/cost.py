"""What an experiment cost and what it ran on: time, attempts, test part openings, versions."""

import json
from collections import Counter

from job.learning.result_format import Result
from job.report.absent import at, total
from job.report.model_format import Cost
from job.report.report_format import Attempts, Openings, Origin, StageTimes
from job.report.results import Attempt, Collected, Model

PARTS = ("import", "stage", "build", "train", "evaluate", "upload")  # as attempts store them
STAGES = ("features", "trial", "fold", "final")
LONG_WAIT = 0.05  # of the steps' time; a shorter wait for data is not worth a faster disk


def cost(collected: Collected, model: str | None = None) -> Cost:
    """Return the seconds that one model's attempts took, or those of all models.

    Returns:
        wall_s: from the first start to the last end.
        train_s: of training, in the attempts that decided a task.
        lost_s: without a result, as job.coordination.outcome.lost_s counts them.
    """
    attempts = [a for a in collected.attempts if model in (None, a.model)]
    wall_s = 0.0
    if attempts:
        end = max(a.ended or a.last_beat for a in attempts)
        wall_s = (end - min(a.started for a in attempts)).total_seconds()
    decided = [a for a in attempts if a.outcome in ("complete", "pruned")]
    return {
        "wall_s": wall_s,
        "train_s": float(sum(_seconds(a, "train") for a in decided)),
        "lost_s": float(sum(a.lost_s for a in attempts)),
    }


def times(collected: Collected) -> list[StageTimes]:
    """Return where the time of each model's stages went, over all their attempts.

    Returns:
        Seconds per part, the rest (other_s), the total (wall_s), and how much of it was lost.
    """
    entries = []
    for model in collected.models:
        for stage in STAGES:
            own = [a for a in collected.attempts if (a.model, a.stage) == (model, stage)]
            if own:
                entries.append(_times_of(model, stage, own))
    return entries


def _times_of(model: str, stage: str, attempts: list[Attempt]) -> StageTimes:
    parts = {part: float(sum(_seconds(a, part) for a in attempts)) for part in PARTS}
    wall_s = float(sum(a.wall_s for a in attempts))
    return {
        "model": model,
        "stage": stage,
        "attempts": len(attempts),
        "import_s": parts["import"],
        "stage_s": parts["stage"],
        "build_s": parts["build"],
        "train_s": parts["train"],
        "evaluate_s": parts["evaluate"],
        "upload_s": parts["upload"],
        "other_s": max(wall_s - sum(parts.values()), 0.0),
        "wall_s": wall_s,
        "lost_s": float(sum(a.lost_s for a in attempts)),
    }


def _seconds(attempt: Attempt, part: str) -> float:
    """Return the time of one part; an attempt that reported none has all its time in the rest."""
    return attempt.seconds.get(part) or 0.0


def long_wait(model: Model) -> float | None:
    """Return the share of their time that the steps of folds and finals waited for data.

    None where it is at most LONG_WAIT, and where a result of an older version does not say it.
    """
    results = model.results.values()
    steps_s = total(at(result, "feeding", "steps_s") for result in results)
    waited_s = total(at(result, "feeding", "waited_s") for result in results)
    if not steps_s or waited_s is None:
        return None
    share = waited_s / steps_s
    return share if share > LONG_WAIT else None


def attempts(collected: Collected) -> Attempts:
    """Return how many tasks and attempts there are, and how many attempts by outcome."""
    outcomes = [a.outcome or "running" for a in collected.attempts]
    tasks = [t for m in collected.models.values() for stage in m.tasks.values() for t in stage]
    return {
        "tasks": len(tasks),
        "attempts": len(outcomes),
        "complete": outcomes.count("complete"),
        "pruned": outcomes.count("pruned"),
        "interrupted": outcomes.count("interrupted"),
        "error": outcomes.count("error"),
        "vanished": outcomes.count("vanished"),
        "running": outcomes.count("running"),
    }


def openings(collected: Collected) -> Openings:
    """Return how often the test part was opened, in all and by model, and for how many finals."""
    finals = sum(len(m.stage("final", "complete")) for m in collected.models.values())
    by_model = Counter(opening["model"] for opening in collected.openings)
    return {"total": len(collected.openings), "finals": finals, "models": dict(by_model)}


def versions(collected: Collected) -> list[Origin]:
    """Return each distinct origin of folds and finals, with how many results it made.

    An origin is versions, commit, image, device, dtype, machines and threads.
    """
    origins: dict[str, Origin] = {}
    for model in collected.models.values():
        for result in model.results.values():
            origin = _origin(result)
            text = json.dumps(origin, sort_keys=True)
            origins.setdefault(text, origin)["results"] += 1
    return list(origins.values())


def _origin(result: Result) -> Origin:
    """Return the origin of a result, not yet counted; one of an older version may lack keys."""
    return {
        "versions": result.get("versions"),
        "git_commit": result.get("git_commit"),
        "image_digest": result.get("image_digest"),
        "device": result.get("device"),
        "dtype": result.get("dtype"),
        "machines": result.get("machines"),
        "threads": result.get("threads"),
        "results": 0,
    }
