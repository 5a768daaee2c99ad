"""What a full report would have and this one has not, in sentences."""

from job.report.collect import Collected, Model, Task


def hopeless(model: Model) -> str | None:
    """Return why a model can get no mean fold score without `job retry`, or None."""
    for stage in ("features", "fold"):
        if failed := model.stage(stage, "failed"):
            return f"{stage} {failed[0].index} failed for good ({failed[0].reason})"
    trials = model.stage("trial")
    if trials and not model.selection and all(t.state in ("pruned", "failed") for t in trials):
        return "no trial is complete"
    return None


def no_winner_ever(collected: Collected) -> str | None:
    """Return why no model can get a mean fold score without `job retry`, or None while one can."""
    why = {name: hopeless(model) for name, model in collected.models.items()}
    return (
        "; ".join(f"{name}: {reason}" for name, reason in why.items())
        if all(why.values())
        else None
    )


def missing(collected: Collected, models: dict) -> list[str]:
    """Return a sentence for each thing a full report would have and this one has not."""
    found = []
    for name, model in collected.models.items():
        if why := hopeless(model):
            found.append(f"{name} is out of the comparison: {why}.")
        for stage, tasks in model.tasks.items():
            there = states(tasks)
            lacking = {s: there[s] for s in ("running", "waiting") if s in there}
            if stage != "trial" and "failed" in there:
                lacking["failed"] = there["failed"]
            if lacking:
                counts = ", ".join(f"{n} {s}" for s, n in lacking.items())
                found.append(
                    f"{name}: {sum(lacking.values())} of {len(tasks)} {stage} tasks missing ({counts})."
                )
        fold = models[name]["fold"]
        if fold["mean"] is None and not hopeless(model):
            found.append(f"{name} has no mean fold score: a missing fold is not averaged away.")
        elif fold["mean"] is not None and fold["out_of_fold"] is None:
            found.append(
                f"{name} has no pooled out-of-fold accuracy: its folds' predictions are not every training image once."
            )
    return found + [f"{problem}." for problem in collected.problems]


def states(tasks: list[Task]) -> dict[str, int]:
    """Return how many tasks are in each state."""
    counted: dict[str, int] = {}
    for task in tasks:
        counted[task.state] = counted.get(task.state, 0) + 1
    return counted
