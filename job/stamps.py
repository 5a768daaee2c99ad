"""What a file was when it was hashed: its hash, beside size, times and inode, so that nobody need hash it again.

The kernel sets a file's time of change at every write, and whenever its times, mode, owner or name are changed; no call sets it
back. So a file whose stamp still fits has not been written to since it was hashed, not by this user either. That does not hold for
what a disk loses by itself, what is written past the file system or after setting the clock back, and for a write within the same
tick of the clock as the stamp, some milliseconds: `job verify --deep` hashes in full.
"""

import json
import os
from typing import NamedTuple


class Stamp(NamedTuple):
    """A file's sha256, hexadecimal, and what its inode said then: bytes, nanoseconds."""

    sha256: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int


def stamp(file: int, sha256: str) -> Stamp:
    """Return the stamp of an open file that has this hash."""
    found = os.fstat(file)
    return Stamp(sha256, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def write(note: int, made: Stamp) -> None:
    """Write a stamp into an open file. One that was cut is none, so that this need not be in one step."""
    os.ftruncate(note, 0)
    os.pwrite(note, json.dumps(made._asdict()).encode(), 0)


def read(note: int) -> Stamp | None:
    """Return the stamp in an open file, None for none."""
    try:
        return Stamp(**json.loads(os.pread(note, 4096, 0)))
    except (ValueError, TypeError):
        return None
