"""index.html: one file with everything in it, which asks nothing of the network."""

import base64
import hashlib
import math
import re
from functools import cache
from importlib import resources
from itertools import zip_longest

from jinja2 import FunctionLoader, Template
from markupsafe import Markup, escape

from job.experiment.serialize import toml
from job.report.absent import at, environment, pair_at, total
from job.report.collect import Collected, Model
from job.report.curves import calibration, confusions, counted
from job.report.drawing import MATRIX_MAX_CLASSES, PALETTE, Picture, shorten
from job.report.formatting import count, duration, interval, num, plain, plural, shape, share, some
from job.report.images import told
from job.report.search import differing
from job.report.summary import METRIC_KEY, ORIGINAL, by_rank, published
from job.settings import redact

MOST_TRIALS = 200  # rows of a table; the page stays below 5 MB
MOST_CLASSES = 200
MIME = {"png": "image/png", "jpg": "image/jpeg"}
ORIGINAL_POINT = {"learning_rate": 0.000875, "batch_size": 32}  # the original work's best trial
SCORES = {
    "accuracy": "accuracy",
    "precision": "precision (macro)",
    "recall": "recall (macro)",
    "f1": "F1 (macro)",
    "roc_auc": "ROC-AUC (macro)",
    "log_loss": "log loss",
}


def render(collected: Collected, summary: dict, pictures: dict[str, Picture]) -> str:
    """Return the page; the same values give the same text."""
    script, style = _own("page.js"), _own("page.css")
    views = {
        name: _view(collected, summary, collected.models[name], pictures)
        for name in by_rank(summary)
    }
    return _template().render(
        s=summary,
        e=collected.experiment,
        data=collected.data,
        key=METRIC_KEY[summary["metric"]],
        views=views,
        winner=views.get(summary["winner"]),
        runner_up=_runner_up(summary),
        samples=[name for name in pictures if name.startswith("samples-")],
        original=_original(summary),
        score_names=SCORES,
        recipe=redact(toml(collected.experiment.spec)),
        as_of=_as_of(collected),
        device_s=_device_s(summary),
        most_trials=MOST_TRIALS,
        most_classes=MOST_CLASSES,
        matrix_max=MATRIX_MAX_CLASSES,
        picture=lambda name: _inline(name, pictures[name]) if name in pictures else "",
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _template() -> Template:
    """Return the page's template with the parts that it includes."""
    filters = (num, interval, count, duration, plain, share, shape, plural, some, shorten)
    return environment(
        filters,
        loader=FunctionLoader(lambda name: (_own(name), name, lambda: True)),
        autoescape=True,
    ).get_template("page.html")


def _own(name: str) -> str:
    return resources.files("job.report").joinpath(name).read_text(encoding="utf-8")


def _view(collected: Collected, summary: dict, model: Model, pictures: dict[str, Picture]) -> dict:
    """Return what the page says of one model beyond report.json."""
    entry, experiment = summary["models"][model.name], collected.experiment
    run = published(entry)
    predictions = model.predictions.get(("final", 0))
    matrix = counted(at(run, "confusion_matrix"))
    return {
        "name": model.name,
        **entry,
        "run": run,
        "result": model.results.get(("final", 0)),
        "frozen": experiment.frozen(model.name),
        "fixed": {k: v for k, v in experiment.fixed(model.name).items() if k != "augment"},
        "augment": experiment.models[model.name].get("augment"),
        "augmented": model.augmentation is not None,
        "searched": list(experiment.space(model.name)),
        "features": model.stage("features"),
        "trials": _trials(model, experiment.direction),
        "points": _points(model, experiment),
        "differing": list(differing(model, experiment.fixed(model.name))),
        "spread": _spread(model),
        "folds_done": len(model.stage("fold", "complete")),
        "device_s": _device_s(summary, model.name),
        "per_class": _worst_classes((run or {}).get("per_class") or []),
        "mistakes": _mistakes(model, collected.data["classes"], pictures),
        "whole": at(entry, "fold", "mean") is not None,
        "references": [r for r in summary["references"] if r["model"] == model.name],
        "confusions": confusions(
            matrix, collected.data["classes"], 20 if len(matrix) > MATRIX_MAX_CLASSES else 5
        )
        if matrix is not None
        else [],
        "calibration": calibration(predictions.labels, predictions.probabilities)[1]
        if predictions
        else None,
        "difference": next((d for d in summary["differences"] if d["model"] == model.name), None),
    }


def _trials(model: Model, direction: str) -> list:
    """Return the trials: complete ones best first, then pruned, then the others."""
    sign = -1 if direction == "maximize" else 1
    rank = {"complete": 0, "pruned": 1, "failed": 2, "running": 3, "waiting": 4}
    return sorted(
        model.stage("trial"),
        key=lambda t: (rank[t.state], math.inf if t.value is None else sign * t.value, t.index),
    )


def _points(model: Model, experiment) -> list[dict]:
    """Return the points to try first, each with the trial that tried it."""
    found = []
    for point in experiment.enqueue:
        own = {k: v for k, v in point.items() if k in experiment.space(model.name)}
        trial = next(
            (
                t
                for t in model.stage("trial")
                if t.parameters and all(_close(t.parameters.get(k), v) for k, v in own.items())
            ),
            None,
        )
        if own:
            found.append(
                {
                    "values": own,
                    "trial": trial,
                    "original": all(_close(point.get(k), v) for k, v in ORIGINAL_POINT.items()),
                }
            )
    return found


def _close(a, b) -> bool:
    """Tell whether two values are the same to three digits, as the original's learning rate is quoted."""
    numbers = all(isinstance(v, (int, float)) for v in (a, b))
    return math.isclose(a, b, rel_tol=5e-4) if numbers else a == b


def _spread(model: Model) -> str:
    """Return from what to what the complete trials' values go, for a caption."""
    values = [t.value for t in model.stage("trial", "complete") if t.value is not None]
    return f", from {num(min(values))} to {num(max(values))}" if values else ""


def _device_s(summary: dict, model: str | None = None) -> float | None:
    """Return the time of all attempts together, of one model or of all."""
    return total(t.get("wall_s") for t in summary["times"] if model in (None, t["model"]))


def _worst_classes(rows: list[dict]) -> list[dict]:
    """Return the rows of the classes' table: all of them, or where they are many those with the lowest F1."""
    return (
        rows
        if len(rows) <= MOST_CLASSES
        else sorted(rows, key=lambda row: (row.get("f1") is None, row.get("f1")))[:MOST_CLASSES]
    )


def _mistakes(model: Model, classes: list[str], pictures: dict[str, Picture]) -> list[dict] | None:
    """Return the mistakes to show, each with the name of its picture; None when the final stored none."""
    names = sorted(name for name in pictures if name.startswith(f"mistake-{model.name}-"))
    found = [
        one | {"picture": name}
        for one, name in zip_longest(told(model, classes), names, fillvalue="")
    ]
    return None if model.mistakes is None else found


def _runner_up(summary: dict) -> dict | None:
    """Return the second by mean fold score, its distance, and whether the folds' ranges overlap; None unless all of that is there."""
    if summary["winner"] is None or len(summary["order"]) < 2:
        return None
    key, folds = (
        METRIC_KEY[summary["metric"]],
        [summary["models"][name]["fold"] for name in summary["order"][:2]],
    )
    means, ranges = (
        [at(fold, "mean", key) for fold in folds],
        [pair_at(fold, "range", key) for fold in folds],
    )
    if None in means or None in ranges:
        return None
    (a, b), (c, d) = ranges
    return {
        "name": summary["order"][1],
        "gap": abs(means[0] - means[1]),
        "overlap": a <= d and c <= b,
    }


def _original(summary: dict) -> dict | None:
    """Return what is to be said of the original work's figures, computed from them."""
    rows = [r for r in summary["references"] if r["name"].lower().startswith(ORIGINAL)]
    if not rows:
        return None
    weighted = [r for r in rows if "recall" in r and "accuracy" in r]
    return {
        "hundred": [r for r in rows if "interval_if_100" in r],
        "weighted": bool(weighted) and all(r["recall"] == r["accuracy"] for r in weighted),
    }


def _as_of(collected: Collected) -> str:
    """Return when the last attempt was heard of: not the hour of the report, so that equal rows give an equal page."""
    times = [max(a.last_beat, a.ended or a.last_beat) for a in collected.attempts]
    return f"{max(times):%Y-%m-%d %H:%M %Z}".strip() if times else "before the first attempt"


def _inline(name: str, picture: Picture) -> Markup:
    """Return a picture as part of the page: an SVG in the page's colours, or an <img> with its bytes."""
    kind = name.rpartition(".")[2]
    if kind == "svg":
        return Markup(_themed(picture.content.decode(), name.removesuffix(".svg"), picture.alt))
    data = base64.b64encode(picture.content).decode()
    return Markup('<img class="pixels" src="data:{};base64,{}" alt="{}">').format(
        MIME[kind], Markup(data), picture.alt
    )


def _themed(svg: str, prefix: str, alt: str) -> str:
    """Return an SVG to stand in HTML: its ids its own, its colours the theme's, its text the page's font."""
    view = re.search(r'viewBox="([^"]+)"', svg)[1]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.S)
    body = re.sub(
        r'( id="|xlink:href="#|url\(#)', lambda m: f"{m[1].replace('xlink:', '')}{prefix}-", body
    ).replace("xlink:href", "href")
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.S)
    body = re.sub(r"font-family: [^;\"]+;?\s*", "", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 var(--sans)", body)
    for name, color in PALETTE.items():
        body = body.replace(color, f"var(--{name})")
    return f'<svg viewBox="{view}" role="img" aria-label="{escape(alt)}">{body}'
