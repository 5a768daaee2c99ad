# pyright: strict
"""How many tasks are in which state, and which of them can still be decided."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from job.experiment.experiment import STAGES

STATES = ("waiting", "running", "complete", "pruned", "failed")

Counts = dict[str, int]
Stages = dict[str, dict[str, Counts]]


class Reachable(NamedTuple):
    """A stage of a model whose tasks can be decided, with its tasks by state."""

    stage: str
    model: str
    counts: Counts

    @property
    def undecided(self) -> int:
        """How many tasks wait or run."""
        return _undecided(self.counts)


def by_stage(rows: Iterable[Mapping[str, Any]]) -> Stages:
    """Return the counts as stage -> model -> state -> tasks.

    Args: rows: each with stage, model, state and tasks.
    """
    stages: Stages = {stage: {} for stage in STAGES}
    for row in rows:
        counts = stages[row["stage"]].setdefault(row["model"], dict.fromkeys(STATES, 0))
        counts[row["state"]] = row["tasks"]
    return stages


def undecided(stages: Stages) -> Counts:
    """Return the number of tasks that may still be decided, by stage."""
    left: Counts = {}
    for reached in reachable(stages):
        left[reached.stage] = left.get(reached.stage, 0) + reached.undecided
    return {stage: left[stage] for stage in STAGES if left.get(stage)}


def reachable(stages: Stages) -> list[Reachable]:
    """Return every stage whose tasks can be decided, by model.

    A stage never can after one that ended without what it needs: a failed shard of features, or
    no complete trial.
    """
    reached: list[Reachable] = []
    for model in dict.fromkeys(model for models in stages.values() for model in models):
        for stage in STAGES:
            counts = stages[stage].get(model)
            if counts is None:
                continue
            reached.append(Reachable(stage, model, counts))
            if _is_dead_end(stage, counts):
                break
    return reached


def _is_dead_end(stage: str, counts: Counts) -> bool:
    """Tell whether the later stages of a model lack what they need from this one."""
    if stage == "features":
        return counts["failed"] > 0
    return stage == "trial" and _undecided(counts) + counts["complete"] == 0


def _undecided(counts: Counts) -> int:
    return counts["waiting"] + counts["running"]
