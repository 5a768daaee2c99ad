"""Names of files, folders and classes: system names, bytes that are not text, spellings."""

import os
import unicodedata
from collections.abc import Iterable

from job import errors
from job.text import printable

# In lower case. Names that begin with a dot are hidden without an entry here.
SYSTEM = frozenset(
    {
        # Linux: the root of an ext2, ext3 or ext4 volume; only root may list it.
        "lost+found",
        # macOS.
        "__macosx",
        "icon\r",
        # Windows.
        "$recycle.bin",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        # Synology and QNAP: thumbnails, recycle bins, snapshots.
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        # Python.
        "__pycache__",
    }
)


def hidden(name: str) -> bool:
    """Tell whether a path, separated by "/", is, or is below, a hidden or a system name."""
    return any(part.startswith(".") or part.lower() in SYSTEM for part in name.split("/"))


def normalize(name: str) -> str:
    """Return a name with its accents composed, as macOS decomposes them."""
    return unicodedata.normalize("NFC", name)


def is_text(name: str) -> bool:
    """Tell whether database, store and report can hold a name: UTF-8 without a NUL."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def check_text(name: str, what: str) -> None:
    """Check that a name is text.

    Args:
        name: the name of a class, a file or a folder.
        what: what bears the name, for the error.

    Raises:
        errors.Invalid: the name is not UTF-8, or holds a NUL.
    """
    if is_text(name):
        return
    defect = "holds a NUL character" if "\0" in name else "is not UTF-8 text"
    raise errors.Invalid(f"the name {quote(name)} of {what} {defect}: rename it")


def escape(name: str) -> str:
    """Return a name that any output can print.

    Bytes that are not UTF-8, and characters that do not show or move a cursor, are escaped.
    """
    try:
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        name = ascii(name)[1:-1]
    return printable(name)


def quote(name: str) -> str:
    """Return an escaped name in quotes."""
    return f"'{escape(name)}'"


def list_some(names: Iterable[str], most: int = 8) -> str:
    """Return the first few names, sorted and escaped, and the number of the others."""
    names = sorted(names)
    listed = ", ".join(escape(name) for name in names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
