"""What `status` reads of a small unfinished experiment."""

from job.coordination.counts import STATES


def counts(**states) -> dict:
    """Return the number of tasks in each state."""
    return dict.fromkeys(STATES, 0) | states


def running(
    stage="trial", model="cnn", index=0, running_s=0.0, lease_left_s=100.0, host="node1"
) -> dict:
    """Return the row of a running task."""
    row = {
        "stage": stage,
        "model": model,
        "index": index,
        "attempt": 2,
        "host": host,
        "last_step": 7,
        "beat_s": 3.0,
    }
    return row | {"running_s": running_s, "lease_left_s": lease_left_s}


def stages(trial: dict, fold: dict) -> dict:
    """Return the counts of each stage, for one model."""
    return {"features": {}, "trial": {"cnn": trial}, "fold": {"cnn": fold}, "final": {}}


def state(**changes) -> dict:
    """Return what `collect` returns for a small unfinished experiment."""
    decided = counts(waiting=5, running=1, complete=2, pruned=1, failed=3)
    best = {"trial": 4, "value": 0.75}
    folds = {"folds": 0, "mean": None, "of": 2}
    reason = "3 attempts in a row, the last: \x1b[31mno\nroom"
    failed = {"stage": "trial", "model": "cnn", "reason": reason}
    base = {
        "experiment": "small",
        "id": "small-1",
        "metric": "accuracy",
        "tasks": 14,
        "undecided": 8,
        "stages": stages(decided, counts(waiting=2)),
        "models": {"cnn": {"best": best, "selected": None, "folds": folds}},
        "attempts": {"complete": 2, "error": 9, "pruned": 1, "running": 1, "vanished": 1},
        "images_per_s": [{"stage": "trial", "model": "cnn", "images_per_s": 812.4}],
        "task_s": [{"stage": "trial", "model": "cnn", "mean_s": 95.0}],
        "time_left": {"left_s": 545.0, "work_s": 545.0, "workers": 1, "unknown": ["fold cnn"]},
        "running": [running()],
        "failed": [failed | {"index": index} for index in (3, 6, 8)],
        "notes": ["30 images in val\n/ are left out"],
    }
    return base | changes
