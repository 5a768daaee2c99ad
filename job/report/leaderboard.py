"""leaderboard.csv: one row per model, for programs."""

import csv
import io

from job.learning.evaluate import SCORE_OF_METRIC
from job.report.absent import at, pair_at
from job.report.entry import published
from job.report.report_format import Report


def leaderboard(summary: Report) -> str:
    """Return leaderboard.csv: models by mean fold score; test figures order nothing."""
    text = io.StringIO()
    rows = [_row(summary, name, rank) for rank, name in enumerate(by_rank(summary), 1)]
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def by_rank(summary: Report) -> list[str]:
    """Return all models by mean fold score, then those without one in the order of the file."""
    return summary["order"] + [name for name in summary["models"] if name not in summary["order"]]


def _row(summary: Report, name: str, rank: int) -> dict:
    """Return a model's row; without a mean fold score it has no rank."""
    model = summary["models"][name]
    key = SCORE_OF_METRIC[summary["metric"]]
    run = published(model) or {}
    fold = model["fold"]
    fold_min, fold_max = pair_at(fold, "range", key) or (None, None)
    test_low, test_high = pair_at(run, "intervals", "accuracy") or (None, None)
    return {
        "rank": rank if name in summary["order"] else None,
        "model": name,
        "metric": summary["metric"],
        "fold_mean": at(fold, "mean", key),
        "fold_min": fold_min,
        "fold_max": fold_max,
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
