"""Pictures of scores: the confusion matrix, ROC lines, reliability."""

import numpy as np
from matplotlib.patches import Rectangle

from job.report.collect import Collected
from job.report.curves import GRID, calibration, confusions, macro, rocs
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
from job.report.formatting import num
from job.report.summary import published


def confusion(name: str, counts: np.ndarray | None, classes: list[str]) -> Picture | None:
    """Draw the counts, int [k, k]; the depth of colour is the share of the true class."""
    k = len(classes)
    if counts is None or k > MATRIX_MAX_CLASSES:
        return None
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.2 + 0.36 * max(k, 4)
    figure, ax = axes(size, size * 0.92)
    for i in range(k):
        for j in range(k):
            if counts[i, j]:
                ax.add_patch(
                    Rectangle(
                        (j - 0.5, i - 0.5),
                        1,
                        1,
                        facecolor=PALETTE["cell"],
                        alpha=round(0.06 + 0.94 * float(share[i, j]), 3),
                        lw=0,
                    )
                )
            color = PALETTE["on-cell"] if share[i, j] > 0.78 else INK if counts[i, j] else SOFT
            ax.text(
                j,
                i,
                counts[i, j] or "·",
                ha="center",
                va="center",
                fontsize=8.5 if k <= 12 else 6,
                color=color,
            )
    labels = [shorten(c) for c in classes]
    ax.set(
        xlim=(-0.5, k - 0.5),
        ylim=(k - 0.5, -0.5),
        aspect="equal",
        xticks=range(k),
        yticks=range(k),
        xlabel="predicted",
        ylabel="true",
    )
    ax.set_xticklabels(labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(labels)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    worst = "; ".join(
        f"{c['true']} taken for {c['predicted']} {c['n']} times"
        for c in confusions(counts, classes, 3)
    )
    return svg(
        figure,
        f"Confusion matrix of {name} on the test part, {counts.trace()} of {counts.sum()} right. Most frequent: {worst or 'no confusion'}.",
    )


def roc(name: str, predictions, run: dict, classes: list[str]) -> Picture | None:
    """Draw one line per class, of up to 20, and the macro line over them; None where neither can be drawn."""
    lines = rocs(predictions.labels, predictions.probabilities)
    mean, shown = (
        macro(lines),
        [line for line in lines if line is not None] if len(classes) <= MATRIX_MAX_CLASSES else [],
    )
    if mean is None and not shown:
        return None
    figure, ax = axes(4.4, 4.2)
    for line in shown:
        ax.plot(GRID, line, color=SOFT, lw=0.8, alpha=0.7, label="each class")
    auc = "" if run.get("roc_auc") is None else f", AUC {num(run['roc_auc'])}"
    if mean is not None:
        ax.plot(GRID, mean, color=ACCENT, lw=2, label=f"macro{auc}")
    _diagonal(ax, "false positive rate", "true positive rate")
    legend(ax, ax, loc="lower right")
    drawn = [f"{len(shown)} of {len(classes)} classes"] * bool(shown) + [
        f"the macro average{auc}"
    ] * (mean is not None)
    return svg(figure, f"ROC of {name} on the test part, one-vs-rest: {' and '.join(drawn)}.")


def macro_rocs(collected: Collected, summary: dict) -> Picture | None:
    """Draw the macro lines of all models in one picture."""
    found = {}
    for name, model in collected.models.items():
        predictions = model.predictions.get(("final", 0))
        line = macro(rocs(predictions.labels, predictions.probabilities)) if predictions else None
        if line is not None:
            found[name] = line
    if len(found) < 2:
        return None
    figure, ax = axes(4.4, 4.2)
    for i, (name, line) in enumerate(found.items()):
        ax.plot(
            GRID,
            line,
            color=SERIES[i % len(SERIES)],
            lw=1.8,
            ls=("-", "--", ":")[i // len(SERIES) % 3],
            label=name,
        )
    _diagonal(ax, "false positive rate", "true positive rate")
    ax.legend(loc="lower right")
    runs = {name: published(summary["models"][name]) or {} for name in found}
    areas = [
        name
        + (f" (AUC {num(runs[name]['roc_auc'])})" if runs[name].get("roc_auc") is not None else "")
        for name in found
    ]
    return svg(figure, f"Macro ROC lines on the test part: {', '.join(areas)}.")


def reliability(name: str, predictions) -> Picture:
    """Draw accuracy against stated confidence."""
    bins, error = calibration(predictions.labels, predictions.probabilities)
    figure, ax = axes(4.4, 4.2)
    largest = max(b["n"] for b in bins)
    ax.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], color=ACCENT, lw=1.2)
    ax.scatter(
        [b["confidence"] for b in bins],
        [b["accuracy"] for b in bins],
        s=[15 + 105 * b["n"] / largest for b in bins],
        color=ACCENT,
        lw=0,
        clip_on=False,
        zorder=3,
    )
    _diagonal(ax, "stated confidence", "accuracy")
    return svg(
        figure,
        f"Reliability of {name} on the test part: accuracy against stated confidence in {len(bins)} bins; expected calibration error {num(error)}.",
    )


def _diagonal(ax, x: str, y: str) -> None:
    ax.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=x, ylabel=y)
