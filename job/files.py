"""Files written whole or not at all, and folders that are ours alone: the one place for both."""

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from job.errors import Invalid

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all, as `whole` does."""
    with whole(path, mode) as file:
        file.write(content)


@contextmanager
def whole(path: Path, mode: int = 0o666, prefix: str = ".job-") -> Iterator[BinaryIO]:
    """Yield a new file beside `path` that takes its name once the block ends well, else goes.

    Whoever reads `path` sees the file before or the whole new one, also after a power cut.

    Args:
        mode: of the new file, less the umask.
        prefix: how its name begins until then; what a killed process leaves is known by it.

    Raises: OSError.
    """
    partial = path.with_name(f"{prefix}{uuid.uuid4().hex}")
    handle = os.open(
        partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode
    )
    try:
        with open(handle, "w+b") as file:
            yield file
        settle(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def settle(partial: Path, path: Path) -> None:
    """Give a complete file, or a folder of such, its name: its bytes reach the disk before, and the name before this returns."""
    for below in partial.rglob("*") if partial.is_dir() else ():
        sync(below)
    sync(partial)
    os.replace(partial, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Write a file's bytes, or a folder's names, through to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in (
            errno.EINVAL,
            errno.ENOTSUP,
        ):  # some network file systems have no fsync of a folder
            raise
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, so that their names outlast a power cut; one that is there is left alone."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    sync(path.parent)


def opened(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open what must be a file, not a link to one, nor a pipe that would wait for its other end; return the descriptor.

    Raises: Invalid; OSError.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise _no_file(path) from exc
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise _no_file(path)


def _no_file(path: Path) -> Invalid:
    return Invalid(
        f"{path} is no file of ours: expected a file, found a link, a pipe or a folder; remove it"
    )


def own_folder(path: Path, named: str) -> None:
    """Make a folder that only this user may use, unless it is there; one that is there must be this user's alone to write.

    In a folder that somebody else made, or may write, every name may lead elsewhere.

    Args: named: what it is and how another is named, for an error: "the cache JOB_CACHE_DIR".

    Raises: Invalid for a folder of another user, one that others may write, or none; OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    check_own(path, named)


def check_own(path: Path, named: str) -> None:
    """Check a folder that is there as `own_folder` does. Raises: Invalid; OSError."""
    found, us = path.lstat(), os.geteuid()
    if stat.S_ISLNK(found.st_mode) and found.st_uid == us:
        found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise Invalid(
            f"{named} = {path}: expected a folder, found something else; remove it, or name another"
        )
    if found.st_uid != us:
        raise Invalid(
            f"{named} = {path} belongs to user {found.st_uid}, this is user {us}: name a folder of your own"
        )
    if found.st_mode & OTHERS_WRITE:
        raise Invalid(
            f"{named} = {path}: others may write there (mode {stat.S_IMODE(found.st_mode):o}): run `chmod go-w {path}`, or name another"
        )
