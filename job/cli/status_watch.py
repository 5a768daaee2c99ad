"""The state of an experiment for people: tables and bars or plain lines, once or until the end."""

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from job.cli.status_lines import (
    LEASE_EXPIRED,
    decided_of,
    failures,
    headline,
    lines,
    mean_of,
    results_of,
    span,
    speed_of,
    summary,
    worker_cells,
)
from job.coordination.database import Database
from job.coordination.registered import Registered
from job.coordination.status import collect
from job.errors import Unreachable
from job.interrupt import INTERRUPT
from job.text import printable_lines

# Columns; on a narrower terminal, bars and speeds give way to the numbers.
NARROW = 80
# Columns; on a wider terminal, bars do not grow any more.
WIDE = 120
# Task, host and lease: the cells of a worker that a narrow terminal shows.
NARROW_CELLS = (0, 2, 4)
STYLES = {"running": "cyan", "pruned": "yellow", "failed": "red"}


def terminal() -> bool:
    """Return whether standard output is a terminal that can draw tables and bars."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("", "dumb", None)


def show(state: dict) -> None:
    """Print the state once."""
    if terminal():
        _console().print(picture(state))
    else:
        print("\n".join(lines(state)), flush=True)


def watch(
    database: Database, registered: Registered, interval_s: float, outage_s: float, as_json: bool
) -> None:
    """Show the state again and again until everything is decided.

    Args:
        database: Where the experiment is.
        registered: The experiment.
        interval_s: Seconds between two updates, above 0.
        outage_s: Seconds for which the database may be unreachable.
        as_json: Print one JSON object per update.

    Raises:
        Interrupted: A signal came.
        Unreachable: An outage lasted longer than `outage_s`.
    """
    # `watch` waits for the end of an outage itself, and shows it.
    database = database.with_patience(0.0)
    away_since = None
    with _screen(as_json) as screen:
        while True:
            try:
                state = collect(database, registered)
                away_since = None
                screen.show(state)
                if not state["undecided"]:
                    return
            except Unreachable as exc:
                away_since = away_since or time.monotonic()
                left_s = outage_s - (time.monotonic() - away_since)
                if left_s < interval_s:
                    raise
                screen.show_outage(f"{exc}; trying again for {span(left_s)}")
            INTERRUPT.sleep(interval_s)


class _Screen(ABC):
    """A place that shows one state after the other."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    @abstractmethod
    def show(self, state: dict) -> None:
        """Show the state."""

    def show_outage(self, sentence: str) -> None:
        """Say that the database is unreachable."""
        print(f"job: {printable_lines(sentence)}", file=sys.stderr, flush=True)


class _Json(_Screen):
    """One JSON object per line."""

    def show(self, state: dict) -> None:
        print(json.dumps(state), flush=True)


class _Lines(_Screen):
    """A block of lines whenever something has changed; a heartbeat is no change."""

    def __init__(self) -> None:
        self._shown: dict | None = None

    def show(self, state: dict) -> None:
        running = [
            (task["stage"], task["model"], task["index"], task["attempt"])
            for task in state["running"]
        ]
        parts = {key: state[key] for key in ("stages", "models", "attempts", "failed")}
        parts["running"] = running
        if parts == self._shown:
            return
        self._shown = parts
        now = datetime.now().astimezone()
        print("\n".join([f"{now:%Y-%m-%d %H:%M:%S}", *lines(state), ""]), flush=True)


class _Picture(_Screen):
    """Tables and bars, drawn over the ones before."""

    def __init__(self) -> None:
        self._console = _console()
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._last: dict | None = None

    def __enter__(self) -> Self:
        self._live.start()
        # A second Ctrl-C ends the process at once, and must not leave a terminal without a cursor.
        self._console.show_cursor(True)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def show(self, state: dict) -> None:
        self._last = state
        self._live.update(picture(state, self._console), refresh=True)

    def show_outage(self, sentence: str) -> None:
        parts = [picture(self._last, self._console)] if self._last else []
        outage = Text(printable_lines(sentence), style="yellow")
        self._live.update(Group(*parts, outage), refresh=True)


def _screen(as_json: bool) -> _Screen:
    """Return the screen for JSON, else the one that fits standard output."""
    if as_json:
        return _Json()
    return _Picture() if terminal() else _Lines()


def picture(state: dict, console: Console | None = None) -> Group:
    """Return the state as tables and bars that fit the console.

    Args:
        state: What `job.coordination.status.collect` returns.
        console: Default: standard output.
    """
    console = console or _console()
    is_narrow = console.width < NARROW
    parts: list[RenderableType] = [
        Text(headline(state), style="bold"),
        _bars(state, min(console.width, WIDE), is_narrow),
        *map(Text, results_of(state)),
    ]
    ends = [Text(line, style="red") for line in failures(state)]
    ends += map(Text, summary(state))
    if state["running"]:
        rows = sum(len(models) for models in state["stages"].values())
        room = console.height - rows - len(parts) - len(ends) - 5
        parts += _workers(state, max(room, 3), is_narrow)
    return Group(*parts, *ends)


def _bars(state: dict, width: int, is_narrow: bool) -> Table:
    """Return one row per stage and model: a bar, how many are decided, what became of them."""
    table = _empty_table(width, is_narrow)
    for stage, models in state["stages"].items():
        for model, counts in models.items():
            total = sum(counts.values())
            decided = decided_of(counts)
            row: list[RenderableType] = [Text(stage), Text(model)]
            if not is_narrow:
                row.append(_bar(total, decided, counts["failed"]))
            row += [f"{decided}/{total}", _states(counts)]
            if not is_narrow:
                row += [speed_of(state, stage, model) or "-", mean_of(state, stage, model) or "-"]
            table.add_row(*row)
    return table


def _empty_table(width: int, is_narrow: bool) -> Table:
    """Return the columns of the table of stages and models."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, width=None if is_narrow else width)
    for name in ("stage", "model"):
        table.add_column(name, no_wrap=True)
    if not is_narrow:
        table.add_column("", ratio=1, min_width=6)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("")
    if not is_narrow:
        for name in ("images/s", "per task"):
            table.add_column(name, justify="right", no_wrap=True)
    return table


def _bar(total: int, decided: int, failed: int) -> ProgressBar:
    """Return how much of a stage is decided; red while it has failed tasks."""
    color = "red" if failed else "green"
    return ProgressBar(total, decided, complete_style=color, finished_style="green")


def _states(counts: dict[str, int]) -> Text:
    """Return what the bar does not tell: how many run, were pruned, or failed."""
    parts = [
        Text(f"{counts[state]} {state}", style) for state, style in STYLES.items() if counts[state]
    ]
    return Text(", ").join(parts)


def _workers(state: dict, room: int, is_narrow: bool) -> list[Table | Text]:
    """Return the workers whose leases end first, as many as there is room for."""
    running = state["running"]
    rows = worker_cells(state)
    order = sorted(range(len(running)), key=lambda i: running[i]["lease_left_s"])
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
    for i in sorted(order[:room]):
        cells = [rows[i][n] for n in NARROW_CELLS] if is_narrow else rows[i]
        table.add_row(*(_worker_cell(cell) for cell in cells))
    if len(rows) <= room:
        return [table]
    return [table, Text(f"and {len(rows) - room} more running")]


def _worker_cell(cell: str) -> Text:
    return Text(cell, style="red" if cell == LEASE_EXPIRED else "")


def _console() -> Console:
    return Console(file=sys.stdout, force_terminal=True, highlight=False, markup=False)
