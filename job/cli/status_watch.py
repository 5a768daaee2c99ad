"""The state of an experiment for people: as a picture of tables and bars or as plain lines, once or until all is decided."""

import json
import os
import sys
import time
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from job.cli.status_lines import (
    failures,
    headline,
    lines,
    mean_of,
    results_of,
    span,
    speed_of,
    summary,
    workers,
)
from job.coordination.database import Database
from job.coordination.status import collect
from job.coordination.tasks import Registered
from job.errors import Unreachable
from job.interrupt import INTERRUPT
from job.text import printable_lines

NARROW = 80  # columns; below, bars and speeds give way to the numbers
WIDE = 120


def terminal() -> bool:
    """Tell whether standard output is a terminal that pictures can be drawn on."""
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
    """Show the state every `interval_s` seconds until everything is decided; through an outage of up to `outage_s`.

    Raises: Interrupted at a signal; Unreachable after an outage that was longer.
    """
    database.outage_s = 0.0  # we wait here, and say so
    screen = _Json() if as_json else _Picture() if terminal() else _Lines()
    away_since = None
    with screen:
        while True:
            try:
                state, away_since = collect(database, registered), None
                screen.state(state)
                if not state["undecided"]:
                    return
            except Unreachable as exc:
                away_since = away_since or time.monotonic()
                left_s = outage_s - (time.monotonic() - away_since)
                if left_s < interval_s:
                    raise
                screen.away(f"{exc}; trying again for {span(left_s)}")
            INTERRUPT.sleep(interval_s)


class _Json:
    """One object a line."""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def state(self, state: dict) -> None:
        print(json.dumps(state), flush=True)

    def away(self, sentence: str) -> None:
        print(f"job: {printable_lines(sentence)}", file=sys.stderr, flush=True)


class _Lines(_Json):
    """A block of lines when something has changed: not for a beat."""

    def __init__(self):
        self.said = None

    def state(self, state: dict) -> None:
        changed = {k: state[k] for k in ("stages", "models", "attempts", "failed")} | {
            "running": [
                (r["stage"], r["model"], r["index"], r["attempt"]) for r in state["running"]
            ]
        }
        if changed != self.said:
            self.said = changed
            print("\n".join([f"{datetime.now():%Y-%m-%d %H:%M:%S}", *lines(state), ""]), flush=True)


class _Picture:
    """The picture, drawn over the one before."""

    def __init__(self):
        self.console = _console()
        self.live = Live(
            console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self.last = None

    def __enter__(self):
        self.live.start()
        self.console.show_cursor(
            True
        )  # a second Ctrl-C leaves at once, and must not leave the terminal without a cursor
        return self

    def __exit__(self, *exc_info):
        self.live.stop()

    def state(self, state: dict) -> None:
        self.last = state
        self.live.update(picture(state, self.console), refresh=True)

    def away(self, sentence: str) -> None:
        parts = [picture(self.last, self.console)] if self.last else []
        self.live.update(
            Group(*parts, Text(printable_lines(sentence), style="yellow")), refresh=True
        )


def picture(state: dict, console: Console | None = None) -> Group:
    """Return the state as tables and bars that fit the console."""
    console = console or _console()
    narrow = console.width < NARROW
    parts = [
        Text(headline(state), style="bold"),
        _bars(state, min(console.width, WIDE), narrow),
        *(Text(line) for line in results_of(state)),
    ]
    ends = [Text(line, style="red") for line in failures(state)] + [
        Text(line) for line in summary(state)
    ]
    if state["running"]:
        above = sum(len(models) for models in state["stages"].values()) + len(parts) + len(ends) + 5
        parts += _worker_table(state, max(console.height - above, 3), narrow)
    return Group(*parts, *ends)


def _bars(state: dict, width: int, narrow: bool) -> Table:
    """Return a row a stage and model: its bar, how many are decided, what became of them."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, width=None if narrow else width)
    for name in ("stage", "model"):
        table.add_column(name, no_wrap=True)
    if not narrow:
        table.add_column("", ratio=1, min_width=6)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("")
    if not narrow:
        for name in ("images/s", "a task"):
            table.add_column(name, justify="right", no_wrap=True)
    for stage, models in state["stages"].items():
        for model, counts in models.items():
            total, done = (
                sum(counts.values()),
                sum(n for s, n in counts.items() if s not in ("waiting", "running")),
            )
            row = [Text(stage), Text(model), f"{done}/{total}", _states(counts)]
            if not narrow:
                row.insert(
                    2,
                    ProgressBar(
                        total,
                        done,
                        complete_style="red" if counts["failed"] else "green",
                        finished_style="green",
                    ),
                )
                row += [speed_of(state, stage, model) or "-", mean_of(state, stage, model) or "-"]
            table.add_row(*row)
    return table


def _states(counts: dict) -> Text:
    """Return what is not plain from the bar: what runs, what was pruned, what failed."""
    styles = {"running": "cyan", "pruned": "yellow", "failed": "red"}
    return Text(", ").join(
        Text(f"{counts[state]} {state}", style) for state, style in styles.items() if counts[state]
    )


def _worker_table(state: dict, room: int, narrow: bool) -> list[Table | Text]:
    """Return the workers whose leases end first, as many as there is room for."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
    order = sorted(range(len(state["running"])), key=lambda i: state["running"][i]["lease_left_s"])
    rows = workers(state)
    for i in sorted(order[:room]):
        cells = [cell for n, cell in enumerate(rows[i]) if not narrow or n in (0, 2, 4)]
        table.add_row(*(Text(cell, style="red" if cell == "lease over" else "") for cell in cells))
    return [table, *([Text(f"and {len(rows) - room} more running")] if len(rows) > room else [])]


def _console() -> Console:
    return Console(file=sys.stdout, force_terminal=True, highlight=False, markup=False)
