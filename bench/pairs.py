"""Contenders in turn, A B A B: so that a machine whose speed drifts drifts for both."""

import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from job.record import cpu_model


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
    goal: float = 1.0


def in_turn(rounds: int, *contenders: Callable[[], float]) -> list[list[float]]:
    """Return what each contender measured, each once a round; whoever is first in one round is last in the next."""
    found = [[] for _ in contenders]
    for number in range(rounds):
        order = range(len(contenders)) if number % 2 == 0 else range(len(contenders) - 1, -1, -1)
        for i in order:
            found[i].append(contenders[i]())
    return found


def compare(name: str, unit: str, ours: list[float], yardstick: list[float], less_is_better: bool = False, goal: float = 1.0) -> Row:
    """Return the row of what two contenders measured, round by round."""
    ratios = [b / a if less_is_better else a / b for a, b in zip(ours, yardstick, strict=True)]
    middle = statistics.median
    return Row(name, unit, middle(ours), middle(yardstick), middle(ratios), (min(ratios), max(ratios)), len(ratios), goal)


def table(rows: list[Row]) -> str:
    """Return the rows as a table for people."""
    lines = [("", "ours", "yardstick", "unit", "ratio", "from", "to", "n", "goal")]
    for row in rows:
        numbers = (_short(row.ours), _short(row.yardstick), row.unit, *(f"{r:.2f}" for r in (row.ratio, *row.spread)), str(row.n))
        lines.append((row.name, *numbers, f"{row.goal:g}" + ("" if row.ratio >= row.goal else "  missed")))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) if i in (0, 3, 8) else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """Return what this was measured on."""
    import os

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {cpu_model()}, {memory:.0f} GiB, Python {platform.python_version()}"
