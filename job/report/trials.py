"""What the trials of a model say together: the best one's interval, who shares it, which parameters matter."""

from job.coordination import study
from job.learning import evaluate
from job.report.collect import Collected, Model, Task

MIN_TRIALS = 20  # complete ones; of fewer a forest of trees learns noise
MOST_TRIALS = 400  # 3 s; of 2,000 fANOVA takes minutes and says the same
BOOTSTRAP_SEED = 0
SCORE = {
    "balanced_accuracy": "balanced_accuracy",
    "f1_macro": "f1",
    "log_loss": "log_loss",
}  # as evaluate.py calls them


def best(model: Model, collected: Collected) -> dict | None:
    """Return the best complete trial so far: index, value, 95 % interval, and how many others lie within it.

    Over validation images only, and not corrected for being the best of many.
    """
    found = model.best_trial(collected.experiment.direction)
    if found is None:
        return None
    band = _interval(model, found, collected)
    others = [
        t.value
        for t in model.stage("trial", "complete")
        if t.value is not None and t.index != found.index
    ]
    return {
        "index": found.index,
        "value": found.value,
        "interval": band,
        "within": sum(band[0] <= value <= band[1] for value in others) if band else None,
    }


def _interval(model: Model, trial: Task, collected: Collected) -> list[float] | None:
    """Return the interval of a trial's score: Wilson for accuracy, else a bootstrap if its predictions are there."""
    metric, n = collected.experiment.search["metric"], collected.data.get("validation")
    if metric == "accuracy":
        return evaluate.wilson(round(trial.value * n), n) if n else None
    said = model.predictions.get(("trial", trial.index))
    if said is None:
        return None
    return evaluate.bootstrap_interval(
        SCORE[metric],
        said.labels,
        said.probabilities,
        BOOTSTRAP_SEED,
        method=collected.experiment.method,
    )


def importances(model: Model, collected: Collected) -> dict:
    """Return the share of each searched parameter in how the values differ, or why there is none.

    Returns: {"trials": complete ones looked at, evenly over all of them, "values": {parameter: share, largest first} or None, "reason": str or None}
    """
    trials = [t for t in model.stage("trial", "complete") if t.value is not None and t.parameters]
    trials = trials[:: -(-len(trials) // MOST_TRIALS) or 1]
    values, reason = None, None
    if len(trials) < MIN_TRIALS:
        reason = f"{len(trials)} complete trials are too few, {MIN_TRIALS} are needed"
    elif len({t.value for t in trials}) == 1:
        reason = "all complete trials have the same value"
    elif not collected.experiment.space(model.name):
        reason = "nothing was searched"
    else:
        values = study.importances(
            collected.experiment, model.name, [(t.parameters, t.value) for t in trials]
        )
    return {"trials": len(trials), "values": values, "reason": reason}
