"""`--count K`: K tasks in one allocation, each its own process."""

import os
import subprocess
import sys

from job.errors import Interrupted
from job.index import Element
from job.interrupt import INTERRUPT


def in_turn(stage: str, asked: Element, count: int) -> int:
    """Run `count` tasks as children, one after the other; return the first exit code that is not 0.

    A code that says "run me again" ends the row.
    """
    worst = 0
    arguments = [a for a in sys.argv[1:] if a != stage]
    for flag in ("--index", "--count"):
        arguments = _without(arguments, flag)
    environ = {k: v for k, v in os.environ.items() if k not in ("JOB_INDEX_OFFSET",)}
    for index in range(asked.index * count, (asked.index + 1) * count):
        INTERRUPT.check()
        if asked.from_scheduler:
            environ[asked.origin] = str(index)
        flags = [] if asked.from_scheduler else ["--index", str(index)]
        child = subprocess.Popen([sys.executable, "-m", "job", stage, *flags, *arguments], env=environ)
        code = _wait(child)
        worst = worst or code
        if code not in (0, 70, 1):
            break
    return worst


def _wait(child: subprocess.Popen) -> int:
    """Wait for a child, hand our signal on to it, and return its exit code as a shell would."""
    told = False
    while True:
        try:
            code = child.wait(0.2)
        except subprocess.TimeoutExpired:
            if INTERRUPT.signal and not told:
                child.send_signal(INTERRUPT.signal)
                told = True
            continue
        if told and code == -INTERRUPT.signal:  # it had not taken over the signals yet
            return Interrupted.exit_code
        return code if code >= 0 else 128 - code


def _without(arguments: list[str], flag: str) -> list[str]:
    """Return the arguments without a flag and its value."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith(f"{flag}="):
            skip = argument == flag
            if not skip:
                kept.append(argument)
        else:
            skip = False
    return kept
