"""Every way a `job` can end, and the exit code each one has.

Exit codes are an interface: schedulers decide by them whether to run a task again.
A message says what failed, the value and where it came from, what is expected and
what to do next; the class only decides the code.
"""

import errno
import os

# By a disk or a mount of one node: read-only after an error, unreadable, gone.
BROKEN = {errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EUCLEAN}

EXIT_CODES = {
    0: "decided: done now or before; a pruned or diverged trial is decided too",
    1: "error; the attempt counts",
    2: "usage: a flag, an argument or an index that cannot be",
    69: "database, store or disk out of reach for too long, or this node is at fault: run me again",
    70: "this task can never be completed; the reason is stored",
    75: "interrupted or not ready yet: run me again",
    78: "what waiting cannot mend: wrong password, missing grant, invalid file, other schema version",
}


class JobError(Exception):
    """An error of one attempt; three without progress and the task has failed for good."""

    exit_code = 1


class UsageError(JobError):
    """A flag, an argument or an index that cannot be."""

    exit_code = 2


class Unreachable(JobError):
    """Database, store or disk were out of reach for longer than `outage_s`, or are so for this node alone."""

    exit_code = 69


class Impossible(JobError):
    """This task can never be completed; the reason is stored with it."""

    exit_code = 70


class NotReady(JobError):
    """What this task needs is not there yet: no tables, no experiment, a stage before it, another owner."""

    exit_code = 75


class Interrupted(JobError):
    """A signal was obeyed: the step is finished, the state saved, the lease released."""

    exit_code = 75


class LeaseLost(JobError):
    """Another attempt owns the task now; this one must not write anything any more."""

    exit_code = 75


class Invalid(JobError):
    """What waiting cannot mend: an invalid file, a wrong password, a missing grant, another schema version."""

    exit_code = 78


class Missing(JobError):
    """The store has no object under this key."""


class Diverged(JobError):
    """The loss is not finite: the trial ends as pruned, with the reason, and is not tried again."""


class Pruned(JobError):
    """The pruner decided, at an epoch, that this trial ends here."""


def on_this_node(what: str) -> Unreachable:
    """Return the error for what fails on this node, and for all one can tell on no other. Args: what: failed, for the sentence."""
    return Unreachable(
        f"{what}: this node, {os.uname().nodename}, is at fault, another may do it; mend it, then run me again"
    )
