"""How the page writes numbers, times and lists. A missing value is a dash."""

import math
from typing import Any

from job.report.absent import DASH, is_absent


def num(value: Any, digits: int = 3) -> str:
    """Return a score with a fixed number of digits.

    A half rounds away from zero, however a float holds it.
    """
    if is_absent(value):
        return DASH
    return f"{value + math.copysign(1e-9, value):.{digits}f}".replace("-", "−")


def interval(pair: Any, digits: int = 3) -> str:
    """Return the two ends of an interval, or a dash unless both are there.

    They are joined by "to" where a minus sign could be taken for a dash.
    """
    if is_absent(pair) or not pair or any(is_absent(end) for end in pair):
        return DASH
    low, high = pair
    joint = " to " if low < 0 else "–"
    return f"{num(low, digits)}{joint}{num(high, digits)}"


def count(value: Any) -> str:
    """Return a whole number with separated thousands."""
    return DASH if is_absent(value) else f"{value:,}"


def share(value: Any) -> str:
    """Return a share of 0..1 as per cent, with as many digits as scores have."""
    return DASH if is_absent(value) else f"{num(100 * value, 1)} %"


def plural(n: Any, what: str) -> str:
    """Return "1 time", "2 times"."""
    if is_absent(n):
        return f"{DASH} {what}s"
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def some(names: list, most: int = 20) -> str:
    """Return up to `most` names, joined by commas, and how many more there are."""
    known = [DASH if is_absent(name) else name for name in names]
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def duration(seconds: Any) -> str:
    """Return seconds as seconds, minutes or hours."""
    if is_absent(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def plain(value: Any) -> str:
    """Return a parameter as a person would write it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return DASH if is_absent(value) else str(value)


def shape(value: Any) -> str:
    """Return a layer's shape without its batch axis."""
    if isinstance(value, (list, tuple)):
        return "\u00a0×\u00a0".join(str(v) for v in value if v is not None)
    return str(value).replace("None, ", "").strip("(),")
