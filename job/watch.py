"""The state of an experiment for people: as plain lines, as a picture of tables and bars, once or until all is decided."""

import json
import os
import sys
import time
from collections import Counter
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from job.database import Database
from job.errors import Unreachable
from job.interrupt import INTERRUPT
from job.status import STATES, collect
from job.tasks import Registered

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


def watch(database: Database, registered: Registered, interval_s: float, outage_s: float, lease_s: float, as_json: bool) -> None:
    """Show the state every `interval_s` seconds until everything is decided; through an outage of up to `outage_s`.

    Raises: Interrupted at a signal; Unreachable after an outage that was longer.
    """
    database.outage_s = 0.0  # we wait here, and say so
    screen = _Json() if as_json else _Picture() if terminal() else _Lines()
    away_since = None
    with screen:
        while True:
            try:
                state, away_since = collect(database, registered, lease_s), None
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
        print(f"job: {sentence}", file=sys.stderr, flush=True)


class _Lines(_Json):
    """A block of lines when something has changed: not for a beat."""

    def __init__(self):
        self.said = None

    def state(self, state: dict) -> None:
        changed = {k: state[k] for k in ("stages", "models", "attempts", "failed")} | {
            "running": [(r["stage"], r["model"], r["index"], r["attempt"]) for r in state["running"]]
        }
        if changed != self.said:
            self.said = changed
            print("\n".join([f"{datetime.now():%Y-%m-%d %H:%M:%S}", *lines(state), ""]), flush=True)


class _Picture:
    """The picture, drawn over the one before."""

    def __init__(self):
        self.console = _console()
        self.live = Live(console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self.last = None

    def __enter__(self):
        self.live.start()
        self.console.show_cursor(True)  # a second Ctrl-C leaves at once, and must not leave the terminal without a cursor
        return self

    def __exit__(self, *exc_info):
        self.live.stop()

    def state(self, state: dict) -> None:
        self.last = state
        self.live.update(picture(state, self.console), refresh=True)

    def away(self, sentence: str) -> None:
        parts = [picture(self.last, self.console)] if self.last else []
        self.live.update(Group(*parts, Text(sentence, style="yellow")), refresh=True)


def lines(state: dict) -> list[str]:
    """Return the state as plain lines, without a control character."""
    width = max([len("model"), *(len(m) for models in state["stages"].values() for m in models)])
    found = [headline(state), f"{'stage':8}  {'model':{width}}" + "".join(f"{s:>10}" for s in STATES) + f"{'images/s':>10}{'a task':>14}"]
    for stage, models in state["stages"].items():
        for model, counts in models.items():
            speed, mean = _speed(state, stage, model), _mean(state, stage, model)
            found.append(
                f"{stage:8}  {model:{width}}" + "".join(f"{n or '-':>10}" for n in counts.values()) + f"{speed or '-':>10}{mean or '-':>14}"
            )
    found += _results(state)
    found += [f"running: {' '.join(filter(None, row))}" for row in _workers(state)]
    return found + [*_failures(state), *summary(state)]


def picture(state: dict, console: Console | None = None) -> Group:
    """Return the state as tables and bars that fit the console."""
    console = console or _console()
    narrow = console.width < NARROW
    parts = [Text(headline(state), style="bold"), _bars(state, min(console.width, WIDE), narrow), *(Text(line) for line in _results(state))]
    ends = [Text(line, style="red") for line in _failures(state)] + [Text(line) for line in summary(state)]
    if state["running"]:
        above = sum(len(models) for models in state["stages"].values()) + len(parts) + len(ends) + 5
        parts += _worker_table(state, max(console.height - above, 3), narrow)
    return Group(*parts, *ends)


def headline(state: dict) -> str:
    """Return what is done of the whole."""
    decided = sum(
        n for models in state["stages"].values() for c in models.values() for s, n in c.items() if s not in ("waiting", "running")
    )
    return f"{state['experiment']} ({state['id']}): {decided} of {state['tasks']} tasks decided, {len(state['running'])} running"


def summary(state: dict) -> list[str]:
    """Return the attempts and the time left, as sentences."""
    found = []
    if state["attempts"]:
        lost = sum(state["attempts"].get(outcome, 0) for outcome in ("error", "vanished"))
        words = ", ".join(f"{n} {outcome}" for outcome, n in state["attempts"].items())
        found.append(f"attempts: {words}; {lost} lost")
    return [*found, _left(state)]


def _left(state: dict) -> str:
    """Return how long it will take, as far as that is known."""
    time_left, blocked = state["time_left"], _blocked(state)
    if not state["undecided"]:
        return "everything is decided" + (f", but for {blocked} tasks that cannot run: a stage before them failed" if blocked else "")
    unknown = f"; of {', '.join(time_left['unknown'])} none is decided yet" if time_left["unknown"] else ""
    if time_left["left_s"] is not None:
        least = "at least " if unknown else ""
        return f"time left: {least}about {span(time_left['left_s'])} with {time_left['workers']} at a time, if tasks go on as those decided did{unknown}"
    work = f"about {span(time_left['work_s'])} of work for one worker are left" if time_left["work_s"] else ""
    why = "" if time_left["workers"] else "nothing runs; "
    return f"time left: unknown; {why}{work}{unknown}".replace("; ;", ";").rstrip("; ")


def _blocked(state: dict) -> int:
    """Return how many tasks wait for what will never be."""
    return sum(c["waiting"] + c["running"] for models in state["stages"].values() for c in models.values()) - state["undecided"]


def _results(state: dict) -> list[str]:
    """Return a line for each model that has come to something."""
    found = []
    for model, results in state["models"].items():
        if results["best"]:
            word = "selected" if results["selected"] else "best so far"
            of = results["selected"] or results["best"]
            folds = results["folds"]
            mean = f"; mean of {folds['folds']} of {folds['of']} folds {folds['mean']:.4f}" if folds["mean"] is not None else ""
            found.append(f"{model}: {word} trial {of['trial']}, {state['metric']} {of['value']:.4f} (validation){mean}")
    return found


def _failures(state: dict) -> list[str]:
    """Return a line for each reason that tasks of a stage failed for."""
    alike = Counter((f["stage"], f["model"], printable(f["reason"])) for f in state["failed"])
    first = {}
    for f in state["failed"]:
        first.setdefault((f["stage"], f["model"], printable(f["reason"])), f["index"])
    return [
        f"failed: {model} {stage} {first[stage, model, reason]}{f' and {n - 1} more' if n > 1 else ''}: {reason}"
        for (stage, model, reason), n in alike.items()
    ]


def _workers(state: dict) -> list[tuple[str, ...]]:
    """Return task, attempt, host, step, lease and last beat of everything that runs."""
    return [
        (
            f"{r['model']} {r['stage']} {r['index']}",
            f"attempt {r['attempt']}",
            f"on {printable(r['host'])}",
            f"saved step {r['last_step']}",
            f"lease {span(r['lease_left_s'])}" if r["lease_left_s"] > 0 else "lease over",
            f"beat {span(r['beat_s'])} ago",
        )
        for r in state["running"]
    ]


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
            total, done = sum(counts.values()), sum(n for s, n in counts.items() if s not in ("waiting", "running"))
            row = [Text(stage), Text(model), f"{done}/{total}", _states(counts)]
            if not narrow:
                row.insert(2, ProgressBar(total, done, complete_style="red" if counts["failed"] else "green", finished_style="green"))
                row += [_speed(state, stage, model) or "-", _mean(state, stage, model) or "-"]
            table.add_row(*row)
    return table


def _states(counts: dict) -> Text:
    """Return what is not plain from the bar: what runs, what was pruned, what failed."""
    styles = {"running": "cyan", "pruned": "yellow", "failed": "red"}
    return Text(", ").join(Text(f"{counts[state]} {state}", style) for state, style in styles.items() if counts[state])


def _worker_table(state: dict, room: int, narrow: bool) -> list[Table | Text]:
    """Return the workers whose leases end first, as many as there is room for."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
    order = sorted(range(len(state["running"])), key=lambda i: state["running"][i]["lease_left_s"])
    rows = _workers(state)
    for i in sorted(order[:room]):
        cells = [cell for n, cell in enumerate(rows[i]) if not narrow or n in (0, 2, 4)]
        table.add_row(*(Text(cell, style="red" if cell == "lease over" else "") for cell in cells))
    return [table, *([Text(f"and {len(rows) - room} more running")] if len(rows) > room else [])]


def _speed(state: dict, stage: str, model: str) -> str:
    found = (s["images_per_s"] for s in state["images_per_s"] if (s["stage"], s["model"]) == (stage, model))
    return next((f"{speed:.0f}" for speed in found), "")


def _mean(state: dict, stage: str, model: str) -> str:
    return next((span(t["mean_s"]) for t in state["task_s"] if (t["stage"], t["model"]) == (stage, model)), "")


def table(experiments: list[dict]) -> list[str]:
    """Return the experiments of a database as lines."""
    if not experiments:
        return ["there is no experiment in the database: run `job prepare EXPERIMENT.toml`"]
    width = max(len("name"), *(len(e["name"]) for e in experiments))
    found = [f"{'name':{width}}  {'created':16}  {'decided':>13}  {'running':>7}  {'failed':>6}  {'best':34}  id"]
    for e in experiments:
        created = datetime.fromisoformat(e["created"]).astimezone()
        decided = f"{e['decided']} of {e['tasks']}"
        found.append(
            f"{e['name']:{width}}  {created:%Y-%m-%d %H:%M}  {decided:>13}  {e['running']:>7}  {e['failed']:>6}  {_best(e):34}  {e['id']}"
        )
    return found


def _best(entry: dict) -> str:
    """Return who leads, by what."""
    best = entry["best"]
    return f"{best['model']} {best['value']:.4f} ({'winner, ' if best['won'] else ''}{best['by']})" if best else "-"


def span(seconds: float) -> str:
    """Return seconds as a person says them: two units at most."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    for unit, name, below in ((24 * 60, "d", "h"), (60, "h", "min")):
        if minutes >= unit:
            rest = minutes % unit // (60 if below == "h" else 1)
            return f"{minutes // unit} {name}" + (f" {rest} {below}" if rest else "")
    return f"{minutes} min"


def printable(text: str) -> str:
    """Return a text on one line, without characters that would move a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)


def _console() -> Console:
    return Console(file=sys.stdout, force_terminal=True, highlight=False, markup=False)
