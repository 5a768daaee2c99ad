"""How pictures are drawn: SVG by matplotlib without pyplot, in one style.

The same values give the same bytes. Every color is one of PALETTE, so that the page can replace
it by its theme's.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

PALETTE = {
    "ink": "#1b1f24",
    "soft": "#626a73",
    "line": "#e1e4e8",
    "accent": "#1f5fa8",
    "second": "#b4541a",
    "third": "#2f7d4f",
    "fourth": "#7a4fa3",
    "figure": "#fdfdfd",
    "cell": "#1f5fa9",
    "on-cell": "#fefefe",
}
INK = PALETTE["ink"]
SOFT = PALETTE["soft"]
LINE = PALETTE["line"]
ACCENT = PALETTE["accent"]
SECOND = PALETTE["second"]
SERIES = [PALETTE[c] for c in ("accent", "second", "third", "fourth")]
STYLE: "dict[RcKeyType, Any]" = {
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
MATRIX_MAX_CLASSES = 20
SVG_MAX_POINTS = 2000


@dataclass(frozen=True)
class Picture:
    """One file beside the page; `alt` describes it to readers who cannot see it."""

    content: bytes
    alt: str


@contextmanager
def style() -> Iterator[None]:
    """Draw in the report's style, whatever a user's matplotlibrc says."""
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def shorten(name: str, limit: int = 16) -> str:
    """Return a class name of at most `limit` characters."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def svg(figure: Figure, alt: str) -> Picture:
    """Save a figure without dates, versions and other texts that change."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return Picture(_compact(buffer.getvalue().decode()).encode(), alt)


def _compact(svg: str) -> str:
    """Drop white space, and the ids that nothing refers to."""
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    return re.sub(r"\n\s*", "\n", svg)


def axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, and its only axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def legend(where: Figure | Axes, ax: Axes, **options) -> None:
    """Name each kind of line once, however many such lines there are."""
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    where.legend(unique.values(), unique.keys(), **options)
