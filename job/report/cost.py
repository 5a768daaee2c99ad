"""What an experiment cost and what it ran on: time, attempts, test part openings, versions."""

import json
from collections import Counter

from job.report.results import Attempt, Collected

PARTS = ("import", "stage", "build", "train", "evaluate", "upload")  # as attempts store them
STAGES = ("features", "trial", "fold", "final")
OUTCOMES = ("complete", "pruned", "interrupted", "error", "vanished", "running")
ORIGIN_KEYS = (
    "versions",
    "git_commit",
    "image_digest",
    "device",
    "dtype",
    "machines",
    "threads",
)


def cost(collected: Collected, model: str | None = None) -> dict[str, float]:
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


def times(collected: Collected) -> list[dict]:
    """Return where the time of each model's stages went, over all their attempts.

    Returns:
        Seconds per part, the rest (other_s), the total (wall_s), and how much of it was lost.
    """
    entries = []
    for model in collected.models:
        for stage in STAGES:
            own = [a for a in collected.attempts if (a.model, a.stage) == (model, stage)]
            if own:
                entries.append({"model": model, "stage": stage, **_times_of(own)})
    return entries


def _times_of(attempts: list[Attempt]) -> dict:
    parts = {f"{part}_s": float(sum(_seconds(a, part) for a in attempts)) for part in PARTS}
    wall_s = float(sum(a.wall_s for a in attempts))
    return {
        "attempts": len(attempts),
        **parts,
        "other_s": max(wall_s - sum(parts.values()), 0.0),
        "wall_s": wall_s,
        "lost_s": float(sum(a.lost_s for a in attempts)),
    }


def _seconds(attempt: Attempt, part: str) -> float:
    """Return the time of one part; an attempt that reported none has all its time in the rest."""
    return attempt.seconds.get(part) or 0.0


def attempts(collected: Collected) -> dict[str, int]:
    """Return how many tasks and attempts there are, and how many attempts by outcome."""
    outcomes = [a.outcome or "running" for a in collected.attempts]
    tasks = [t for m in collected.models.values() for stage in m.tasks.values() for t in stage]
    return {
        "tasks": len(tasks),
        "attempts": len(outcomes),
        **{outcome: outcomes.count(outcome) for outcome in OUTCOMES},
    }


def openings(collected: Collected) -> dict:
    """Return how often the test part was opened, in all and by model, and for how many finals."""
    finals = sum(len(m.stage("final", "complete")) for m in collected.models.values())
    by_model = Counter(opening["model"] for opening in collected.openings)
    return {"total": len(collected.openings), "finals": finals, "models": dict(by_model)}


def versions(collected: Collected) -> list[dict]:
    """Return each distinct origin of folds and finals, with how many results it made.

    An origin is versions, commit, image, device, dtype, machines and threads.
    """
    origins: dict[str, dict] = {}
    for model in collected.models.values():
        for result in model.results.values():
            origin = {key: result.get(key) for key in ORIGIN_KEYS}
            text = json.dumps(origin, sort_keys=True)
            origins.setdefault(text, origin | {"results": 0})["results"] += 1
    return list(origins.values())
