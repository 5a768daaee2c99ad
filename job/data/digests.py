"""Hashes of files, and notes beside downloads of the hashes they came with."""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from job import errors, files


def kind(expected: str) -> str:
    """Return the algorithm of a hexadecimal hash: "md5" or "sha256"."""
    return "md5" if len(expected) == 32 else "sha256"


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hash of a file, hexadecimal.

    Raises:
        errors.Invalid: a link, a pipe or a folder.
        OSError: the file cannot be read.
    """
    with open(files.open_regular(path), "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_note(target: Path, content: Path) -> None:
    """Write the note of a copy.

    Args:
        target: the file or folder that the note is for.
        content: where it is now; its hashes are noted.
    """
    files.write_whole(_note_of(target), json.dumps(_hashes(content)).encode(), 0o600)


def matches_note(target: Path) -> bool:
    """Tell whether a copy has the hashes of its note; not so if either cannot be read."""
    with (
        contextlib.suppress(OSError, ValueError, errors.Invalid),
        open(files.open_regular(_note_of(target))) as file,
    ):
        return json.load(file) == _hashes(target)
    return False


def _note_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.hashes")


def _hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, or of each file below a folder by its relative path.

    Raises: errors.Invalid for a link; OSError.
    """
    if not path.is_dir() or path.is_symlink():
        return {"": digest(path)}
    below = [
        os.path.join(top, name)
        for top, folders, names in os.walk(path)
        for name in names + _links(top, folders)
    ]
    return {os.path.relpath(name, path): digest(Path(name)) for name in below}


def _links(top: str, folders: list[str]) -> list[str]:
    return [name for name in folders if os.path.islink(os.path.join(top, name))]
