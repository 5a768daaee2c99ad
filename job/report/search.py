"""Pictures of the search and of training: every trial, what was tried, and curves per epoch."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from job.report.absent import pair_at
from job.report.drawing import ACCENT, INK, SECOND, SOFT, SVG_MAX_POINTS, Picture, axes, legend, svg
from job.report.formatting import num, plain
from job.report.model_format import ModelEntry
from job.report.report_format import Report
from job.report.results import Model

NAMES = {"learning_rate": "learning rate", "batch_size": "batch size"}
MOST_TICKS = 8  # of an axis; closer ones would run into each other

# Finds the place of parameters and a value in a picture; None where they have none.
Place = Callable[[dict, float], tuple[float, float] | None]


def history(model: Model, entry: ModelEntry, summary: Report) -> Picture | None:
    """Draw every trial's value, the best so far, and the interval of the best."""
    complete = model.scored_trials()
    pruned = model.scored_trials("pruned")
    if not complete:
        return None
    indices = [trial.index for trial, _ in complete]
    values = [value for _, value in complete]
    better = np.maximum if summary["direction"] == "maximize" else np.minimum
    best_so_far = better.accumulate(values)
    figure, ax = axes(5.2, 3.0)
    many = len(complete) > SVG_MAX_POINTS
    interval = pair_at(entry, "trial", "best", "interval")
    if interval:
        ax.axhspan(*interval, color=ACCENT, alpha=0.12, lw=0, label="95 % interval of the best")
    ax.plot(indices, values, "o", color=ACCENT, ms=5, alpha=0.75, label="complete", rasterized=many)
    if pruned:
        x = [trial.index for trial, _ in pruned]
        y = [value for _, value in pruned]
        ax.plot(x, y, "x", color=SOFT, ms=5, label="pruned", rasterized=many)
    ax.step(indices, best_so_far, where="post", color=SECOND, lw=1.5, label="best so far")
    ax.set(xlabel="trial", ylabel=f"{summary['metric']}, validation part")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper left", ncols=2)
    band = f", its 95 % interval {num(interval[0])} to {num(interval[1])}" if interval else ""
    return svg(
        figure,
        f"{model.name}: {summary['metric']} of {len(complete)} complete and {len(pruned)} pruned"
        f" trials in order; the best is {num(best_so_far[-1])}{band}.",
    )


def varying(model: Model, fixed: dict) -> dict[str, list]:
    """Return those of learning rate and batch size that vary among the complete trials.

    Returns:
        name -> one value per trial.
    """
    trials = [fixed | (trial.parameters or {}) for trial, _ in model.scored_trials()]
    columns = {name: [parameters.get(name) for parameters in trials] for name in NAMES}
    return {
        name: column
        for name, column in columns.items()
        if None not in column and len(set(column)) > 1
    }


def search(model: Model, entry: ModelEntry, summary: Report, fixed: dict) -> Picture | None:
    """Draw learning rate against batch size, the value as depth of color.

    Where only one of them varies, draw the value against it; where neither does, nothing.
    """
    tried = varying(model, fixed)
    if not tried:
        return None
    values = np.array([value for _, value in model.scored_trials()])
    goodness = values if summary["direction"] == "maximize" else -values
    figure, ax = axes(5.2, 3.0)
    if len(tried) == 2:
        place = _draw_both(ax, tried, goodness)
    else:
        place = _draw_one(ax, tried, values, summary["metric"])
    selection = entry["selection"]
    if selection and (point := place(fixed | selection["parameters"], selection["value"])):
        ring = {"facecolors": "none", "edgecolors": SECOND, "linewidths": 1.8}
        ax.scatter(*point, s=170, label="selected", **ring)
        figure.legend(loc="outside upper left")
    _scale_x(ax, tried)
    names = " and ".join(NAMES[name] for name in tried)
    winner = goodness.argmax()
    best = " and ".join(f"{NAMES[name]} {plain(column[winner])}" for name, column in tried.items())
    return svg(
        figure,
        f"{model.name}: {summary['metric']} of {len(values)} complete trials by {names},"
        f" from {num(values.min())} to {num(values.max())}; the best has {best}.",
    )


def _draw_both(ax: Axes, tried: dict[str, list], goodness: np.ndarray) -> Place:
    """Draw learning rate against batch size; return how to find a selection's place."""
    rates = tried["learning_rate"]
    sizes = tried["batch_size"]
    levels = sorted(set(sizes))
    rows = [levels.index(size) for size in sizes]
    depth = (goodness - goodness.min()) / (np.ptp(goodness) or 1)
    ax.scatter(rates, rows, s=70, color=ACCENT, alpha=0.12 + 0.88 * depth, linewidths=0)
    ax.scatter(rates, rows, s=70, facecolors="none", edgecolors=ACCENT, linewidths=0.6)
    ax.set(xlabel=NAMES["learning_rate"], ylabel=NAMES["batch_size"])
    ax.set(yticks=range(len(levels)), yticklabels=levels, ylim=(-0.6, len(levels) - 0.4))

    def place(parameters: dict, _: float) -> tuple[float, float] | None:
        if parameters.get("batch_size") not in levels:
            return None
        return parameters["learning_rate"], levels.index(parameters["batch_size"])

    return place


def _draw_one(ax: Axes, tried: dict[str, list], values: np.ndarray, metric: str) -> Place:
    """Draw the values against the one that varies; return how to find a selection's place."""
    ((name, column),) = tried.items()
    ax.plot(column, values, "o", color=ACCENT, ms=7, alpha=0.75)
    ax.set(xlabel=NAMES[name], ylabel=f"{metric}, validation part")

    def place(parameters: dict, value: float) -> tuple[float, float]:
        return parameters[name], value

    return place


def _scale_x(ax: Axes, tried: dict[str, list]) -> None:
    """Make the axis of learning rates or batch sizes logarithmic, with readable ticks."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(_ticks(ax, tried)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _ticks(ax: Axes, tried: dict[str, list]) -> list[float]:
    if "learning_rate" in tried:
        return _round_ticks(*ax.get_xlim())
    return sorted(set(tried["batch_size"]))


def _round_ticks(low: float, high: float) -> list[float]:
    """Return round numbers for a log axis, at least one: 0.001 and 0.01, or 0.002 and 0.005."""
    candidates = _round_numbers(low, high)
    apart = (high / low) ** (1 / (MOST_TICKS - 1))
    ticks = candidates[:1] or [float(f"{(low * high) ** 0.5:.3g}")]
    for tick in candidates:
        if tick >= ticks[-1] * apart:
            ticks.append(tick)
    return ticks


def _round_numbers(low: float, high: float) -> list[float]:
    """Return the roundest numbers in a range; more per decade as long as fewer than three fit."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    numbers: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        decades = [float(f"{digit}e{exponent}") for exponent in exponents for digit in digits]
        numbers = [number for number in decades if low <= number <= high]
        if len(numbers) >= 3:
            break
    return numbers


def curves(model: Model, key: str) -> Picture | None:
    """Draw loss or accuracy per epoch, of the folds and of the final's training.

    The folds are a band when all of them are there, else one line each.
    """
    tasks = model.stage("fold")
    known = [model.epochs.get(("fold", task.index)) for task in tasks]
    folds = [epochs for epochs in known if epochs]
    final = model.epochs.get(("final", 0))
    if not folds and not final:
        return None
    all_there = len(folds) == len(model.stage("fold", "complete")) == len(tasks)
    as_band = bool(folds) and all_there and len({len(epochs) for epochs in folds}) == 1
    figure, ax = axes(5.2, 3.4)
    _draw_folds(ax, folds, key, as_band, ACCENT, "folds, trained part")
    _draw_folds(ax, folds, f"val_{key}", as_band, SECOND, "folds, left-out part")
    if final:
        look = {"color": INK, "lw": 1.3, "ls": "--", "label": "final, whole training part"}
        _draw_line(ax, _values(final, key), **look)
    ax.set(ylabel=key, xlabel="epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, ax, loc="outside upper left", ncols=2)
    last = [epochs[-1].get(f"val_{key}") for epochs in folds]
    ends = ", ".join(num(value) for value in last if value is not None)
    return svg(
        figure,
        f"{model.name}: {key} per epoch."
        f" On the left-out part at the last epoch: {ends or 'not available'}.",
    )


def _draw_folds(
    ax: Axes, folds: list[list[dict]], key: str, as_band: bool, color: str, label: str
) -> None:
    """Draw folds as their mean in a band from lowest to highest, or one line each."""
    if not as_band:
        for epochs in folds:
            _draw_line(ax, _values(epochs, key), color=color, lw=1.1, label=label)
        return
    values = np.array([_values(epochs, key) for epochs in folds])
    x = range(1, values.shape[1] + 1)
    ax.fill_between(x, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
    _draw_line(ax, values.mean(0), color=color, lw=1.6, label=label)


def _draw_line(ax: Axes, values: np.ndarray | list[float], **look) -> None:
    """Draw a line over the epochs; a single epoch is a dot."""
    ax.plot(range(1, len(values) + 1), values, marker="o" if len(values) == 1 else None, **look)


def _values(epochs: list[dict], key: str) -> list[float]:
    return [np.nan if epoch.get(key) is None else epoch[key] for epoch in epochs]
