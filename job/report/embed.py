"""Pictures as parts of the page: SVG in the page's colors, other images as their bytes."""

import base64
import re

from markupsafe import Markup, escape

from job.report.drawing import PALETTE, Picture

MIME = {"png": "image/png", "jpg": "image/jpeg"}


def embed(name: str, picture: Picture) -> Markup:
    """Return a picture as an element of the page.

    Args:
        name: the picture's file name; an SVG's ids on the page begin with it.
    """
    kind = name.rpartition(".")[2]
    if kind == "svg":
        prefix = name.removesuffix(".svg")
        return Markup(_in_theme(picture.content.decode(), prefix, picture.alt))
    data = base64.b64encode(picture.content).decode()
    return Markup('<img class="pixels" src="data:{};base64,{}" alt="{}">').format(
        MIME[kind], Markup(data), picture.alt
    )


def _in_theme(svg: str, prefix: str, alt: str) -> str:
    """Return an SVG for use in HTML: unique ids, the theme's colors, the page's font."""
    view = re.findall(r'viewBox="([^"]+)"', svg)[0]
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = _prefix_ids(body, prefix)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]+;?\s*", "", body)
    body = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font: \1 var(--sans)", body)
    for name, color in PALETTE.items():
        body = body.replace(color, f"var(--{name})")
    return f'<svg viewBox="{view}" role="img" aria-label="{escape(alt)}">{body}'


def _prefix_ids(svg: str, prefix: str) -> str:
    """Make an SVG's ids, and what refers to them, unique on the page."""

    def add_prefix(match: re.Match) -> str:
        return f"{match[1].replace('xlink:', '')}{prefix}-"

    svg = re.sub(r'( id="|xlink:href="#|url\(#)', add_prefix, svg)
    return svg.replace("xlink:href", "href")
