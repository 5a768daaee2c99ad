"""What a full report would contain and this one lacks, in sentences."""

from collections import Counter
from collections.abc import Iterator

from job.report.model_format import Folds, ModelEntry
from job.report.results import Collected, Model, Task


def no_score_reason(model: Model) -> str | None:
    """Return why a model can get no mean fold score without `job retry`, or None if it can."""
    for stage in ("features", "fold"):
        if failed := model.stage(stage, "failed"):
            return f"{stage} {failed[0].index} failed for good ({failed[0].reason})"
    trials = model.stage("trial")
    if trials and not model.selection and all(t.state in ("pruned", "failed") for t in trials):
        return "no trial is complete"
    return None


def no_winner_reason(collected: Collected) -> str | None:
    """Return why no model can get a mean fold score without `job retry`, or None if one can."""
    reasons = {name: no_score_reason(model) for name, model in collected.models.items()}
    if not all(reasons.values()):
        return None
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def missing(collected: Collected, models: dict[str, ModelEntry]) -> list[str]:
    """Return one sentence for each thing that this report lacks.

    Args:
        models: report.json's entries, by model.
    """
    sentences = []
    for name, model in collected.models.items():
        sentences += _missing_of(model, models[name]["fold"])
    return sentences + [f"{problem}." for problem in collected.problems]


def _missing_of(model: Model, fold: Folds) -> Iterator[str]:
    reason = no_score_reason(model)
    if reason:
        yield f"{model.name} is out of the comparison: {reason}."
    for stage, tasks in model.tasks.items():
        if lacking := _lacking(stage, tasks):
            counts = ", ".join(f"{n} {state}" for state, n in lacking.items())
            total = sum(lacking.values())
            yield f"{model.name}: {total} of {len(tasks)} {stage} tasks missing ({counts})."
    if fold["mean"] is None and not reason:
        yield f"{model.name} has no mean fold score: that needs every fold."
    elif fold["mean"] is not None and fold["out_of_fold"] is None:
        yield (
            f"{model.name} has no pooled out-of-fold accuracy:"
            " its folds do not predict every training image exactly once."
        )


def _lacking(stage: str, tasks: list[Task]) -> dict[str, int]:
    """Return how many tasks lack a result, by state. A failed trial is a result, not a gap."""
    states = ("running", "waiting") if stage == "trial" else ("running", "waiting", "failed")
    counts = count_states(tasks)
    return {state: counts[state] for state in states if state in counts}


def count_states(tasks: list[Task]) -> dict[str, int]:
    """Return how many tasks are in each state that occurs."""
    return dict(Counter(task.state for task in tasks))
