# pyright: strict
"""The bound on the size of a node's cache: which files it has, and which are removed first."""

import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from job.storage.locks import lock_file, remove_unused


class CachedFile(NamedTuple):
    """A file of a cache; the least recently used one sorts first."""

    used_ns: int  # time of its last use
    size: int  # bytes
    path: Path


def cached_files(folder: Path) -> Generator[CachedFile]:
    """Yield each file that a `Cache` made below a folder: it has its lock file beside it."""
    for top, _, names in os.walk(folder):
        for name in names:
            if lock_file(Path(name)).name not in names:
                continue
            path = Path(top, name)
            with suppress(FileNotFoundError):  # deleted by hand
                used_ns = lock_file(path).lstat().st_mtime_ns
                yield CachedFile(used_ns, path.lstat().st_size, path)


def evict(folder: Path, bound: float) -> list[int]:
    """Remove the least recently used files of a cache until the rest is within a bound.

    Files in use are skipped. Only one process of a node may do this at a time: two would remove
    twice as much as necessary.

    Args:
        folder: of the cache.
        bound: bytes.

    Returns:
        The size of each removed file, in bytes.
    """
    cached = sorted(cached_files(folder))
    excess = sum(file.size for file in cached) - bound
    removed: list[int] = []
    for file in cached:
        if sum(removed) < excess and remove_unused(file.path):
            removed.append(file.size)
    return removed
