"""What a person sees of the processes of `job local`: their progress and their warnings."""

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import click

from job.experiment.task import Key
from job.text import printable

# A line of the log, as `job.logs` writes it.
WARNING = re.compile(r"^\d\d:\d\d:\d\d WARNING (.*)$", re.MULTILINE)
# Of one process: an outage has a warning for each retry.
MOST_WARNINGS = 5


class Output:
    """What one process writes to a log that others wrote to before."""

    def __init__(self, path: Path):
        self.path = path
        self._begin = path.stat().st_size if path.exists() else 0

    def text(self) -> str:
        """Return what the process has written so far."""
        with open(self.path, errors="replace") as file:
            file.seek(self._begin)
            return file.read()

    def last_line(self) -> str:
        """Return the last line, or a word that says there is none."""
        lines = self.text().strip().splitlines()
        return lines[-1] if lines else "no output"

    def warnings(self) -> list[str]:
        """Return the first distinct warnings, and where to find the others."""
        distinct = list(dict.fromkeys(WARNING.findall(self.text())))
        more = len(distinct) - MOST_WARNINGS
        if more <= 0:
            return distinct
        return [*distinct[:MOST_WARNINGS], f"and {more} more warnings in {self.path}"]


class _Bars:
    """A bar per stage on standard error."""

    def __init__(self, total: Counter[str]):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._ids = {stage: self._progress.add_task(stage, total=n) for stage, n in total.items()}

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def advance(self, stage: str) -> None:
        self._progress.advance(self._ids[stage])

    def print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)


class Progress:
    """How many tasks of each stage are decided: bars on a terminal, plain lines elsewhere."""

    def __init__(self, keys: Iterable[Key]):
        self._total = Counter(key.stage for key in keys)
        self._count: Counter[str] = Counter()
        self._started = time.monotonic()
        self._bars = _Bars(self._total) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bars:
            self._bars.stop()

    def done(self, key: Key, word: str = "done") -> None:
        """Count a decided task. Args: word: What became of it; any but "done" is printed."""
        stage = key.stage
        self._count[stage] += 1
        if self._bars:
            self._bars.advance(stage)
        if not self._bars or word != "done":
            self.say(f"{key} {word} ({self._count[stage]} of {self._total[stage]})")

    def say(self, text: str) -> None:
        """Print a line, above the bars if there are any."""
        line = f"[{time.monotonic() - self._started:6.0f} s] {printable(text)}"
        if self._bars:
            self._bars.print(line)
        else:
            click.echo(line, err=True)
