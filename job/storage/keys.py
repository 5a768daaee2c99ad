"""Keys of the store: checked here before any becomes a path or a request, wherever it comes from.

A key that a row or an object names is somebody's word: whoever may write there could name any file of ours.
"""

import os
import stat
from pathlib import Path

from job.errors import Invalid

BAD_PARTS = {"", ".", ".."}


def is_below(key: str) -> bool:
    """Tell whether a key is a relative path downwards."""
    return isinstance(key, str) and "\0" not in key and not BAD_PARTS & set(key.split("/"))


def checked(key: str, whence: str) -> str:
    """Return a key that is a relative path downwards. Args: whence: where it stands or is asked for, for the error. Raises: Invalid."""
    if not is_below(key):
        raise Invalid(
            f"{whence}: the key {key!r} leads elsewhere; expected a path downwards, such as data/ID/manifest.json"
        )
    return key


def below(folder: Path, key: str, whence: str) -> Path:
    """Return the path of a key below a folder; no link may lead away on the way. Raises: Invalid; OSError."""
    path = folder
    for part in checked(key, whence).split("/"):
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return folder / key
        if stat.S_ISLNK(mode):
            raise Invalid(
                f"{path} is a link: expected a file or folder of {whence} itself; remove it"
            )
    return path
