"""`job status` as a picture, on a terminal of any width."""

import io

import pytest
from rich.console import Console

from job.cli.status_watch import picture
from tests.support.status_rows import running, state


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}])
def test_a_picture_of_any_width(width, environ):
    """No line exceeds the terminal, the numbers are there, and NO_COLOR means no color."""
    out = io.StringIO()
    terminal = {"width": width, "height": 20, "force_terminal": True, "color_system": "standard"}
    console = Console(file=out, **terminal, highlight=False, markup=False, _environ=environ)
    many = state(running=[running(index=i, lease_left_s=100 - i) for i in range(300)])
    console.print(picture(many, console))
    first, *styled = out.getvalue().split("\x1b[")
    plain = first + "".join(part.partition("m")[2] for part in styled)
    assert max(map(len, plain.splitlines())) <= width
    assert "6/12" in plain
    assert "cnn" in plain
    assert ("\x1b[3" in out.getvalue()) == (not environ)
    if width >= 80:
        assert "812" in plain
        assert "2 min" in plain
        assert "more running" in plain
        assert len(plain.splitlines()) <= 20
