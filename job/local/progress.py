"""What a person sees of the processes of `job local`: their progress, and what they warn of."""

import re
import sys
import time
from collections import Counter
from pathlib import Path

import click

from job.experiment.task import Key
from job.text import printable

WARNING = re.compile(r"^\d\d:\d\d:\d\d WARNING (.*)$", re.M)  # as `logs` writes it
MOST_WARNINGS = 5  # of one process: an outage has one for each try


class Output:
    """What one process writes to a log that others wrote to before."""

    def __init__(self, path: Path):
        self.path = path
        self._begin = path.stat().st_size if path.exists() else 0

    def text(self) -> str:
        with open(self.path, errors="replace") as file:
            file.seek(self._begin)
            return file.read()

    def last_line(self) -> str:
        lines = self.text().strip().splitlines()
        return lines[-1] if lines else "no word"

    def warnings(self) -> list[str]:
        """Return the distinct warnings, of many the first; where the others are is the last."""
        found = list(dict.fromkeys(WARNING.findall(self.text())))
        more = len(found) - MOST_WARNINGS
        return found[:MOST_WARNINGS] + (
            [f"and {more} more warnings in {self.path}"] if more > 0 else []
        )


class Progress:
    """Bars on a terminal, plain lines elsewhere."""

    def __init__(self, keys: list[Key]):
        self.total, self.count, self.started = (
            Counter(k.stage for k in keys),
            Counter(),
            time.monotonic(),
        )
        self.bars = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self.bars = Progress(
                TextColumn("{task.description:9}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self.ids = {
                stage: self.bars.add_task(stage, total=n) for stage, n in self.total.items()
            }

    def __enter__(self):
        if self.bars:
            self.bars.start()
        return self

    def __exit__(self, *exc_info):
        if self.bars:
            self.bars.stop()

    def done(self, key: Key, word: str = "done") -> None:
        """Count a decided task."""
        self.count[key.stage] += 1
        if self.bars:
            self.bars.advance(self.ids[key.stage])
        if not self.bars or word != "done":
            self.say(f"{key} {word} ({self.count[key.stage]} of {self.total[key.stage]})")

    def say(self, text: str) -> None:
        """Print a line, above the bars if there are any."""
        line = f"[{time.monotonic() - self.started:6.0f} s] {printable(text)}"
        self.bars.console.print(line, markup=False, highlight=False) if self.bars else click.echo(
            line, err=True
        )
