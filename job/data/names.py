"""Names of files, folders and classes: those that systems make, those that are no text, those that are written in two ways."""

import os
import unicodedata
from collections.abc import Iterable

from job import errors
from job.text import printable

SYSTEM = frozenset(  # in any case; a name that begins with a dot is hidden without standing here
    {
        "lost+found",  # the root of an ext2, ext3 or ext4 volume; only root may look into it
        "__macosx",
        "icon\r",  # macOS
        "$recycle.bin",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",  # Windows
        "@eadir",  # thumbnails of a Synology NAS
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",  # NAS of Synology and QNAP
        "__pycache__",
    }
)


def hidden(name: str) -> bool:
    """Tell whether a path, separated by "/", is or is below what a system made for itself: no class and no image."""
    return any(part.startswith(".") or part.lower() in SYSTEM for part in name.split("/"))


def same(name: str) -> str:
    """Return a name as two programs write it the same: accents composed (macOS takes them apart)."""
    return unicodedata.normalize("NFC", name)


def is_text(name: str) -> bool:
    """Tell whether database, store and report can hold a name: UTF-8, and no NUL in it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def checked(name: str, what: str) -> str:
    """Return a name that is text. Args: what: of what, for the error. Raises: Invalid."""
    if is_text(name):
        return name
    seen = "holds a NUL character" if "\0" in name else "is not UTF-8 text"
    raise errors.Invalid(f"the name {shown(name)} of {what} {seen}: rename it")


def shown(name: str) -> str:
    """Return a name in quotes as any output takes it: bytes that are no UTF-8, and what moves a cursor, escaped."""
    try:
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        name = ascii(name)[1:-1]
    return f"'{printable(name)}'"


def some(found: Iterable[str], most: int = 8) -> str:
    """Name a few of them, sorted, for a message, and count the rest."""
    found = sorted(found)
    said = [shown(name)[1:-1] for name in found[:most]]
    return ", ".join(said) + (f" and {len(found) - most} more" if len(found) > most else "")
