"""report.json: the figures of an experiment in a stable shape; nothing is averaged over what is missing."""

import csv
import io
import json
import math

import numpy as np

from job import evaluate
from job.report.collect import Collected, Model

SCORES = ("accuracy", "precision", "recall", "f1", "roc_auc", "balanced_accuracy", "log_loss")
METRIC_KEY = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "f1_macro": "f1", "log_loss": "log_loss"}
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
            "missing": missing(collected, models),
            "references": [reference(r) for r in experiment.references],
            "data": _data(collected.data),
            "models": models,
            "differences": differences(collected, winner),
            "openings": _openings(collected),
            "attempts": _attempts(collected),
            "versions": versions(collected),
            "cost": cost(collected),
        }
    )


def to_text(summary: dict) -> str:
    """Return report.json's text; NaN never gets into it."""
    return json.dumps(summary, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def leaderboard(summary: dict) -> str:
    """Return leaderboard.csv: models by mean fold score; test figures order nothing."""
    key, metric = METRIC_KEY[summary["metric"]], summary["metric"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [
            "rank",
            "model",
            "metric",
            "fold_mean",
            "fold_min",
            "fold_max",
            "folds_complete",
            "folds",
            "test_n",
            "test_accuracy",
            "test_low",
            "test_high",
            "test_f1",
            "test_roc_auc",
            "train_s",
        ]
    )
    for rank, name in enumerate(by_rank(summary), 1):
        model = summary["models"][name]
        fold, final = model["fold"], model["final"]
        low, high = (fold["range"] or {}).get(key) or (None, None)
        run = published(model) or {}
        test_low, test_high = run.get("intervals", {}).get("accuracy", (None, None))
        ranked = rank if name in summary["order"] else None
        complete = sum(f["state"] == "complete" for f in fold["folds"])
        table.writerow(
            [
                ranked,
                name,
                metric,
                (fold["mean"] or {}).get(key),
                low,
                high,
                complete,
                len(fold["folds"]),
                final["n_test"],
                run.get("accuracy"),
                test_low,
                test_high,
                run.get("f1"),
                run.get("roc_auc"),
                model["cost"]["train_s"],
            ]
        )
    return text.getvalue()


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
    states = _states(model.stage("trial"))
    selection = model.selection
    return {
        "trial": {
            "tasks": len(model.stage("trial")),
            **{s: states.get(s, 0) for s in ("complete", "pruned", "failed", "waiting", "running")},
        },
        "selection": {"index": selection["trial"], "value": selection["value"], "parameters": selection["parameters"]}
        if selection
        else None,
        "fold": _folds(model, collected),
        "final": _finals(model, collected),
        "cost": cost(collected, model.name),
    }


def _states(tasks) -> dict[str, int]:
    states: dict[str, int] = {}
    for task in tasks:
        states[task.state] = states.get(task.state, 0) + 1
    return states


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
        "range": {s: _range([t.metrics.get(s) for t in tasks]) for s in SCORES} if complete else None,
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
    labels, probabilities = np.concatenate([p.labels for p in parts]), np.concatenate([p.probabilities for p in parts])
    return {
        "n": n_train,
        "accuracy": float((probabilities.argmax(1) == labels).mean()),
        "interval": evaluate.bootstrap_interval("accuracy", labels, probabilities, BOOTSTRAP_SEED),
    }


def _finals(model: Model, collected: Collected) -> dict:
    runs = []
    for task in model.stage("final", "complete"):
        result = model.results.get(("final", task.index), {})
        artifact = task.artifact.get("model.keras", {}).get("key")
        runs.append({"seed_index": task.index, **dict.fromkeys(SCORES), **task.metrics, "seed": result.get("seed"), "model": artifact})
    unfinished = [{"seed_index": t.index, "state": t.state, "reason": t.reason} for t in model.stage("final") if t.state != "complete"]
    return {"n_train": collected.data["train"], "n_test": collected.data["test"], "runs": runs, "unfinished": unfinished}


def _order(models: dict, key: str, direction: str) -> list[str]:
    """Return the models that have a mean fold score, best first; ties by the order of the file."""
    means = {name: (m["fold"]["mean"] or {}).get(key) for name, m in models.items()}
    sign = -1 if direction == "maximize" else 1
    return sorted((name for name, mean in means.items() if mean is not None), key=lambda name: sign * means[name])


def _winner(collected: Collected, models: dict, order: list[str]) -> str | None:
    """Return the first of the order once no other model can still overtake it."""
    open_ones = [name for name in models if name not in order and not hopeless(collected.models[name])]
    return order[0] if order and not open_ones else None


def hopeless(model: Model) -> str | None:
    """Return why a model can get no mean fold score without `job retry`, or None."""
    for stage in ("features", "fold"):
        if failed := model.stage(stage, "failed"):
            return f"{stage} {failed[0].index} failed for good ({failed[0].reason})"
    trials = model.stage("trial")
    if trials and not model.selection and all(t.state in ("pruned", "failed") for t in trials):
        return "no trial is complete"
    return None


def missing(collected: Collected, models: dict) -> list[str]:
    """Return a sentence for each thing a full report would have and this one has not."""
    found = []
    for name, model in collected.models.items():
        if why := hopeless(model):
            found.append(f"{name} is out of the comparison: {why}.")
        for stage, tasks in model.tasks.items():
            states = _states(tasks)
            lacking = {s: states[s] for s in ("running", "waiting") if s in states}
            if stage != "trial" and "failed" in states:
                lacking["failed"] = states["failed"]
            if lacking:
                counts = ", ".join(f"{n} {s}" for s, n in lacking.items())
                found.append(f"{name}: {sum(lacking.values())} of {len(tasks)} {stage} tasks missing ({counts}).")
        fold = models[name]["fold"]
        if fold["mean"] is None and not hopeless(model):
            found.append(f"{name} has no mean fold score: a missing fold is not averaged away.")
        elif fold["mean"] is not None and fold["out_of_fold"] is None:
            found.append(f"{name} has no pooled out-of-fold accuracy: its folds' predictions are not every training image once.")
    return found + [f"{problem}." for problem in collected.problems]


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
        if not np.array_equal(first.rows[a], other.rows[b]) or not np.array_equal(first.labels[a], other.labels[b]):
            found.append({"model": name, "difference": None, "interval": None, "reason": "its test rows are not the winner's"})
            continue
        found.append(
            {
                "model": name,
                **evaluate.paired_difference(first.labels[a], first.probabilities[a], other.probabilities[b], BOOTSTRAP_SEED),
                "reason": None,
            }
        )
    return found


def cost(collected: Collected, model: str | None = None) -> dict:
    """Return wall_s (first start to last end), train_s (training in the attempts that decided) and lost_s (see Attempt.lost_s)."""
    attempts = [a for a in collected.attempts if model in (None, a.model)]
    ends = [a.ended or a.last_beat for a in attempts]
    return {
        "wall_s": (max(ends) - min(a.started for a in attempts)).total_seconds() if attempts else 0.0,
        "train_s": float(sum(a.seconds.get("train", 0.0) for a in attempts if a.outcome in ("complete", "pruned"))),
        "lost_s": float(sum(a.lost_s for a in attempts)),
    }


def _attempts(collected: Collected) -> dict:
    outcomes = [a.outcome or "running" for a in collected.attempts]
    tasks = [t for m in collected.models.values() for stage in m.tasks.values() for t in stage]
    return {
        "tasks": len(tasks),
        "attempts": len(outcomes),
        **{o: outcomes.count(o) for o in ("complete", "pruned", "interrupted", "error", "vanished", "running")},
    }


def _openings(collected: Collected) -> dict:
    counted: dict[str, int] = {}
    for opening in collected.openings:
        counted[opening["model"]] = counted.get(opening["model"], 0) + 1
    finals = sum(len(m.stage("final", "complete")) for m in collected.models.values())
    return {"total": len(collected.openings), "finals": finals, "models": counted}


def versions(collected: Collected) -> list[dict]:
    """Return each distinct (versions, commit, image, device, machines, threads) and how many folds and finals it made."""
    found: dict[str, dict] = {}
    for model in collected.models.values():
        for result in model.results.values():
            own = {k: result.get(k) for k in ("versions", "git_commit", "image_digest", "device", "machines", "threads")}
            found.setdefault(json.dumps(own, sort_keys=True), own | {"results": 0})["results"] += 1
    return list(found.values())


def _data(data: dict) -> dict:
    keys = ("source", "train", "validation", "test", "classes", "id", "image_shape", "train_counts", "test_counts", "duplicates")
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
