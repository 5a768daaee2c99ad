"""Pictures of scores: the confusion matrix, ROC lines, reliability."""

import numpy as np
from matplotlib.patches import Rectangle

from job.report.collect import Collected
from job.report.drawing import ACCENT, INK, MATRIX_MAX_CLASSES, PALETTE, SERIES, SOFT, Picture, axes, legend, shorten, svg
from job.report.points import GRID, calibration, confusions, macro, rocs


def confusion(name: str, matrix: list[list[int]], classes: list[str]) -> Picture | None:
    """Draw the counts; the depth of colour is the share of the true class."""
    k = len(classes)
    if k > MATRIX_MAX_CLASSES:
        return None
    counts = np.array(matrix)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.2 + 0.36 * max(k, 4)
    figure, ax = axes(size, size * 0.92)
    for i in range(k):
        for j in range(k):
            if counts[i, j]:
                ax.add_patch(
                    Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=PALETTE["cell"], alpha=round(0.06 + 0.94 * float(share[i, j]), 3), lw=0)
                )
            color = PALETTE["on-cell"] if share[i, j] > 0.78 else INK if counts[i, j] else SOFT
            ax.text(j, i, counts[i, j] or "·", ha="center", va="center", fontsize=8.5 if k <= 12 else 6, color=color)
    labels = [shorten(c) for c in classes]
    ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal", xticks=range(k), yticks=range(k), xlabel="predicted", ylabel="true")
    ax.set_xticklabels(labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(labels)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    worst = "; ".join(f"{c['true']} taken for {c['predicted']} {c['n']} times" for c in confusions(matrix, classes, 3))
    return svg(
        figure,
        f"Confusion matrix of {name} on the test part, {counts.trace()} of {counts.sum()} right. Most frequent: {worst or 'no confusion'}.",
    )


def roc(name: str, predictions, run: dict, classes: list[str]) -> Picture | None:
    """Draw one line per class, the macro line over them."""
    lines = rocs(predictions.labels, predictions.probabilities)
    if all(line is None for line in lines):
        return None
    figure, ax = axes(4.4, 4.2)
    for line in lines if len(classes) <= MATRIX_MAX_CLASSES else []:
        if line is not None:
            ax.plot(GRID, line, color=SOFT, lw=0.8, alpha=0.7, label="each class")
    auc = run.get("roc_auc")
    if (mean := macro(lines)) is not None:
        ax.plot(GRID, mean, color=ACCENT, lw=2, label="macro" if auc is None else f"macro, AUC {auc:.3f}")
    _diagonal(ax, "false positive rate", "true positive rate")
    legend(ax, ax, loc="lower right")
    return svg(
        figure,
        f"ROC of {name} on the test part, one line per class and their macro average"
        + (f"; macro AUC {auc:.3f}." if auc is not None else "."),
    )


def macro_rocs(collected: Collected) -> Picture | None:
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
        ax.plot(GRID, line, color=SERIES[i % len(SERIES)], lw=1.8, ls=("-", "--", ":")[i // len(SERIES) % 3], label=name)
    _diagonal(ax, "false positive rate", "true positive rate")
    ax.legend(loc="lower right")
    return svg(figure, f"Macro ROC lines of {', '.join(found)} on the test part.")


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
        f"Reliability of {name} on the test part: accuracy against stated confidence in {len(bins)} bins; expected calibration error {error:.3f}.",
    )


def _diagonal(ax, x: str, y: str) -> None:
    ax.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=x, ylabel=y)
