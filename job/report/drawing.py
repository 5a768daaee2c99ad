"""How pictures are drawn: SVG by matplotlib without pyplot, one style; the same values give the same bytes.

Every colour is one of PALETTE, so that the page can put its own theme in their place.
"""

import io
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure

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
MATRIX_MAX_CLASSES = 20
SVG_MAX_POINTS = 2000


@dataclass(frozen=True)
class Picture:
    """One file beside the page; `alt` says what it shows to who cannot see it."""

    content: bytes
    alt: str


@contextmanager
def style():
    """Draw in our style, whatever a user's matplotlibrc says."""
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def shorten(name: str, limit: int = 16) -> str:
    """Return a class name that fits its place."""
    return name if len(name) <= limit else name[: limit - 1] + "…"


def svg(figure: Figure, alt: str) -> Picture:
    """Save without dates, versions and other texts that change."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    return Picture(_small(buffer.getvalue().decode()).encode(), alt)


def _small(svg: str) -> str:
    """Drop ids nothing refers to, and white space."""
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in used else "", svg)
    return re.sub(r"\n\s*", "\n", svg)


def axes(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def legend(where, ax, **options) -> None:
    """Name each kind of line once, however many lines are of it."""
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    where.legend(unique.values(), unique.keys(), **options)
