"""What an experiment cost and who made it: time, attempts, openings of the test part, versions."""

import json

from job.report.collect import Attempt, Collected

PARTS = (
    "import",
    "stage",
    "build",
    "train",
    "evaluate",
    "upload",
)  # of a worker's life, as attempts store them
STAGES = ("features", "trial", "fold", "final")


def cost(collected: Collected, model: str | None = None) -> dict:
    """Return wall_s (first start to last end), train_s (training in the attempts that decided) and lost_s (see job.coordination.attempt.lost_s)."""
    attempts = [a for a in collected.attempts if model in (None, a.model)]
    ends = [a.ended or a.last_beat for a in attempts]
    return {
        "wall_s": (max(ends) - min(a.started for a in attempts)).total_seconds()
        if attempts
        else 0.0,
        "train_s": float(
            sum(_seconds(a, "train") for a in attempts if a.outcome in ("complete", "pruned"))
        ),
        "lost_s": float(sum(a.lost_s for a in attempts)),
    }


def times(collected: Collected) -> list[dict]:
    """Return where the time of each model's stages went: seconds by part, and the rest, over all their attempts; and how much of it was lost."""
    found = []
    for model in collected.models:
        for stage in STAGES:
            own = [a for a in collected.attempts if (a.model, a.stage) == (model, stage)]
            if not own:
                continue
            parts = {f"{part}_s": float(sum(_seconds(a, part) for a in own)) for part in PARTS}
            wall_s = float(sum(a.wall_s for a in own))
            rest = max(wall_s - sum(parts.values()), 0.0)
            lost_s = float(sum(a.lost_s for a in own))
            found.append(
                {
                    "model": model,
                    "stage": stage,
                    "attempts": len(own),
                    **parts,
                    "other_s": rest,
                    "wall_s": wall_s,
                    "lost_s": lost_s,
                }
            )
    return found


def _seconds(attempt: Attempt, part: str) -> float:
    """Return the time of a part that an attempt told; one that told nothing has all its time in the rest."""
    return attempt.seconds.get(part) or 0.0


def attempts(collected: Collected) -> dict:
    outcomes = [a.outcome or "running" for a in collected.attempts]
    tasks = [t for m in collected.models.values() for stage in m.tasks.values() for t in stage]
    return {
        "tasks": len(tasks),
        "attempts": len(outcomes),
        **{
            o: outcomes.count(o)
            for o in ("complete", "pruned", "interrupted", "error", "vanished", "running")
        },
    }


def openings(collected: Collected) -> dict:
    counted: dict[str, int] = {}
    for opening in collected.openings:
        counted[opening["model"]] = counted.get(opening["model"], 0) + 1
    finals = sum(len(m.stage("final", "complete")) for m in collected.models.values())
    return {"total": len(collected.openings), "finals": finals, "models": counted}


def versions(collected: Collected) -> list[dict]:
    """Return each distinct (versions, commit, image, device, dtype, machines, threads) and how many folds and finals it made."""
    found: dict[str, dict] = {}
    for model in collected.models.values():
        for result in model.results.values():
            own = {
                k: result.get(k)
                for k in (
                    "versions",
                    "git_commit",
                    "image_digest",
                    "device",
                    "dtype",
                    "machines",
                    "threads",
                )
            }
            found.setdefault(json.dumps(own, sort_keys=True), own | {"results": 0})["results"] += 1
    return list(found.values())
