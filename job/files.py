# pyright: strict
"""Files that appear whole or not at all, and folders that only this user may write to."""

import errno
import os
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from job.errors import Invalid

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# What fsync of a folder raises on network file systems that do not have it.
NO_FSYNC = (errno.EINVAL, errno.ENOTSUP)


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all, as `open_whole` does.

    Args:
        path: of the file; an existing one is replaced.
        content: its bytes.
        mode: of the new file, less the umask.

    Raises:
        OSError: the file cannot be written.
    """
    with open_whole(path, mode) as file:
        file.write(content)


@contextmanager
def open_whole(path: Path, mode: int = 0o666, prefix: str = ".job-") -> Generator[BinaryIO]:
    """Yield a new file beside `path`, which replaces `path` when the block ends well.

    If the block fails, the new file is removed. A reader of `path` sees the old file or the
    whole new one, also after a power cut.

    Args:
        path: of the file.
        mode: of the new file, less the umask.
        prefix: of the temporary name, by which a killed process's leftovers are recognized.

    Raises:
        OSError: the file cannot be written.
    """
    partial = path.with_name(f"{prefix}{uuid.uuid4().hex}")
    handle = os.open(partial, NEW_FILE, mode)
    try:
        with open(handle, "w+b") as file:
            yield file
        settle(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def settle(partial: Path, path: Path) -> None:
    """Rename a complete file or folder, durably.

    Its bytes reach the disk before the rename, and the new name before this returns.

    Args:
        partial: the temporary name.
        path: the name to give.

    Raises:
        OSError: a sync or the rename failed.
    """
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
        if exc.errno not in NO_FSYNC:
            raise
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, so that their names survive a power cut.

    An existing folder is left alone.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    sync(path.parent)


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Open a regular file and return its descriptor.

    A link is not followed. A pipe is refused rather than waited for.

    Args:
        path: of the file.
        flags: for `os.open`.
        mode: of the file, if the flags create it.

    Raises:
        Invalid: the path leads to a link, a pipe, a socket or a folder.
        OSError: the file cannot be opened.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise _not_regular(path) from exc
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise _not_regular(path)


def _not_regular(path: Path) -> Invalid:
    return Invalid(
        f"{path} is not one of our files: expected a file, found a link, a pipe or a folder;"
        " remove it"
    )


def make_private_folder(path: Path, named: str) -> None:
    """Make a folder that only this user may use, or check an existing one.

    An existing folder must belong to this user, and nobody else may write to it: in a folder
    that others may write to, every name may lead elsewhere.

    Args:
        path: of the folder.
        named: the beginning of an error: what the folder is and how to name another one,
            as in "the cache JOB_CACHE_DIR".

    Raises:
        Invalid: the folder is another user's, others may write to it, or it is not a folder.
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    check_private_folder(path, named)


def check_private_folder(path: Path, named: str) -> None:
    """Check an existing folder as `make_private_folder` does.

    Raises:
        Invalid: as `make_private_folder`.
        OSError: the folder is missing or cannot be read.
    """
    status = path.lstat()
    user = os.geteuid()
    if stat.S_ISLNK(status.st_mode) and status.st_uid == user:
        status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise Invalid(
            f"{named} = {path}: expected a folder, found something else;"
            " remove it, or name another one"
        )
    if status.st_uid != user:
        raise Invalid(
            f"{named} = {path} belongs to user {status.st_uid}, this is user {user}:"
            " name a folder of your own"
        )
    if status.st_mode & OTHERS_WRITE:
        raise Invalid(
            f"{named} = {path}: others may write there (mode {stat.S_IMODE(status.st_mode):o}):"
            f" run `chmod go-w {path}`, or name another one"
        )
