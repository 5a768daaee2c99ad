"""report.json: the figures of an experiment in a stable shape.

No mean is taken over missing values.
"""

import json
import math
from typing import Any, cast

import numpy as np

from job.experiment.manifest import Prepared
from job.learning import evaluate
from job.report.cost import attempts, cost, openings, times, versions
from job.report.entry import entry
from job.report.gaps import missing, no_score_reason
from job.report.metrics import BOOTSTRAP_SEED
from job.report.model_format import ModelEntry
from job.report.predictions import Predictions
from job.report.report_format import Data, Difference, Reference, Report
from job.report.results import Collected

ORIGINAL = "original work"  # its references' names begin with it, in any case
ORIGINAL_N = 100  # the original's two decimals fit about this many images
DATA_KEYS = tuple(key for key in Data.__annotations__ if key != "damaged")


def summarize(collected: Collected) -> Report:
    """Return the content of report.json."""
    experiment = collected.experiment
    metric = experiment.search.metric
    models = {name: entry(model, collected) for name, model in collected.models.items()}
    order = _order(models, evaluate.SCORE_OF_METRIC[metric], experiment.direction)
    winner = _winner(collected, models, order)
    summary: Report = {
        "schema": 1,
        "experiment": experiment.name,
        "experiment_id": collected.id,
        "fingerprint": collected.fingerprint,
        "selected_by": f"fold mean {metric}",
        "metric": metric,
        "direction": experiment.direction,
        "winner": winner,
        "order": order,
        "notice": collected.data.notice,
        "notes": [*experiment.notes, *collected.data.notes],
        "missing": missing(collected, models),
        "references": [reference(r) for r in experiment.references],
        "data": _data(collected.data),
        "models": models,
        "differences": differences(collected, winner),
        "openings": openings(collected),
        "attempts": attempts(collected),
        "versions": versions(collected),
        "cost": cost(collected),
        "times": times(collected),
    }
    return _finite(summary)


def _data(data: Prepared) -> Data:
    """Return what report.json holds about the data: of damaged files only how many there are."""
    as_they_are = cast("Data", {key: getattr(data, key) for key in DATA_KEYS})
    return {**as_they_are, "damaged": len(data.damaged)}


def to_text(summary: Report) -> str:
    """Return the text of report.json. Raises: ValueError for NaN, which never gets into it."""
    return json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def reference(row: dict) -> Reference:
    """Return a published figure as the experiment's file gives it.

    A figure of the original work gets the interval that about 100 images would give it.
    """
    published = cast("Reference", dict(row))
    accuracy = published.get("accuracy")
    if not published["name"].lower().startswith(ORIGINAL) or accuracy is None:
        return published
    hits = accuracy * ORIGINAL_N
    if not math.isclose(hits, round(hits), abs_tol=1e-6):
        return published
    return {**published, "interval_if_100": evaluate.wilson(round(hits), ORIGINAL_N)}


def _order(models: dict[str, ModelEntry], key: str, direction: str) -> list[str]:
    """Return the models that have a mean fold score, best first; ties by the order of the file."""
    means = {name: (model["fold"]["mean"] or {}).get(key) for name, model in models.items()}
    known = {name: mean for name, mean in means.items() if mean is not None}
    sign = -1 if direction == "maximize" else 1
    return sorted(known, key=lambda name: sign * known[name])


def _winner(collected: Collected, models: dict[str, ModelEntry], order: list[str]) -> str | None:
    """Return the first of the order once no other model can overtake it."""
    unscored = [name for name in models if name not in order]
    undecided = [name for name in unscored if not no_score_reason(collected.models[name])]
    return order[0] if order and not undecided else None


def differences(collected: Collected, winner: str | None) -> list[Difference]:
    """Return the winner's test accuracy minus that of each other model, with its interval.

    Both are of seed 0, over the same resamples of the test images.
    """
    finals = {name: m.predictions.get(("final", 0)) for name, m in collected.models.items()}
    first = finals.get(winner) if winner is not None else None
    if first is None:
        return []
    return [
        _difference(first, name, other)
        for name, other in finals.items()
        if name != winner and other is not None
    ]


def _difference(first: Predictions, name: str, other: Predictions) -> Difference:
    a = first.rows.argsort(kind="stable")
    b = other.rows.argsort(kind="stable")
    labels = first.labels[a]
    same_rows = np.array_equal(first.rows[a], other.rows[b])
    if not same_rows or not np.array_equal(labels, other.labels[b]):
        reason = "its test rows are not the winner's"
        return {"model": name, "difference": None, "interval": None, "reason": reason}
    paired = evaluate.paired_difference(labels, first.right[a], other.right[b], BOOTSTRAP_SEED)
    return {"model": name, **paired, "reason": None}


def _finite(value: Any) -> Any:
    """Return `value` with numbers that JSON has: NaN and infinities become null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
