"""How the page says numbers, times and lists."""

import math

from job.report.absent import DASH, is_absent


def num(value, digits: int = 3) -> str:
    """Return a score with fixed digits, a half rounded up however a float holds it; what is not there is a dash."""
    return (
        DASH
        if is_absent(value)
        else f"{value + math.copysign(1e-9, value):.{digits}f}".replace("-", "−")
    )


def interval(pair, digits: int = 3) -> str:
    """Return low to high; "to" where a sign could be taken for a dash. Of an end that is not there nothing is told."""
    if is_absent(pair) or not pair or any(is_absent(v) for v in pair):
        return DASH
    low, high = (num(v, digits) for v in pair)
    return f"{low} to {high}" if pair[0] < 0 else f"{low}–{high}"


def count(value) -> str:
    """Return a whole number with thousands."""
    return DASH if is_absent(value) else f"{value:,}"


def share(value) -> str:
    """Return a share as per cent, with as many digits as scores have."""
    return DASH if is_absent(value) else f"{num(100 * value, 1)} %"


def plural(n: int, what: str) -> str:
    """Return "1 time", "2 times"."""
    if is_absent(n):
        return f"{DASH} {what}s"
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def some(names: list[str], most: int = 20) -> str:
    """Return names with commas, the first of many."""
    names = [DASH if is_absent(name) else name for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def duration(seconds: float | None) -> str:
    """Return seconds as a person says them."""
    if is_absent(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def plain(value) -> str:
    """Return a parameter as one would write it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return DASH if is_absent(value) else str(value)


def shape(value) -> str:
    """Return a layer's shape without its batch axis."""
    if isinstance(value, (list, tuple)):
        return "\u00a0×\u00a0".join(str(v) for v in value if v is not None)
    return str(value).replace("None, ", "").strip("(),")
