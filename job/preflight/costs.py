"""What an experiment costs, told from one model measured (`probe`)."""

import math

from job.experiment.experiment import Experiment


def costs(experiment: Experiment, model: str, train: int, found: dict) -> dict:
    """Return seconds an epoch of a trial by batch size, of the features, and device hours of all stages.

    Every trial counts as the costliest one, every epoch with the slower batch size; starts of processes are not counted.
    """
    e, epochs = experiment, experiment.models[model]["epochs"]
    validation = round(e.data["validation"] * train)
    fold = train // e.folds["count"]

    def forward(n: int) -> float:
        return n / found["predict_batch"] * found["predict_s"]

    def epoch(n: int, scored: int) -> dict:
        return {
            batch: math.ceil(n / int(batch)) * s + forward(scored)
            for batch, s in found["step_s"].items()
        }

    features_s = train / found["predict_batch"] * found["features_s"]
    trial = epoch(train - validation, validation)
    seconds = epochs * (
        e.search["trials"] * max(trial.values())
        + e.folds["count"] * max(epoch(train - fold, fold).values())
        + e.final["seeds"] * max(epoch(train, 0).values())
    )
    return {
        "epoch_s": trial,
        "features_s": features_s,
        "device_hours": (seconds + features_s) / 3600,
    }


def device_time(hours: float) -> str:
    """Return device hours as a person says them."""
    return (
        f"{hours * 60:.2g} device minutes"
        if hours < 1
        else f"{hours:,.0f} device hours"
        if hours >= 10
        else f"{hours:.1f} device hours"
    )
