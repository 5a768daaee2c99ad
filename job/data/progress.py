"""How far a long reading is: a bar on a terminal, a line of the log now and then elsewhere."""

import logging
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

LINE_S = 30.0  # between two lines

log = logging.getLogger(__name__)


@contextmanager
def progress(
    what: str, total: int, done: int = 0, shown: bool = True
) -> Generator[Callable[[], None]]:
    """Yield a function to call after each image.

    Args:
        what: the verb, such as "decoding".
        total: how many images there are.
        done: how many are done already.
        shown: whether to say anything.
    """
    if not shown:
        yield _say_nothing
        return
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") not in ("", "dumb", None)
    show = _bar if is_terminal else _lines
    with show(what, total, done) as advance:
        yield advance


def _say_nothing() -> None:
    pass


@contextmanager
def _bar(what: str, total: int, done: int) -> Generator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    rate = _Rate()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total, completed=done, rate="")

        def advance() -> None:
            bars.update(bar, advance=1, rate=f"{rate.count():,.0f} images/s")

        yield advance


@contextmanager
def _lines(what: str, total: int, done: int) -> Generator[Callable[[], None]]:
    rate = _Rate()
    said = time.monotonic()

    def advance() -> None:
        nonlocal said, done
        done += 1
        per_s = rate.count()
        now = time.monotonic()
        if now - said >= LINE_S and done < total:
            said = now
            left = (total - done) / per_s
            log.info(
                "%s: %d of %d images, %.0f per second, %.0f s left", what, done, total, per_s, left
            )

    yield advance


class _Rate:
    """Images per second since the beginning."""

    def __init__(self):
        self._began = time.monotonic()
        self._n = 0

    def count(self) -> float:
        """Count one more, and return how many a second there are."""
        self._n += 1
        return self._n / max(time.monotonic() - self._began, 1e-9)
