"""`--count K`: K tasks in one allocation, each its own process."""

import os
import subprocess
import sys

from job.child import command
from job.errors import Impossible, Interrupted, JobError
from job.experiment.task import Element
from job.interrupt import ASKED_AGAIN, INTERRUPT, MARGIN_S


def in_turn(stage: str, asked: Element, count: int) -> int:
    """Run `count` tasks as children, one after the other, and return one exit code for all.

    A task that ended with an error, or never can be completed, does not keep the others from their turn;
    any other code but 0 ends the row and is its code. An error goes before a 70: it deserves another attempt.
    """
    INTERRUPT.grace_s += MARGIN_S  # a child has a watchdog of its own, and leaves first
    ended = {0}
    arguments = sys.argv[1:]
    arguments.remove(stage)
    for flag in ("--index", "--count"):
        arguments = _without(arguments, flag)
    environ = {k: v for k, v in os.environ.items() if k not in ("JOB_INDEX_OFFSET",)}
    for index in range(asked.index * count, (asked.index + 1) * count):
        INTERRUPT.check()
        if asked.from_scheduler:
            environ[asked.origin] = str(index)
        flags = [] if asked.from_scheduler else ["--index", str(index)]
        child = subprocess.Popen(command(stage, *flags, *arguments), env=environ)
        code = _wait(child)
        if code not in (0, JobError.exit_code, Impossible.exit_code):
            return code
        ended.add(code)
    return next(code for code in (JobError.exit_code, Impossible.exit_code, 0) if code in ended)


def _wait(child: subprocess.Popen) -> int:
    """Wait for a child, ask it to leave when we are asked, and return its exit code as a shell would."""
    while True:
        try:
            code = child.wait(0.2)
        except subprocess.TimeoutExpired:
            if (
                INTERRUPT.signal
            ):  # until it hears, and never as its second: the signal may have reached both of us
                child.send_signal(ASKED_AGAIN)
            continue
        if INTERRUPT.signal and code == -INTERRUPT.signal:  # it had not taken over the signals yet
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
