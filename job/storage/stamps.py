# pyright: strict
"""Stamps: the hash of a file, with its size, times and inode, so that nobody hashes it twice.

The kernel sets a file's time of change at every write, and whenever its times, mode, owner or
name are changed. No call sets it back. So a file whose stamp still fits has not been written to
since it was hashed, not by this user either. There are exceptions, for which `job verify --deep`
hashes in full: what a disk loses by itself; what is written past the file system, or after the
clock was set back; and a write within the same tick of the clock as the stamp, some milliseconds.

Times and sizes need not show what a power cut takes from a disk. So a stamp counts until the
machine starts again, and the cache need not wait for its disk: lost bytes are downloaded again.
Where the kernel names no boot, no stamp counts.
"""

import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOOT = Path("/proc/sys/kernel/random/boot_id")
STAMP_BYTES = 4096  # more than any stamp has


class Stamp(NamedTuple):
    """A file's SHA-256, hexadecimal, and its inode's values then: bytes, nanoseconds."""

    sha256: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    boot: str  # of the machine, as the kernel names it; "" where it does not

    def holds(self, file: int) -> bool:
        """Tell whether an open file is unchanged since its stamp."""
        return bool(self.boot) and self == stamp(file, self.sha256)


def stamp(file: int, sha256: str) -> Stamp:
    """Return the stamp of an open file that has this hash."""
    status = os.fstat(file)
    return Stamp(
        sha256,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        _boot(),
    )


def write(note: int, made: Stamp) -> None:
    """Write a stamp into an open file.

    This need not be atomic: a stamp that was cut counts as none.
    """
    os.ftruncate(note, 0)
    os.pwrite(note, json.dumps(made._asdict()).encode(), 0)


def read(note: int) -> Stamp | None:
    """Return the stamp in an open file, or None if it has no valid one."""
    try:
        return Stamp(**json.loads(os.pread(note, STAMP_BYTES, 0)))
    except (ValueError, TypeError):
        return None


@cache
def _boot() -> str:
    """Return the kernel's name of this boot, or "" if it has none."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return ""
