"""A process of ours: this interpreter and this program, whatever files lie in the folder it is called from."""

import sys


def command(*arguments: str, module: str = "job") -> list[str]:
    """Return the command line of a child: `job ARGUMENTS...`.

    Without -P Python looks into the working folder first, and a file job.py there would take our place.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
