"""Pictures of scores: the confusion matrix, ROC lines, reliability."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from job.report.curves import GRID, calibration, confusions, macro
from job.report.drawing import (
    ACCENT,
    INK,
    MATRIX_MAX_CLASSES,
    PALETTE,
    SERIES,
    SOFT,
    Picture,
    axes,
    legend,
    shorten,
    svg,
)
from job.report.entry import published
from job.report.formatting import num
from job.report.model_format import FinalRun, ModelEntry
from job.report.predictions import Lines, Predictions
from job.report.report_format import Report
from job.report.results import Collected

DARK_CELL = 0.78  # from this share on a cell needs light letters
LINE_STYLES = ("-", "--", ":")


def confusion(name: str, counts: np.ndarray | None, classes: list[str]) -> Picture | None:
    """Draw a confusion matrix; the depth of color is the share of the true class.

    Args:
        counts: int [k, k], rows are the true classes; None where it is missing.

    Returns:
        None without counts, and where there are too many classes for a matrix.
    """
    k = len(classes)
    if counts is None or k > MATRIX_MAX_CLASSES:
        return None
    size = 2.2 + 0.36 * max(k, 4)
    figure, ax = axes(size, size * 0.92)
    _draw_cells(ax, counts)
    _label_matrix(ax, classes)
    worst = "; ".join(
        f"{c['true']} taken for {c['predicted']} {c['n']} times"
        for c in confusions(counts, classes, 3)
    )
    return svg(
        figure,
        f"Confusion matrix of {name} on the test part, {counts.trace()} of {counts.sum()} correct."
        f" Most frequent: {worst or 'no confusion'}.",
    )


def _draw_cells(ax: Axes, counts: np.ndarray) -> None:
    k = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    center = {"ha": "center", "va": "center", "fontsize": 8.5 if k <= 12 else 6}
    for i in range(k):
        for j in range(k):
            if counts[i, j]:
                alpha = round(0.06 + 0.94 * float(share[i, j]), 3)
                corner = (j - 0.5, i - 0.5)
                cell = Rectangle(corner, 1, 1, facecolor=PALETTE["cell"], alpha=alpha, lw=0)
                ax.add_patch(cell)
            color = _text_color(counts[i, j], share[i, j])
            ax.text(j, i, counts[i, j] or "·", color=color, **center)


def _text_color(count: int, share: float) -> str:
    if share > DARK_CELL:
        return PALETTE["on-cell"]
    return INK if count else SOFT


def _label_matrix(ax: Axes, classes: list[str]) -> None:
    k = len(classes)
    labels = [shorten(c) for c in classes]
    ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal")
    ax.set(xticks=range(k), yticks=range(k), xlabel="predicted", ylabel="true")
    ax.set_xticklabels(labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(labels)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def roc(name: str, lines: Lines, run: FinalRun, classes: list[str]) -> Picture | None:
    """Draw one line per class, of up to 20, and the macro line over them.

    Returns:
        None where neither can be drawn.
    """
    mean = macro(lines.of_classes)
    drawable = [line for line in lines.of_classes if line is not None]
    of_classes = drawable if len(classes) <= MATRIX_MAX_CLASSES else []
    if mean is None and not of_classes:
        return None
    figure, ax = axes(4.4, 4.2)
    for line in of_classes:
        ax.plot(GRID, line, color=SOFT, lw=0.8, alpha=0.7, label="each class")
    auc = "" if run.get("roc_auc") is None else f", AUC {num(run['roc_auc'])}"
    if mean is not None:
        ax.plot(GRID, mean, color=ACCENT, lw=2, label=f"macro{auc}")
    _draw_diagonal(ax, "false positive rate", "true positive rate")
    legend(ax, ax, loc="lower right")
    parts = []
    if of_classes:
        parts.append(f"{len(of_classes)} of {len(classes)} classes")
    if mean is not None:
        parts.append(f"the macro average{auc}")
    return svg(figure, f"ROC of {name} on the test part, one-vs-rest: {' and '.join(parts)}.")


def macro_rocs(collected: Collected, summary: Report) -> Picture | None:
    """Draw the macro lines of all models in one picture, if two models have one."""
    lines = {}
    for name, model in collected.models.items():
        predictions = model.predictions.get(("final", 0))
        line = macro(predictions.lines.of_classes) if predictions and predictions.lines else None
        if line is not None:
            lines[name] = line
    if len(lines) < 2:
        return None
    figure, ax = axes(4.4, 4.2)
    for i, (name, line) in enumerate(lines.items()):
        color = SERIES[i % len(SERIES)]
        dashes = LINE_STYLES[i // len(SERIES) % len(LINE_STYLES)]
        ax.plot(GRID, line, color=color, lw=1.8, ls=dashes, label=name)
    _draw_diagonal(ax, "false positive rate", "true positive rate")
    ax.legend(loc="lower right")
    areas = [_with_area(name, summary["models"][name]) for name in lines]
    return svg(figure, f"Macro ROC lines on the test part: {', '.join(areas)}.")


def _with_area(name: str, entry: ModelEntry) -> str:
    area = (published(entry) or {}).get("roc_auc")
    return name if area is None else f"{name} (AUC {num(area)})"


def reliability(name: str, predictions: Predictions) -> Picture:
    """Draw accuracy against stated confidence; larger dots hold more images."""
    bins, error = calibration(predictions.right, predictions.confidence)
    confidence = [b["confidence"] for b in bins]
    accuracy = [b["accuracy"] for b in bins]
    largest = max(b["n"] for b in bins)
    sizes = [15 + 105 * b["n"] / largest for b in bins]
    figure, ax = axes(4.4, 4.2)
    ax.plot(confidence, accuracy, color=ACCENT, lw=1.2)
    ax.scatter(confidence, accuracy, s=sizes, color=ACCENT, lw=0, clip_on=False, zorder=3)
    _draw_diagonal(ax, "stated confidence", "accuracy")
    return svg(
        figure,
        f"Reliability of {name} on the test part: accuracy against stated confidence"
        f" in {len(bins)} bins; expected calibration error {num(error)}.",
    )


def _draw_diagonal(ax: Axes, x: str, y: str) -> None:
    ax.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=x, ylabel=y)
