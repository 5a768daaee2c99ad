# pyright: strict
"""Every way a `job` can end, and the exit code of each.

Exit codes are an interface: schedulers decide by them whether to run a task again.
A message says what failed, the value and where it came from, what is expected and
what to do next. The class only decides the code.
"""

import errno
import os

# What a disk or a mount of one node says: read-only after an error, unreadable, gone.
BROKEN = {errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EUCLEAN}

EXIT_CODES = {
    0: "decided: done now or before; a pruned or infeasible trial is decided too",
    1: "error; the attempt counts",
    2: "usage: an invalid flag, argument or index",
    69: "database, store or disk out of reach for too long, or this node is at fault: run it again",
    70: "this task can never be completed; the reason is stored",
    75: "interrupted or not ready yet: run it again",
    78: (
        "permanent: wrong password, missing grant, invalid file, other schema version;"
        " fix it before running again"
    ),
}


class JobError(Exception):
    """An error of one attempt; after three without progress the task has failed for good."""

    exit_code = 1


class UsageError(JobError):
    """A flag, an argument or an index is invalid."""

    exit_code = 2


class Unreachable(JobError):
    """Database, store or disk is out of reach, longer than `outage_s` or for this node alone."""

    exit_code = 69


class Impossible(JobError):
    """This task can never be completed; the reason is stored with it."""

    exit_code = 70


class NotReady(JobError):
    """Something is missing: tables, an experiment, an earlier stage; or another owner is at it."""

    exit_code = 75


class Interrupted(JobError):
    """A signal was obeyed: the step is finished, the state saved, the lease released."""

    exit_code = 75


class LeaseLost(JobError):
    """Another attempt owns the task now; this one must not write anything anymore."""

    exit_code = 75


class Invalid(JobError):
    """Permanent: an invalid file, a wrong password, a missing grant, another schema version."""

    exit_code = 78


class Missing(JobError):
    """The store has no object under this key."""


class Infeasible(JobError):
    """Such parameters cannot be trained: a trial ends as pruned with this reason, and is decided.

    The message begins with one of INFEASIBLE.
    """


DIVERGED = "diverged"
OUT_OF_MEMORY = "out of memory"
INFEASIBLE = (DIVERGED, OUT_OF_MEMORY)


def on_this_node(what: str) -> Unreachable:
    """Return the error for a fault that is, as far as one can tell, this node's alone.

    Args:
        what: the beginning of the sentence: what failed, and why.
    """
    return Unreachable(
        f"{what}: this node, {os.uname().nodename}, is at fault, another may succeed;"
        " repair it, then run the command again"
    )
