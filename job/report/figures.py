"""The pictures: SVG by matplotlib without pyplot, PNG for images; the same values give the same bytes.

Every colour is one of PALETTE, so that the page can put its own theme in their place.
"""

import io
import re
import warnings
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from job import evaluate
from job.report.collect import Collected, Model
from job.report.points import GRID, calibration, confusions, macro, rocs
from job.report.summary import published

PALETTE = {
    "ink": "#1b1f24",
    "soft": "#626a73",
    "line": "#e1e4e8",
    "accent": "#1f5fa8",
    "second": "#b4541a",
    "third": "#2f7d4f",
    "fourth": "#7a4fa3",
    "figure": "#fdfdfd",
    "on-accent": "#fefefe",
}
INK, SOFT, LINE, ACCENT, SECOND = (PALETTE[c] for c in ("ink", "soft", "line", "accent", "second"))
SERIES = [PALETTE[c] for c in ("accent", "second", "third", "fourth")]
STYLE = {
    "svg.hashsalt": "image-tuning-job",
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a class may be called $x$
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "figure.facecolor": PALETTE["figure"],
    "savefig.facecolor": PALETTE["figure"],
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
PNG_MAX_PX = 48  # larger images are shown smaller, and as JPEG
THUMBNAIL_PX = 96
MATRIX_MAX_CLASSES = 20
SVG_MAX_POINTS = 2000


@dataclass(frozen=True)
class Picture:
    """One file beside the page; `alt` says what it shows to who cannot see it."""

    content: bytes
    alt: str


def draw(collected: Collected, summary: dict) -> dict[str, Picture]:
    """Return every picture there is enough to draw for, by file name."""
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change a report
        matplotlib.rcParams.update(STYLE)
        pictures = _samples(collected)
        for name, model in collected.models.items():
            for kind, picture in _of_model(model, collected, summary).items():
                if picture is not None:
                    pictures[kind.format(name)] = picture
        macro = _macro_rocs(collected)
        return pictures | ({"roc.svg": macro} if macro else {})


def _of_model(model: Model, collected: Collected, summary: dict) -> dict[str, Picture | None]:
    classes, entry = collected.data["classes"], summary["models"][model.name]
    predictions, run = model.predictions.get(("final", 0)), published(entry)
    return {
        "augmentation-{}.png": _augmentation(model),
        "history-{}.svg": _history(model, collected),
        "search-{}.svg": _search(model, entry, summary),
        "curves-{}-loss.svg": _curves(model, "loss"),
        "curves-{}-accuracy.svg": _curves(model, "accuracy"),
        "confusion-{}.svg": _confusion(model.name, run["confusion_matrix"], classes) if run and run.get("confusion_matrix") else None,
        "roc-{}.svg": _roc(model.name, predictions, run, classes) if predictions and run else None,
        "reliability-{}.svg": _reliability(model.name, predictions) if predictions else None,
    }


def shorten(name: str, limit: int = 16) -> str:
    """Return a class name that fits an axis."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _svg(figure: Figure, alt: str) -> Picture:
    """Save without dates, versions and other texts that change."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Picture(_small(buffer.getvalue().decode()).encode(), alt)


def _small(svg: str) -> str:
    """Drop ids nothing refers to, and white space."""
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    return re.sub(r"\n\s*", "\n", svg)


def _axes(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _legend(where, ax, **options) -> None:
    """Name each kind of line once, however many lines are of it."""
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    where.legend(unique.values(), unique.keys(), **options)


def _history(model: Model, collected: Collected) -> Picture | None:
    """Every trial's value, the best so far, and the interval of the best."""
    trials = [t for t in model.stage("trial", "complete") if t.value is not None]
    pruned = [t for t in model.stage("trial", "pruned") if t.value is not None]
    if not trials:
        return None
    metric, best_of = collected.experiment.search["metric"], max if collected.experiment.direction == "maximize" else min
    figure, ax = _axes(5.2, 3.0)
    many = len(trials) > SVG_MAX_POINTS
    ax.plot([t.index for t in trials], [t.value for t in trials], "o", color=ACCENT, ms=5, alpha=0.75, label="complete", rasterized=many)
    if pruned:
        ax.plot([t.index for t in pruned], [t.value for t in pruned], "x", color=SOFT, ms=5, label="pruned", rasterized=many)
    values = [t.value for t in trials]
    ax.step(
        [t.index for t in trials],
        [best_of(values[: i + 1]) for i in range(len(values))],
        where="post",
        color=SECOND,
        lw=1.5,
        label="best so far",
    )
    interval = best_interval(best_of(values), collected)
    if interval:
        ax.axhspan(*interval, color=ACCENT, alpha=0.12, lw=0, label="95 % interval of the best")
    ax.set(xlabel="trial", ylabel=f"{metric}, validation part")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=2)
    return _svg(
        figure,
        f"{model.name}: {metric} of {len(trials)} complete and {len(pruned)} pruned trials in order; the best is {best_of(values):.3f}.",
    )


def best_interval(value: float, collected: Collected) -> list[float] | None:
    """Return the Wilson interval of a trial's accuracy on the validation part."""
    n = collected.data.get("validation")
    if collected.experiment.search["metric"] != "accuracy" or not n:
        return None
    return evaluate.wilson(round(value * n), n)


def _search(model: Model, entry: dict, summary: dict) -> Picture | None:
    """Learning rate against batch size, the value as depth of colour."""
    trials = [
        t for t in model.stage("trial", "complete") if t.value is not None and {"learning_rate", "batch_size"} <= set(t.parameters or {})
    ]
    rates, sizes = ([t.parameters[k] for t in trials] for k in ("learning_rate", "batch_size"))
    if len(set(rates)) < 2 or len(set(sizes)) < 2:
        return None
    values = np.array([t.value for t in trials])
    depth = (values - values.min()) / (np.ptp(values) or 1)
    depth = depth if summary["direction"] == "maximize" else 1 - depth
    levels = sorted(set(sizes))
    figure, ax = _axes(5.2, 3.0)
    ax.scatter(rates, [levels.index(s) for s in sizes], s=70, color=ACCENT, alpha=0.15 + 0.85 * depth, linewidths=0)
    if selection := entry["selection"]:
        p = selection["parameters"]
        if p.get("batch_size") in levels and "learning_rate" in p:
            ax.scatter(
                [p["learning_rate"]],
                [levels.index(p["batch_size"])],
                s=150,
                facecolors="none",
                edgecolors=SECOND,
                linewidths=1.5,
                label="selected",
            )
            figure.legend(loc="outside upper left")
    ax.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="batch size",
        yticks=range(len(levels)),
        yticklabels=levels,
        ylim=(-0.6, len(levels) - 0.4),
    )
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    return _svg(
        figure,
        f"{model.name}: learning rate and batch size of {len(trials)} complete trials; the deeper the colour, the better the {summary['metric']}. Range {values.min():.3f} to {values.max():.3f}.",
    )


def _curves(model: Model, key: str) -> Picture | None:
    """Loss or accuracy per epoch: folds as a band when all are there, else each by itself; the final's training."""
    folds = [model.epochs[("fold", t.index)] for t in model.stage("fold") if model.epochs.get(("fold", t.index))]
    final = model.epochs.get(("final", 0))
    if not folds and not final:
        return None
    whole = (
        bool(folds)
        and all(t.state == "complete" for t in model.stage("fold"))
        and len({len(f) for f in folds}) == 1
        and len(folds) == len(model.stage("fold"))
    )
    figure, ax = _axes(5.2, 3.4)
    _series(ax, folds, key, whole, ACCENT, "folds, trained part")
    _series(ax, folds, f"val_{key}", whole, SECOND, "folds, left-out part")
    if final:
        ax.plot(range(1, len(final) + 1), _values(final, key), color=INK, lw=1.3, ls="--", label="final, whole training part")
    ax.set(ylabel=key, xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, ax, loc="outside upper left", ncols=2)
    ends = ", ".join(f"{f[-1][f'val_{key}']:.3f}" for f in folds if f[-1].get(f"val_{key}") is not None)
    return _svg(figure, f"{model.name}: {key} per epoch. On the left-out part at the last epoch: {ends or 'not there'}.")


def _series(ax, folds: list[list[dict]], key: str, whole: bool, color: str, label: str) -> None:
    if whole:
        values = np.array([_values(f, key) for f in folds])
        epochs = range(1, values.shape[1] + 1)
        ax.fill_between(epochs, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
        ax.plot(epochs, values.mean(0), color=color, lw=1.6, label=label)
        return
    for fold in folds:
        ax.plot(range(1, len(fold) + 1), _values(fold, key), color=color, lw=1.1, label=label)


def _values(epochs: list[dict], key: str) -> list[float]:
    return [np.nan if e.get(key) is None else e[key] for e in epochs]


def _confusion(name: str, matrix: list[list[int]], classes: list[str]) -> Picture | None:
    """Counts; the depth of colour is the share of the true class."""
    k = len(classes)
    if k > MATRIX_MAX_CLASSES:
        return None
    counts = np.array(matrix)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 2.2 + 0.36 * max(k, 4)
    figure, ax = _axes(size, size * 0.92)
    for i in range(k):
        for j in range(k):
            if counts[i, j]:
                ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=ACCENT, alpha=round(0.06 + 0.94 * float(share[i, j]), 3), lw=0))
            ax.text(
                j,
                i,
                counts[i, j],
                ha="center",
                va="center",
                fontsize=8.5 if k <= 12 else 6,
                color=PALETTE["on-accent"] if share[i, j] > 0.7 else INK if counts[i, j] else SOFT,
            )
    labels = [shorten(c) for c in classes]
    ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal", xticks=range(k), yticks=range(k), xlabel="predicted", ylabel="true")
    ax.set_xticklabels(labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(labels)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    worst = "; ".join(f"{c['true']} taken for {c['predicted']} {c['n']} times" for c in confusions(matrix, classes, 3))
    return _svg(
        figure,
        f"Confusion matrix of {name} on the test part, {counts.trace()} of {counts.sum()} right. Most frequent: {worst or 'no confusion'}.",
    )


def _roc(name: str, predictions, run: dict, classes: list[str]) -> Picture | None:
    """One line per class, the macro line over them."""
    lines = rocs(predictions.labels, predictions.probabilities)
    if all(line is None for line in lines):
        return None
    figure, ax = _axes(4.4, 4.2)
    for line in lines if len(classes) <= MATRIX_MAX_CLASSES else []:
        if line is not None:
            ax.plot(GRID, line, color=SOFT, lw=0.8, alpha=0.7, label="each class")
    auc = run.get("roc_auc")
    if (mean := macro(lines)) is not None:
        ax.plot(GRID, mean, color=ACCENT, lw=2, label="macro" if auc is None else f"macro, AUC {auc:.3f}")
    _diagonal(ax, "false positive rate", "true positive rate")
    _legend(ax, ax, loc="lower right")
    return _svg(
        figure,
        f"ROC of {name} on the test part, one line per class and their macro average"
        + (f"; macro AUC {auc:.3f}." if auc is not None else "."),
    )


def _macro_rocs(collected: Collected) -> Picture | None:
    """The macro lines of all models in one picture."""
    found = {}
    for name, model in collected.models.items():
        predictions = model.predictions.get(("final", 0))
        line = macro(rocs(predictions.labels, predictions.probabilities)) if predictions else None
        if line is not None:
            found[name] = line
    if len(found) < 2:
        return None
    figure, ax = _axes(4.4, 4.2)
    for i, (name, line) in enumerate(found.items()):
        ax.plot(GRID, line, color=SERIES[i % len(SERIES)], lw=1.8, ls=("-", "--", ":")[i // len(SERIES) % 3], label=name)
    _diagonal(ax, "false positive rate", "true positive rate")
    ax.legend(loc="lower right")
    return _svg(figure, f"Macro ROC lines of {', '.join(found)} on the test part.")


def _reliability(name: str, predictions) -> Picture:
    """Accuracy against stated confidence."""
    bins, error = calibration(predictions.labels, predictions.probabilities)
    figure, ax = _axes(4.4, 4.2)
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
    return _svg(
        figure,
        f"Reliability of {name} on the test part: accuracy against stated confidence in {len(bins)} bins; expected calibration error {error:.3f}.",
    )


def _diagonal(ax, x: str, y: str) -> None:
    ax.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", xlabel=x, ylabel=y)


def _samples(collected: Collected) -> dict[str, Picture]:
    """One strip of images per class."""
    if collected.samples is None:
        return {}
    found = {}
    for i, (images, name) in enumerate(zip(collected.samples, collected.data["classes"], strict=False)):
        content, kind = _mosaic(images[None])
        found[f"samples-{i:02d}.{kind}"] = Picture(content, f"{len(images)} training images of {name}")
    return found


def _augmentation(model: Model) -> Picture | None:
    """Each row an image and its variants."""
    if model.augmentation is None:
        return None
    originals, variants = model.augmentation
    content, _ = _mosaic(np.concatenate([originals[:, None], variants], axis=1), first_gap=6, jpeg=False)
    return Picture(content, f"{len(originals)} training images, each with {variants.shape[1]} variants as {model.name} sees them")


def _mosaic(images: np.ndarray, first_gap: int = 2, jpeg: bool = True) -> tuple[bytes, str]:
    """Return images uint8 [rows, columns, h, w, 3] as one picture with small gaps, and its file type."""
    height, width = images.shape[2:4]
    large = max(height, width) > PNG_MAX_PX
    limit = THUMBNAIL_PX if jpeg else 64
    scale = min(1.0, limit / max(height, width))
    h, w = max(round(height * scale), 1), max(round(width * scale), 1)
    rows, columns = images.shape[:2]
    kind = "jpg" if large and jpeg else "png"
    canvas = Image.new(
        "RGB" if kind == "jpg" else "RGBA",
        (columns * (w + 2) - 2 + first_gap - 2, rows * (h + 2) - 2),
        (255, 255, 255) if kind == "jpg" else (0, 0, 0, 0),
    )
    for r in range(rows):
        for c in range(columns):
            tile = Image.fromarray(images[r, c])
            tile = tile if scale == 1.0 else tile.resize((w, h), Image.Resampling.LANCZOS)
            canvas.paste(tile, (c * (w + 2) + (first_gap - 2 if c else 0), r * (h + 2)))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG" if kind == "jpg" else "PNG", **({"quality": 82} if kind == "jpg" else {"optimize": True}))
    return buffer.getvalue(), kind
