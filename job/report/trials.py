"""What a model's trials show together: the best one, its equals, and which parameters matter."""

import math

from job.coordination import study
from job.learning import evaluate
from job.learning.scores import losses_of
from job.report.metrics import BOOTSTRAP_SEED
from job.report.model_format import Best, Importances
from job.report.results import Collected, Model, Task

MIN_TRIALS = 20  # with fewer complete trials, a forest of trees learns noise
MOST_TRIALS = 400  # fANOVA takes 3 s for these; for 2,000 it takes minutes and says the same


def best(model: Model, collected: Collected) -> Best | None:
    """Return the best complete trial so far.

    Returns:
        index, value, interval (95 %, or None), and within: how many other complete trials lie in
        the interval. It covers validation images only, and is not corrected for the best of many.
    """
    trial = model.best_trial(collected.experiment.direction)
    if trial is None or trial.value is None:
        return None
    interval = _interval(model, trial, trial.value, collected)
    others = [value for other, value in model.scored_trials() if other.index != trial.index]
    within = None
    if interval:
        within = sum(interval[0] <= value <= interval[1] for value in others)
    return {"index": trial.index, "value": trial.value, "interval": interval, "within": within}


def _interval(model: Model, trial: Task, value: float, collected: Collected) -> list[float] | None:
    """Return the 95 % interval of a trial's score.

    It is Wilson's for accuracy, else a bootstrap, or None where its predictions are missing.
    """
    metric = collected.experiment.search.metric
    if metric == "accuracy":
        n = collected.data.validation
        return evaluate.wilson(round(value * n), n) if n else None
    predictions = model.predictions.get(("trial", trial.index))
    if predictions is None:
        return None
    return evaluate.bootstrap_interval(
        evaluate.SCORE_OF_METRIC[metric],
        predictions.labels,
        predictions.guesses,
        losses_of(predictions.truth),
        predictions.classes,
        BOOTSTRAP_SEED,
        method=collected.experiment.method,
    )


def importances(model: Model, collected: Collected) -> Importances:
    """Return the importance of each searched parameter, or why there is none.

    Returns:
        trials: the number of complete trials used, spread evenly over all of them.
        values: parameter -> share of 0..1, largest first, or None.
        reason: why `values` is None, or None.
    """
    scored = [(t.parameters, value) for t, value in model.scored_trials() if t.parameters]
    step = max(math.ceil(len(scored) / MOST_TRIALS), 1)
    used = scored[::step]
    reason = _no_importances_reason(model, collected, used)
    values = None
    if reason is None:
        values = study.importances(collected.experiment, model.name, used)
    return {"trials": len(used), "values": values, "reason": reason}


def _no_importances_reason(
    model: Model, collected: Collected, scored: list[tuple[dict, float]]
) -> str | None:
    if len(scored) < MIN_TRIALS:
        return f"{len(scored)} complete trials are too few, {MIN_TRIALS} are needed"
    if len({value for _, value in scored}) == 1:
        return "all complete trials have the same value"
    if not collected.experiment.space(model.name):
        return "nothing was searched"
    return None
