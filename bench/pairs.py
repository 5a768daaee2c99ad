"""Measure contenders in turn, A B A B: a machine whose speed drifts then drifts for both."""

import math
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from job.learning.processor import cpu_model

HEADS = ("", "ours", "yardstick", "unit", "ratio", "from", "to", "n", "goal")
WORDS = ("", "unit", "goal")  # the columns that are aligned to the left


@dataclass(frozen=True)
class Row:
    """One comparison: the medians over rounds, and the median of the ratios of each round."""

    name: str
    unit: str
    ours: float
    yardstick: float
    ratio: float  # above 1: ours is better
    spread: tuple[float, float]  # the smallest and the largest ratio of a round
    n: int
    more_is_better: bool = True
    goal: float = 1.0
    # Replaces the goal: the most that ours may be, or the least where more is better.
    limit: float | None = None

    @property
    def reached(self) -> bool:
        """Tell whether the goal or the limit is reached."""
        if self.limit is None:
            return self.ratio >= self.goal
        return self.ours >= self.limit if self.more_is_better else self.ours <= self.limit


def in_turn(rounds: int, *contenders: Callable) -> list[list]:
    """Measure each contender once per round; return the measurements by contender.

    The contender that is first in one round is last in the next.
    """
    measured = [[] for _ in contenders]
    for number in range(rounds):
        order = range(len(contenders)) if number % 2 == 0 else range(len(contenders) - 1, -1, -1)
        for i in order:
            measured[i].append(contenders[i]())
    return measured


def compare(
    name: str,
    unit: str,
    ours: list[float],
    yardstick: list[float],
    less_is_better: bool = False,
    goal: float = 1.0,
    limit: float | None = None,
) -> Row:
    """Return the row of two contenders, measured round by round.

    A contender that failed in one round (nan) has neither a number nor a ratio.
    """
    ratios = [
        _ratio(b, a) if less_is_better else _ratio(a, b)
        for a, b in zip(ours, yardstick, strict=True)
    ]
    return Row(
        name,
        unit,
        ours=_over(statistics.median, ours),
        yardstick=_over(statistics.median, yardstick),
        ratio=_over(statistics.median, ratios),
        spread=(_over(min, ratios), _over(max, ratios)),
        n=len(ratios),
        more_is_better=not less_is_better,
        goal=goal,
        limit=limit,
    )


def _over(call: Callable, values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else call(values)


def document(rows: list[Row]) -> list[dict]:
    """Return the rows for JSON, where nan and infinity become null."""
    return [{k: _json_value(v) for k, v in vars(row).items()} for row in rows]


def _json_value(value):
    if isinstance(value, tuple):
        return [_json_value(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(rows: list[Row]) -> str:
    """Return the rows as a table for people."""
    lines = [HEADS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    return "\n".join(_line(cells, widths) for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row, in the order of the heads."""
    ratios = [_cell(r, f"{r:.2f}") for r in (row.ratio, *row.spread)]
    goal = f"{row.goal:g}" if row.limit is None else f"{row.limit:g} {row.unit}"
    if not row.reached:
        goal += "  missed"
    numbers = (_short(row.ours), _short(row.yardstick), row.unit, *ratios, str(row.n))
    return (row.name, *numbers, goal)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Return a line of the table: words to the left, numbers to the right."""
    padded = [
        cell.ljust(width) if head in WORDS else cell.rjust(width)
        for head, cell, width in zip(HEADS, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _short(value: float) -> str:
    return _cell(value, f"{value:.0f}" if value >= 100 else f"{value:.3g}")


def _cell(value: float, text: str) -> str:
    return text if math.isfinite(value) else "-"


def _ratio(a: float, b: float) -> float:
    """Return a / b; 1 for 0 / 0, and infinity for any other division by 0."""
    if b:
        return a / b
    return math.inf if a else 1.0


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95% interval of the mean of paired differences (Student's t)."""
    from scipy import stats

    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    return differences.mean() - half, differences.mean() + half


def machine() -> str:
    """Return one line that describes this machine."""
    import os

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {cpu_model()}, {memory:.0f} GiB, Python {python}"
