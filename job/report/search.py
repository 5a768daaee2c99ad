"""Pictures of the search and of training: every trial, what was tried, and the curves per epoch."""

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from job.report.collect import Model
from job.report.drawing import ACCENT, INK, SECOND, SOFT, SVG_MAX_POINTS, Picture, axes, legend, svg
from job.report.formatting import num, plain

NAMES = {"learning_rate": "learning rate", "batch_size": "batch size"}


def history(model: Model, entry: dict, summary: dict) -> Picture | None:
    """Draw every trial's value, the best so far, and the interval of the best."""
    trials, pruned = (
        [t for t in model.stage("trial", state) if t.value is not None]
        for state in ("complete", "pruned")
    )
    if not trials:
        return None
    indices, values = [t.index for t in trials], [t.value for t in trials]
    running = (np.maximum if summary["direction"] == "maximize" else np.minimum).accumulate(values)
    figure, ax = axes(5.2, 3.0)
    many = len(trials) > SVG_MAX_POINTS
    if interval := entry["trial"]["best"]["interval"]:
        ax.axhspan(*interval, color=ACCENT, alpha=0.12, lw=0, label="95 % interval of the best")
    ax.plot(indices, values, "o", color=ACCENT, ms=5, alpha=0.75, label="complete", rasterized=many)
    if pruned:
        ax.plot(
            [t.index for t in pruned],
            [t.value for t in pruned],
            "x",
            color=SOFT,
            ms=5,
            label="pruned",
            rasterized=many,
        )
    ax.step(indices, running, where="post", color=SECOND, lw=1.5, label="best so far")
    ax.set(xlabel="trial", ylabel=f"{summary['metric']}, validation part")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=2)
    return svg(
        figure,
        f"{model.name}: {summary['metric']} of {len(trials)} complete and {len(pruned)} pruned trials in order; "
        f"the best is {num(running[-1])}"
        + (f", its 95 % interval {num(interval[0])} to {num(interval[1])}." if interval else "."),
    )


def differing(model: Model, fixed: dict) -> dict[str, list]:
    """Return those of learning rate and batch size that differ among the complete trials: name -> a value for each trial."""
    trials = [
        fixed | (t.parameters or {})
        for t in model.stage("trial", "complete")
        if t.value is not None
    ]
    tried = {name: [parameters.get(name) for parameters in trials] for name in NAMES}
    return {
        name: values
        for name, values in tried.items()
        if None not in values and len(set(values)) > 1
    }


def search(model: Model, entry: dict, summary: dict, fixed: dict) -> Picture | None:
    """Draw learning rate against batch size, the value as depth of colour; where only one differs, the value against it."""
    tried, selection = differing(model, fixed), entry["selection"]
    if not tried:
        return None
    values = np.array([t.value for t in model.stage("trial", "complete") if t.value is not None])
    sign = 1 if summary["direction"] == "maximize" else -1
    figure, ax = axes(5.2, 3.0)
    place = (
        _rate_and_size(ax, tried, sign * values)
        if len(tried) == 2
        else _one(ax, tried, values, summary["metric"])
    )
    if selection and (point := place(fixed | selection["parameters"], selection["value"])):
        ax.scatter(
            *point, s=170, facecolors="none", edgecolors=SECOND, linewidths=1.8, label="selected"
        )
        figure.legend(loc="outside upper left")
    _log(ax, tried)
    best = " and ".join(
        f"{NAMES[name]} {plain(of[(sign * values).argmax()])}" for name, of in tried.items()
    )
    return svg(
        figure,
        f"{model.name}: {summary['metric']} of {len(values)} complete trials by {' and '.join(NAMES[name] for name in tried)}, "
        f"from {num(values.min())} to {num(values.max())}; the best has {best}.",
    )


def _rate_and_size(ax, tried: dict[str, list], goodness: np.ndarray):
    """Draw both; return how to find a selection's place."""
    rates, sizes = tried["learning_rate"], tried["batch_size"]
    levels = sorted(set(sizes))
    depth = (goodness - goodness.min()) / (np.ptp(goodness) or 1)
    rows = [levels.index(s) for s in sizes]
    ax.scatter(rates, rows, s=70, color=ACCENT, alpha=0.12 + 0.88 * depth, linewidths=0)
    ax.scatter(rates, rows, s=70, facecolors="none", edgecolors=ACCENT, linewidths=0.6)
    ax.set(
        xlabel="learning rate",
        ylabel="batch size",
        yticks=range(len(levels)),
        yticklabels=levels,
        ylim=(-0.6, len(levels) - 0.4),
    )
    return lambda p, _: (
        (p["learning_rate"], levels.index(p["batch_size"]))
        if p.get("batch_size") in levels
        else None
    )


def _one(ax, tried: dict[str, list], values: np.ndarray, metric: str):
    """Draw the values against the one that differs; return how to find a selection's place."""
    ((name, of),) = tried.items()
    ax.plot(of, values, "o", color=ACCENT, ms=7, alpha=0.75)
    ax.set(xlabel=NAMES[name], ylabel=f"{metric}, validation part")
    return lambda p, value: (p[name], value)


def _log(ax, tried: dict[str, list]) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(
        FixedLocator(
            _ticks(*ax.get_xlim()) if "learning_rate" in tried else sorted(set(tried["batch_size"]))
        )
    )
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a log axis, as few as say enough: 0.001 and 0.01, or 0.002 and 0.005."""
    found: list[float] = []
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        found = [
            float(f"{d}e{e}") for e in exponents for d in digits if low <= float(f"{d}e{e}") <= high
        ]
        if len(found) >= 3:
            break
    apart = (high / low) ** (1 / 7)
    kept = found[:1] or [float(f"{(low * high) ** 0.5:.3g}")]
    for tick in found:
        kept += [tick] if tick >= kept[-1] * apart else []
    return kept


def curves(model: Model, key: str) -> Picture | None:
    """Draw loss or accuracy per epoch: folds as a band when all are there, else each by itself; the final's training."""
    folds = [
        model.epochs[("fold", t.index)]
        for t in model.stage("fold")
        if model.epochs.get(("fold", t.index))
    ]
    final = model.epochs.get(("final", 0))
    if not folds and not final:
        return None
    there = len(folds) == len(model.stage("fold", "complete")) == len(model.stage("fold"))
    whole = bool(folds) and there and len({len(f) for f in folds}) == 1
    figure, ax = axes(5.2, 3.4)
    _series(ax, folds, key, whole, ACCENT, "folds, trained part")
    _series(ax, folds, f"val_{key}", whole, SECOND, "folds, left-out part")
    if final:
        _line(
            ax, _values(final, key), color=INK, lw=1.3, ls="--", label="final, whole training part"
        )
    ax.set(ylabel=key, xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, ax, loc="outside upper left", ncols=2)
    ends = ", ".join(num(f[-1][f"val_{key}"]) for f in folds if f[-1].get(f"val_{key}") is not None)
    return svg(
        figure,
        f"{model.name}: {key} per epoch. On the left-out part at the last epoch: {ends or 'not there'}.",
    )


def _series(ax, folds: list[list[dict]], key: str, whole: bool, color: str, label: str) -> None:
    if whole:
        values = np.array([_values(f, key) for f in folds])
        ax.fill_between(
            range(1, values.shape[1] + 1),
            values.min(0),
            values.max(0),
            color=color,
            alpha=0.2,
            lw=0,
        )
        _line(ax, values.mean(0), color=color, lw=1.6, label=label)
        return
    for fold in folds:
        _line(ax, _values(fold, key), color=color, lw=1.1, label=label)


def _line(ax, values, **look) -> None:
    """Draw a line over the epochs; a single epoch is a dot."""
    ax.plot(range(1, len(values) + 1), values, marker="o" if len(values) == 1 else None, **look)


def _values(epochs: list[dict], key: str) -> list[float]:
    return [np.nan if e.get(key) is None else e[key] for e in epochs]
