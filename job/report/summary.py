"""report.json: the figures of an experiment in a stable shape; nothing is averaged over what is missing."""

import csv
import io
import json
import math

import numpy as np

from job.experiment.experiment import NEWEST
from job.learning import evaluate
from job.report.absent import at, pair_at
from job.report.collect import Collected, Model
from job.report.cost import attempts, cost, openings, times, versions
from job.report.gaps import hopeless, missing, states
from job.report.trials import best, importances

SCORES = ("accuracy", "precision", "recall", "f1", "roc_auc", "balanced_accuracy", "log_loss")
METRIC_KEY = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1_macro": "f1",
    "log_loss": "log_loss",
}
BOOTSTRAP_SEED = 0
ORIGINAL = "original work"  # what the name of its references begins with
ORIGINAL_N = 100  # two decimals fit about so many images


def summarise(collected: Collected) -> dict:
    """Return report.json."""
    experiment = collected.experiment
    metric = experiment.search["metric"]
    models = {name: _model(model, collected) for name, model in collected.models.items()}
    order = _order(models, METRIC_KEY[metric], experiment.direction)
    winner = _winner(collected, models, order)
    return _clean(
        {
            "schema": 1,
            "experiment": experiment.name,
            "experiment_id": collected.id,
            "fingerprint": collected.fingerprint,
            "selected_by": f"fold mean {metric}",
            "metric": metric,
            "direction": experiment.direction,
            "winner": winner,
            "order": order,
            "notice": collected.data.get("notice"),
            "notes": [*experiment.notes, *collected.data.get("notes", ())],
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
    )


def to_text(summary: dict) -> str:
    """Return report.json's text; NaN never gets into it."""
    return json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def leaderboard(summary: dict) -> str:
    """Return leaderboard.csv: models by mean fold score; test figures order nothing."""
    text = io.StringIO()
    rows = [_standing(summary, name, rank) for rank, name in enumerate(by_rank(summary), 1)]
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _standing(summary: dict, name: str, rank: int) -> dict:
    """Return a model's row of the leaderboard; without a mean fold score it has no rank."""
    key, model, run = (
        METRIC_KEY[summary["metric"]],
        summary["models"][name],
        published(summary["models"][name]) or {},
    )
    fold = model["fold"]
    low, high = pair_at(fold, "range", key) or (None, None)
    test_low, test_high = pair_at(run, "intervals", "accuracy") or (None, None)
    return {
        "rank": rank if name in summary["order"] else None,
        "model": name,
        "metric": summary["metric"],
        "fold_mean": at(fold, "mean", key),
        "fold_min": low,
        "fold_max": high,
        "folds_complete": sum(f["state"] == "complete" for f in fold["folds"]),
        "folds": len(fold["folds"]),
        "test_n": at(model, "final", "n_test"),
        "test_accuracy": run.get("accuracy"),
        "test_low": test_low,
        "test_high": test_high,
        "test_score": run.get(key),
        "test_f1": run.get("f1"),
        "test_roc_auc": run.get("roc_auc"),
        "train_s": at(model, "cost", "train_s"),
    }


def by_rank(summary: dict) -> list[str]:
    """Return all models: those with a mean by it, then the others in the order of the file."""
    return summary["order"] + [name for name in summary["models"] if name not in summary["order"]]


def published(model: dict) -> dict | None:
    """Return the final of seed 0, the one that is published, or None."""
    return next((run for run in model["final"]["runs"] if run["seed_index"] == 0), None)


def reference(row: dict) -> dict:
    """Return a published figure; of the original work's, with the interval that about 100 images would have."""
    accuracy = row.get("accuracy")
    if not row["name"].lower().startswith(ORIGINAL) or accuracy is None:
        return dict(row)
    hits = accuracy * ORIGINAL_N
    if not math.isclose(hits, round(hits), abs_tol=1e-6):
        return dict(row)
    return row | {"interval_if_100": evaluate.wilson(round(hits), ORIGINAL_N)}


def _model(model: Model, collected: Collected) -> dict:
    counted = states(model.stage("trial"))
    selection = model.selection
    return {
        "trial": {
            "tasks": len(model.stage("trial")),
            **{
                s: counted.get(s, 0) for s in ("complete", "pruned", "failed", "waiting", "running")
            },
            "best": best(model, collected),
            "importances": importances(model, collected),
        },
        "selection": {
            "index": selection["trial"],
            "value": selection["value"],
            "parameters": selection["parameters"],
        }
        if selection
        else None,
        "fold": _folds(model, collected),
        "final": _finals(model, collected),
        "cost": cost(collected, model.name),
    }


def _folds(model: Model, collected: Collected) -> dict:
    tasks = model.stage("fold")
    complete = bool(tasks) and all(t.state == "complete" for t in tasks)
    count = collected.experiment.folds["count"]
    return {
        "n_train": round(collected.data["train"] * (count - 1) / count),
        "folds": [
            {
                "index": t.index,
                "state": t.state,
                "n": t.metrics.get("n"),
                **{s: t.metrics.get(s) for s in SCORES},
                "reason": t.reason or t.metrics.get("roc_auc_reason"),
            }
            for t in tasks
        ],
        "mean": {s: _mean([t.metrics.get(s) for t in tasks]) for s in SCORES} if complete else None,
        "range": {s: _range([t.metrics.get(s) for t in tasks]) for s in SCORES}
        if complete
        else None,
        "out_of_fold": _out_of_fold(model, collected.data["train"]) if complete else None,
    }


def _mean(values: list) -> float | None:
    """Return the mean, or None when any value is missing: a missing fold is never averaged away."""
    return None if None in values else sum(values) / len(values)


def _range(values: list) -> list[float] | None:
    return None if None in values else [min(values), max(values)]


def _out_of_fold(model: Model, n_train: int) -> dict | None:
    """Pool what each fold said of the rows it left out, if that is every row of the training part once."""
    parts = [model.predictions.get(("fold", t.index)) for t in model.stage("fold")]
    if any(part is None for part in parts):
        return None
    rows = np.concatenate([p.rows for p in parts])
    if len(rows) != n_train or len(np.unique(rows)) != n_train:
        return None
    labels, probabilities = (
        np.concatenate([p.labels for p in parts]),
        np.concatenate([p.probabilities for p in parts]),
    )
    return {
        "n": n_train,
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "interval": evaluate.bootstrap_interval(
            "accuracy", labels, probabilities, BOOTSTRAP_SEED, method=NEWEST
        ),  # the same by every method
    }


def _finals(model: Model, collected: Collected) -> dict:
    runs = []
    for task in model.stage("final", "complete"):
        result = model.results.get(("final", task.index), {})
        artifact = task.artifact.get("model.keras", {}).get("key")
        runs.append(
            {
                "seed_index": task.index,
                **dict.fromkeys(SCORES),
                **task.metrics,
                "seed": result.get("seed"),
                "model": artifact,
            }
        )
    unfinished = [
        {"seed_index": t.index, "state": t.state, "reason": t.reason}
        for t in model.stage("final")
        if t.state != "complete"
    ]
    return {
        "n_train": collected.data["train"],
        "n_test": collected.data["test"],
        "runs": runs,
        "unfinished": unfinished,
    }


def _order(models: dict, key: str, direction: str) -> list[str]:
    """Return the models that have a mean fold score, best first; ties by the order of the file."""
    means = {name: (m["fold"]["mean"] or {}).get(key) for name, m in models.items()}
    sign = -1 if direction == "maximize" else 1
    return sorted(
        (name for name, mean in means.items() if mean is not None),
        key=lambda name: sign * means[name],
    )


def _winner(collected: Collected, models: dict, order: list[str]) -> str | None:
    """Return the first of the order once no other model can still overtake it."""
    open_ones = [
        name for name in models if name not in order and not hopeless(collected.models[name])
    ]
    return order[0] if order and not open_ones else None


def differences(collected: Collected, winner: str | None) -> list[dict]:
    """Return the winner's test accuracy minus each other model's, seed 0, over the same resamples of the test images."""
    finals = {name: m.predictions.get(("final", 0)) for name, m in collected.models.items()}
    first = finals.get(winner)
    if first is None:
        return []
    found = []
    for name, other in finals.items():
        if name == winner or other is None:
            continue
        a, b = first.rows.argsort(kind="stable"), other.rows.argsort(kind="stable")
        if not np.array_equal(first.rows[a], other.rows[b]) or not np.array_equal(
            first.labels[a], other.labels[b]
        ):
            found.append(
                {
                    "model": name,
                    "difference": None,
                    "interval": None,
                    "reason": "its test rows are not the winner's",
                }
            )
            continue
        found.append(
            {
                "model": name,
                **evaluate.paired_difference(
                    first.labels[a], first.probabilities[a], other.probabilities[b], BOOTSTRAP_SEED
                ),
                "reason": None,
            }
        )
    return found


def _data(data: dict) -> dict:
    keys = (
        "source",
        "train",
        "validation",
        "test",
        "classes",
        "id",
        "image_shape",
        "train_counts",
        "test_counts",
        "duplicates",
        "groups",
    )
    return {key: data.get(key) for key in keys}


def _clean(value):
    """Return `value` with numbers JSON knows: NaN and infinities become null."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
