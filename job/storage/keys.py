# pyright: strict
"""Keys of the store, checked before any becomes a path or a request.

A key in a row or an object is untrusted: whoever may write there could name any file of ours.
"""

import os
import stat
from pathlib import Path

from job.errors import Invalid

BAD_PARTS = {"", ".", ".."}


def is_below(key: object) -> bool:
    """Tell whether a key is a relative path downwards."""
    return isinstance(key, str) and "\0" not in key and not BAD_PARTS & set(key.split("/"))


def check_key(key: str, origin: str) -> str:
    """Return a key that is a relative path downwards.

    Args:
        key: the key to check.
        origin: where it comes from or is looked up, for the error.

    Raises:
        Invalid: the key is anything else.
    """
    if not is_below(key):
        raise Invalid(
            f"{origin}: the key {key!r} leads elsewhere;"
            " expected a path downwards, such as data/ID/manifest.json"
        )
    return key


def path_below(folder: Path, key: str, origin: str) -> Path:
    """Return the path of a key below a folder.

    Args:
        folder: of the store or the cache.
        key: relative to the folder.
        origin: the folder's name, for the error.

    Raises:
        Invalid: the key leads elsewhere, or one of its parts is a link.
        OSError: a part cannot be read.
    """
    path = folder
    for part in check_key(key, origin).split("/"):
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return folder / key
        if stat.S_ISLNK(mode):
            raise Invalid(
                f"{path} is a link: expected a file or folder of {origin} itself; remove it"
            )
    return path
