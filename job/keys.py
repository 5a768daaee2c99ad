"""Keys of the store: checked here before any becomes a path or a request, wherever it comes from.

A key that a row or an object names is somebody's word: whoever may write there could name any file of ours.
"""

import os
import stat
from pathlib import Path

from job.errors import Invalid

BAD_PARTS = {"", ".", ".."}


def checked(key: str, whence: str) -> str:
    """Return a key that is a relative path downwards. Args: whence: where it stands, for the error. Raises: Invalid."""
    if not isinstance(key, str) or "\0" in key or BAD_PARTS & set(key.split("/")):
        raise Invalid(f"{whence} names the key {key!r}: expected a path below the store, such as data/ID/manifest.json")
    return key


def below(folder: Path, key: str, whence: str) -> Path:
    """Return the path of a key below a folder; no link may lead away on the way. Raises: Invalid."""
    path = folder
    for part in checked(key, whence).split("/"):
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return folder / key
        if stat.S_ISLNK(mode):
            raise Invalid(f"{path} is a link: expected a file or folder of {whence} itself; remove it")
    return path
