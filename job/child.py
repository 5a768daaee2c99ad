# pyright: strict
"""Command lines of child processes: this interpreter and this program, from any folder."""

import sys


def command(*arguments: str, module: str = "job") -> list[str]:
    """Return the command line of a child: `job ARGUMENTS...`.

    Without -P, Python searches the working folder first, and a file job.py there would run instead.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
