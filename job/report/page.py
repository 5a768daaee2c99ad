"""index.html: one file that holds everything and requests nothing from the network."""

import base64
import hashlib
import math
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import FunctionLoader, Template
from markupsafe import Markup

from job.experiment.experiment import Experiment
from job.experiment.serialize import toml
from job.learning.evaluate import SCORE_OF_METRIC
from job.learning.result_format import ClassScores
from job.report.absent import at, environment, pair_at, total
from job.report.cost import long_wait
from job.report.curves import as_matrix, calibration, confusions
from job.report.drawing import MATRIX_MAX_CLASSES, Picture, shorten
from job.report.embed import embed
from job.report.entry import published
from job.report.formatting import count, duration, interval, num, plain, plural, shape, share, some
from job.report.images import mistake_entries
from job.report.leaderboard import by_rank
from job.report.model_format import FinalRun
from job.report.report_format import Data, Report
from job.report.results import Collected, Model, Task
from job.report.search import varying
from job.report.summary import ORIGINAL
from job.settings import redact

MOST_TRIALS = 200  # rows of a table; the page stays below 5 MB
MOST_CLASSES = 200  # rows of scores, folded
MOST_COUNTED = 1000  # rows of numbers of images, folded
FEW_CLASSES = 10  # at each end, in sight, where there are too many classes to list them all
FEW_CONFUSIONS = 5  # in a sentence, below the matrix
MANY_CONFUSIONS = 20  # in a table, where there are too many classes for a matrix
ORIGINAL_POINT = {"learning_rate": 0.000875, "batch_size": 32}  # the original work's best trial
STATE_RANK = {"complete": 0, "pruned": 1, "failed": 2, "running": 3, "waiting": 4}
SCORES = {
    "accuracy": "accuracy",
    "precision": "precision (macro)",
    "recall": "recall (macro)",
    "f1": "F1 (macro)",
    "roc_auc": "ROC-AUC (macro)",
    "log_loss": "log loss",
}


def render(collected: Collected, summary: Report, pictures: dict[str, Picture]) -> str:
    """Return the page; the same values give the same text.

    Args:
        summary: the content of report.json.
        pictures: by file name; the page leaves out the figures that lack theirs.
    """
    script = _read("page.js")
    views = {
        name: _view(collected, summary, collected.models[name], pictures)
        for name in by_rank(summary)
    }

    def picture(name: str) -> str:
        return embed(name, pictures[name]) if name in pictures else ""

    return _template().render(
        s=summary,
        e=collected.experiment,
        data=collected.data,
        key=SCORE_OF_METRIC[summary["metric"]],
        views=views,
        winner=views.get(summary["winner"] or ""),
        runner_up=_runner_up(summary),
        samples=[name for name in pictures if name.startswith("samples-")],
        original=_original(summary),
        score_names=SCORES,
        recipe=redact(toml(collected.experiment.spec)),
        as_of=_as_of(collected),
        device_s=_device_s(summary),
        most_trials=MOST_TRIALS,
        counted=_counted_classes(summary["data"]),
        matrix_max=MATRIX_MAX_CLASSES,
        picture=picture,
        style=Markup(_read("page.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _template() -> Template:
    """Return the page's template with the parts that it includes."""
    filters = (num, interval, count, duration, plain, share, shape, plural, some, shorten)
    loader = FunctionLoader(lambda name: (_read(name), name, lambda: True))
    return environment(filters, loader=loader, autoescape=True).get_template("page.html")


def _read(name: str) -> str:
    return resources.files("job.report").joinpath(name).read_text(encoding="utf-8")


def _view(
    collected: Collected, summary: Report, model: Model, pictures: dict[str, Picture]
) -> dict:
    """Return what the page shows of one model, including its entry of report.json."""
    experiment = collected.experiment
    entry = summary["models"][model.name]
    fixed = experiment.fixed(model.name)
    run = published(entry)
    predictions = model.predictions.get(("final", 0))
    error = None
    if predictions:
        error = calibration(predictions.right, predictions.confidence)[1]
    return {
        "name": model.name,
        **entry,
        "run": run,
        "result": model.results.get(("final", 0)),
        "frozen": experiment.frozen(model.name),
        "depths": experiment.depths(model.name),
        "mirrored": "views" in fixed,
        "fixed": {k: v for k, v in fixed.items() if k != "augment"},
        "augment": experiment.models[model.name].get("augment"),
        "augmented": model.augmentation is not None,
        "searched": list(experiment.space(model.name)),
        "features": model.stage("features"),
        "trials": _trials(model, experiment.direction),
        "points": _points(model, experiment),
        "varying": list(varying(model, fixed)),
        "spread": _spread(model),
        "folds_done": len(model.stage("fold", "complete")),
        "device_s": _device_s(summary, model.name),
        **_scored_classes((run or {}).get("per_class") or []),
        "drawn": predictions.lines.n if predictions and predictions.lines else None,
        "long_wait": long_wait(model),
        "mistakes": _mistakes(model, collected.data.classes, pictures),
        "whole": at(entry, "fold", "mean") is not None,
        "references": [r for r in summary["references"] if r["model"] == model.name],
        "confusions": _confusions(run, collected.data.classes),
        "calibration": error,
        "difference": next((d for d in summary["differences"] if d["model"] == model.name), None),
    }


def _trials(model: Model, direction: str) -> list[Task]:
    """Return the trials: complete ones best first, then pruned, then the others."""
    sign = -1 if direction == "maximize" else 1

    def rank(trial: Task) -> tuple[int, float, int]:
        value = math.inf if trial.value is None else sign * trial.value
        return STATE_RANK[trial.state], value, trial.index

    return sorted(model.stage("trial"), key=rank)


def _points(model: Model, experiment: Experiment) -> list[dict]:
    """Return the points to try first that concern this model, each with its trial."""
    points = []
    for point in experiment.enqueue:
        values = {k: v for k, v in point.items() if k in experiment.space(model.name)}
        if values:
            trials = (trial for trial in model.stage("trial") if _tries(trial, values))
            original = all(_is_close(point.get(k), v) for k, v in ORIGINAL_POINT.items())
            points.append({"values": values, "trial": next(trials, None), "original": original})
    return points


def _tries(trial: Task, values: dict) -> bool:
    if not trial.parameters:
        return False
    return all(_is_close(trial.parameters.get(k), v) for k, v in values.items())


def _is_close(a, b) -> bool:
    """Tell whether two values agree to three digits, like the original's quoted learning rate."""
    numbers = all(isinstance(v, (int, float)) for v in (a, b))
    return math.isclose(a, b, rel_tol=5e-4) if numbers else a == b


def _spread(model: Model) -> str:
    """Return the range of the complete trials' values, for a caption."""
    values = [value for _, value in model.scored_trials()]
    return f", from {num(min(values))} to {num(max(values))}" if values else ""


def _device_s(summary: Report, model: str | None = None) -> float | None:
    """Return the seconds of all attempts together, of one model or of all."""
    return total(t.get("wall_s") for t in summary["times"] if model in (None, t["model"]))


def _scored_classes(rows: list[ClassScores]) -> dict[str, list[ClassScores]]:
    """Return the rows of the tables of classes.

    Returns:
        weakest, strongest: by F1, in sight; empty where all classes are.
        per_class: all classes; of too many, those with the lowest F1.
    """
    if len(rows) <= MATRIX_MAX_CLASSES:
        return {"weakest": [], "strongest": [], "per_class": rows}
    known = [row for row in rows if row.get("f1") is not None]
    ranked = sorted(known, key=lambda row: row["f1"] or 0.0)
    unknown = [row for row in rows if row.get("f1") is None]
    return {
        "weakest": ranked[:FEW_CLASSES],
        "strongest": ranked[FEW_CLASSES:][-FEW_CLASSES:][::-1],
        "per_class": rows if len(rows) <= MOST_CLASSES else [*ranked, *unknown][:MOST_CLASSES],
    }


def _counted_classes(data: Data) -> list[tuple[str, Any, Any]]:
    """Return the rows of the table of images: name, training and test images.

    Of too many classes they are those with the fewest training images.
    """
    train_counts = at(data, "train_counts")
    if train_counts is None:
        return []
    test_counts = at(data, "test_counts") or [None] * len(data["classes"])
    rows = list(zip(data["classes"], train_counts, test_counts, strict=True))
    if len(rows) <= MOST_COUNTED:
        return rows
    return sorted(rows, key=lambda row: (row[1] is None, row[1] or 0))[:MOST_COUNTED]


def _confusions(run: FinalRun | None, classes: list[str]) -> list[dict]:
    matrix = as_matrix(at(run, "confusion_matrix"))
    if matrix is None:
        return []
    most = MANY_CONFUSIONS if len(matrix) > MATRIX_MAX_CLASSES else FEW_CONFUSIONS
    return confusions(matrix, classes, most)


def _mistakes(model: Model, classes: list[str], pictures: dict[str, Picture]) -> list[dict] | None:
    """Return the mistakes, each with its picture's name; None when the final stored none."""
    if model.mistakes is None:
        return None
    entries = mistake_entries(model, classes)
    names = sorted(name for name in pictures if name.startswith(f"mistake-{model.name}-"))
    names += [""] * (len(entries) - len(names))  # a page may be rendered without pictures
    pairs = zip(entries, names, strict=True)
    return [{**mistake, "picture": name} for mistake, name in pairs]


def _runner_up(summary: Report) -> dict | None:
    """Return the second model by mean fold score.

    Returns:
        name, gap to the winner, and overlap: whether the ranges of their folds overlap. None
        unless there is a winner and both models have a mean and a range.
    """
    if summary["winner"] is None or len(summary["order"]) < 2:
        return None
    key = SCORE_OF_METRIC[summary["metric"]]
    first = summary["models"][summary["order"][0]]["fold"]
    second = summary["models"][summary["order"][1]]["fold"]
    first_mean = at(first, "mean", key)
    second_mean = at(second, "mean", key)
    first_range = pair_at(first, "range", key)
    second_range = pair_at(second, "range", key)
    if first_mean is None or second_mean is None or first_range is None or second_range is None:
        return None
    return {
        "name": summary["order"][1],
        "gap": abs(first_mean - second_mean),
        "overlap": first_range[0] <= second_range[1] and second_range[0] <= first_range[1],
    }


def _original(summary: Report) -> dict | None:
    """Return what the figures of the original work allow the page to say about them."""
    rows = [r for r in summary["references"] if r["name"].lower().startswith(ORIGINAL)]
    if not rows:
        return None
    comparable = [r for r in rows if "recall" in r and "accuracy" in r]
    return {
        "hundred": [r for r in rows if "interval_if_100" in r],
        "weighted": bool(comparable) and all(r["recall"] == r["accuracy"] for r in comparable),
    }


def _as_of(collected: Collected) -> str:
    """Return when the last attempt was heard of.

    It is not the time of the report, so that equal rows give an equal page.
    """
    times = [max(a.last_beat, a.ended or a.last_beat) for a in collected.attempts]
    return f"{max(times):%Y-%m-%d %H:%M %Z}".strip() if times else "before the first attempt"
