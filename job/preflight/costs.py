"""The cost of an experiment, extrapolated from the measurement of one model (`probe`)."""

import math
from typing import Any

from job.experiment.experiment import Experiment

SHIPPED_FRACTION = 0.2  # what a shipped validation part counts as


def costs(experiment: Experiment, model: str, train: int, measured: dict[str, Any]) -> dict:
    """Return the cost of one model over all stages.

    Every trial counts as the costliest one, and every epoch takes the slower batch size. The
    startup of processes is not counted.

    Args:
        experiment: the experiment.
        model: one of its models.
        train: number of training images.
        measured: the answer of `probe.measure` for this model.

    Returns:
        epoch_s: seconds per epoch of a trial, by batch size.
        features_s: seconds for all features of the training images.
        device_hours: hours of all stages together.
    """
    epochs = experiment.models[model]["epochs"]
    folds = experiment.folds.count
    fraction = experiment.data.validation
    validation = round((SHIPPED_FRACTION if isinstance(fraction, str) else fraction) * train)
    fold = train // folds

    def epoch(trained: int, scored: int) -> dict[str, float]:
        scoring_s = scored / measured["predict_batch"] * measured["predict_s"]
        return {
            batch: math.ceil(trained / int(batch)) * step_s + scoring_s
            for batch, step_s in measured["step_s"].items()
        }

    features_s = train / measured["predict_batch"] * measured["features_s"]
    trial = epoch(train - validation, validation)
    seconds = epochs * (
        experiment.search.trials * experiment.repeats * max(trial.values())
        + folds * max(epoch(train - fold, fold).values())
        + experiment.final.seeds * max(epoch(train, 0).values())
    )
    device_hours = (seconds + features_s) / 3600
    return {"epoch_s": trial, "features_s": features_s, "device_hours": device_hours}


def device_time(hours: float) -> str:
    """Return device hours in words, rounded to what a person needs."""
    if hours < 1:
        return f"{hours * 60:.2g} device minutes"
    if hours < 10:
        return f"{hours:.1f} device hours"
    return f"{hours:,.0f} device hours"
