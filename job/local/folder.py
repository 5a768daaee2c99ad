"""The output folder OUT of `job local`, which one run at a time may use."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from job.errors import Invalid, NotReady
from job.files import make_private_folder

# In an OUT that holds nothing but the output of `job local`; `make clean` removes no other.
MARK = ".job-local"
MARKED = (
    "This folder is the output of `job local`:"
    " `make clean` with this OUT removes it, whatever is in it.\n"
)
# What an OUT of a version without marks holds.
UNMARKED = {".lock", "logs", "workers", "servers", "cache", "experiment.toml", "report"}


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Hold the lock of an output folder, which only this user may write.

    It holds a database, keys and models.

    Raises:
        NotReady: Another run uses it.
        Invalid: It cannot be used.
    """
    with ExitStack() as stack:
        try:
            _prepare(out)
            lock = stack.enter_context(open(out / ".lock", "a+"))
        except OSError as exc:
            raise Invalid(
                f"OUT = {out}: cannot be used ({exc.strerror}); give a folder this user may write"
            ) from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise NotReady(
                f"OUT = {out}: another run is using it; wait for it, or give another OUT"
            ) from exc
        yield


def _prepare(out: Path) -> None:
    """Make the folder and what is in it; mark it if it holds nothing else."""
    make_private_folder(out, "OUT")
    names = set(os.listdir(out))
    if not names or (".lock" in names and names <= UNMARKED):
        (out / MARK).write_text(MARKED)
    for name in ("logs", "workers", "servers"):
        (out / name).mkdir(parents=True, exist_ok=True)
