"""`--count K`: K tasks in one allocation, one process per task."""

import os
import subprocess
from collections.abc import Sequence

from job.child import command
from job.errors import Impossible, Interrupted, JobError
from job.experiment.task import Element
from job.interrupt import ASKED_AGAIN, INTERRUPT, MARGIN_S

CONTINUES = (0, JobError.exit_code, Impossible.exit_code)  # a task that ends so lets the next run
POLL_S = 0.2


def run_in_turn(stage: str, asked: Element, count: int, options: Sequence[str]) -> int:
    """Run `count` tasks as children, one after the other, and return one exit code for all.

    The next task also runs after an error (1) and after a task that can never be completed (70).
    Any other code but 0 ends the series at once and is its code. Otherwise 1 takes precedence over
    70, because an error deserves another attempt.

    Args:
        stage: features, trial, fold or final.
        asked: the index I of the series, and where it came from.
        count: how many tasks; they are those from I * count on.
        options: the other options of this process, for each child.

    Raises:
        Interrupted: a signal came between two tasks.
    """
    INTERRUPT.grace_s += MARGIN_S  # a child has a watchdog of its own, and leaves first
    environ = dict(os.environ)
    environ.pop("JOB_INDEX_OFFSET", None)  # it is part of the index already
    codes = {0}
    for index in range(asked.index * count, (asked.index + 1) * count):
        INTERRUPT.check()
        if asked.from_scheduler:
            environ[asked.origin] = str(index)
        flags = [] if asked.from_scheduler else ["--index", str(index)]
        code = _wait(subprocess.Popen(command(stage, *flags, *options), env=environ))
        if code not in CONTINUES:
            return code
        codes.add(code)
    return next(code for code in (JobError.exit_code, Impossible.exit_code, 0) if code in codes)


def _wait(child: subprocess.Popen) -> int:
    """Wait for a child and return its exit code as a shell would.

    If we are asked to leave, we ask the child.
    """
    while True:
        try:
            code = child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            if INTERRUPT.signal:
                # Until it hears. It never counts as the second signal: the first may have reached
                # both of us.
                child.send_signal(ASKED_AGAIN)
            continue
        if INTERRUPT.signal and code == -INTERRUPT.signal:  # it had not taken over the signals yet
            return Interrupted.exit_code
        return code if code >= 0 else 128 - code
