"""What a file was when it was hashed: its hash, beside size, times and inode, so that nobody need hash it again.

The kernel sets a file's time of change at every write, and whenever its times, mode, owner or name are changed; no call sets it
back. So a file whose stamp still fits has not been written to since it was hashed, not by this user either. That does not hold for
what a disk loses by itself, what is written past the file system or after setting the clock back, and for a write within the same
tick of the clock as the stamp, some milliseconds: `job verify --deep` hashes in full.

What a power cut takes from a disk, times and sizes need not show. So a stamp counts until the machine starts again, and the
cache need not wait for its disk: bytes that are lost are fetched again. Where the kernel names no boot, no stamp counts.
"""

import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Stamp(NamedTuple):
    """A file's sha256, hexadecimal, and what its inode said then: bytes, nanoseconds."""

    sha256: str
    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    boot: str  # of the machine, as the kernel names it; "" where it does not

    def holds(self, file: int) -> bool:
        """Tell whether nothing was done to an open file since."""
        return bool(self.boot) and self == stamp(file, self.sha256)


def stamp(file: int, sha256: str) -> Stamp:
    """Return the stamp of an open file that has this hash."""
    found = os.fstat(file)
    return Stamp(sha256, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, _boot())


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


@cache
def _boot() -> str:
    """Return the kernel's name of this boot, "" for none."""
    with suppress(OSError):
        return BOOT.read_text().strip()
    return ""
