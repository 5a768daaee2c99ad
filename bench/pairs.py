"""Contenders in turn, A B A B: so that a machine whose speed drifts drifts for both."""

import math
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from job.learning.provenance import cpu_model


@dataclass(frozen=True)
class Row:
    """One comparison: medians over rounds, and how much better ours is, by the median of the ratios round by round."""

    name: str
    unit: str
    ours: float
    yardstick: float
    ratio: float  # above 1: ours is better
    spread: tuple[float, float]  # least and largest ratio of a round
    n: int
    more_is_better: bool = True
    goal: float = 1.0
    limit: float | None = (
        None  # instead of a goal for the ratio: the most that ours may be, or the least where more is better
    )

    @property
    def reached(self) -> bool:
        """Whether the goal was."""
        if self.limit is None:
            return self.ratio >= self.goal
        return self.ours >= self.limit if self.more_is_better else self.ours <= self.limit


def in_turn(rounds: int, *contenders: Callable[[], float]) -> list[list[float]]:
    """Return what each contender measured, each once a round; whoever is first in one round is last in the next."""
    found = [[] for _ in contenders]
    for number in range(rounds):
        order = range(len(contenders)) if number % 2 == 0 else range(len(contenders) - 1, -1, -1)
        for i in order:
            found[i].append(contenders[i]())
    return found


def compare(
    name: str,
    unit: str,
    ours: list[float],
    yardstick: list[float],
    less_is_better: bool = False,
    goal: float = 1.0,
    limit: float | None = None,
) -> Row:
    """Return the row of what two contenders measured, round by round; who failed in one round (nan) has no number, and no ratio."""
    ratios = [
        _ratio(b, a) if less_is_better else _ratio(a, b)
        for a, b in zip(ours, yardstick, strict=True)
    ]
    return Row(
        name,
        unit,
        _over(statistics.median, ours),
        _over(statistics.median, yardstick),
        _over(statistics.median, ratios),
        (_over(min, ratios), _over(max, ratios)),
        len(ratios),
        not less_is_better,
        goal,
        limit,
    )


def _over(call: Callable, values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else call(values)


def document(rows: list[Row]) -> list[dict]:
    """Return the rows for JSON, which knows neither nan nor infinity."""
    return [{k: _known(v) for k, v in vars(row).items()} for row in rows]


def _known(value):
    if isinstance(value, tuple):
        return [_known(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(rows: list[Row]) -> str:
    """Return the rows as a table for people."""
    lines = [("", "ours", "yardstick", "unit", "ratio", "from", "to", "n", "goal")]
    for row in rows:
        numbers = (
            _short(row.ours),
            _short(row.yardstick),
            row.unit,
            *(_cell(r, f"{r:.2f}") for r in (row.ratio, *row.spread)),
            str(row.n),
        )
        goal = f"{row.goal:g}" if row.limit is None else f"{row.limit:g} {row.unit}"
        lines.append((row.name, *numbers, goal + ("" if row.reached else "  missed")))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i in (0, 3, 8) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _short(value: float) -> str:
    return _cell(value, f"{value:.0f}" if value >= 100 else f"{value:.3g}")


def _cell(value: float, shown: str) -> str:
    return shown if math.isfinite(value) else "-"


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.inf if a else 1.0


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences (Student's t)."""
    from scipy import stats

    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    return differences.mean() - half, differences.mean() + half


def machine() -> str:
    """Return what this was measured on."""
    import os

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {cpu_model()}, {memory:.0f} GiB, Python {platform.python_version()}"
