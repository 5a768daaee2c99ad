# pyright: strict
"""The folder of a node's cache: this user's alone, with locks, scratch folders and our errors."""

import errno
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from job import files
from job.errors import BROKEN, Interrupted, Invalid, Unreachable, on_this_node
from job.settings import SETTINGS
from job.storage import locks
from job.storage.keys import path_below

OTHERS = stat.S_IRWXG | stat.S_IRWXO
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_RIGHT = (errno.EACCES, errno.EPERM)
UNFINISHED_S = 7 * 24 * 3600  # that a folder waits for the next process of its name

log = logging.getLogger(__name__)


def own(folder: Path) -> None:
    """Make this node's cache a folder of this user alone, or check an existing one.

    Raises:
        Invalid: it is another user's, others may write to it, or it is not a folder.
        OSError: it cannot be made.
    """
    files.make_private_folder(folder, "JOB_CACHE_DIR")
    if folder == SETTINGS["cache_dir"].default and folder.stat().st_mode & OTHERS:
        folder.chmod(0o700)  # an earlier version let everybody read the images


class CacheFolder:
    """The folder of a node's cache. Before its first use, it is made, or checked, as ours alone.

    Attributes:
        folder: its path.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._owned = False

    @contextmanager
    def scratch(self) -> Generator[Path]:
        """Yield an empty folder of this process, after removing those of killed processes."""
        top = self._path("scratch")
        with self._guard():
            top.mkdir(exist_ok=True)
        with self._lock(top / "all"), self._guard():
            _remove_dead(top)
            mine = Path(tempfile.mkdtemp(dir=top))
            handle = os.open(mine, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            with self._guard():
                yield mine
        finally:
            _remove(mine)
            os.close(handle)

    @contextmanager
    def unfinished(self, name: str) -> Generator[Path]:
        """Yield a folder of this process; if a signal ends it, the next one gets that as it is.

        While another process has it, this waits, but not through a signal. Folders of other names
        that no process came back to for a week are removed.

        Args:
            name: of the folder; equal names are equal work.
        """
        path = self._path(f"unfinished/{name}")
        with self._guard():
            _remove_old(path.parent, path)
            handle = _open_own(path)
        is_kept = False
        try:
            yield path
        except Interrupted:
            is_kept = True
            raise
        finally:
            if not is_kept:
                _remove(path)
            os.close(handle)

    def _path(self, key: str) -> Path:
        """Return the path of a key in the cache, or of the cache itself for "".

        Before its first use, the cache is made a folder of this user alone.
        """
        with self._guard():
            if not self._owned:
                own(self.folder)
                self._owned = True
            return path_below(self.folder, key, f"the cache {self.folder}") if key else self.folder

    @contextmanager
    def _lock(self, path: Path) -> Generator[int]:
        """Hold this node's lock on a path, and yield the descriptor of its lock file.

        This waits for the lock, but not through a signal.
        """
        with self._guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = files.open_regular(locks.lock_file(path), os.O_RDWR | os.O_CREAT)
        with locks.closing(handle):
            locks.lock(handle, fcntl.LOCK_EX)
            yield handle

    @contextmanager
    def _guard(self) -> Generator[None]:
        """Translate an error of the disk into ours.

        Once the cache is known to be ours, a broken disk or a missing right is this node's alone.
        """
        try:
            yield
        except OSError as exc:
            if exc.errno in NO_SPACE:
                raise Unreachable(
                    f"no space left for the cache in {self.folder}: free some, lower JOB_CACHE_GB,"
                    " or set JOB_CACHE_DIR to a larger disk"
                ) from exc
            cannot = f"JOB_CACHE_DIR = {self.folder}: cannot be used ({exc.strerror})"
            if exc.errno in BROKEN or (self._owned and exc.errno in NO_RIGHT):
                raise on_this_node(cannot) from exc
            raise Invalid(f"{cannot}; set it to a folder this user may write to") from exc


def _remove(folder: Path) -> None:
    """Remove a folder of this process, perhaps with files that it still has mapped.

    On NFS those keep their folder until the process ends; a later process removes it.
    """
    try:
        shutil.rmtree(folder)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EBUSY):
            raise


def _open_own(path: Path) -> int:
    """Make a folder, or take over one that no living process has; return its locked descriptor."""
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except (FileNotFoundError, FileExistsError):  # its owner removed it meanwhile
            continue
        try:
            _lock_folder(handle, path)
        except BaseException:
            os.close(handle)
            raise
        if locks.is_same_file(path, handle):
            os.utime(handle)
            return handle
        os.close(handle)


def _lock_folder(handle: int, path: Path) -> None:
    """Lock a folder, and say so if another process has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("waiting for another process that is at the same work: %s", path)
        locks.lock(handle, fcntl.LOCK_EX)


def _remove_old(top: Path, but: Path) -> None:
    """Remove the unfinished folders that were left long ago, except for one."""
    for left in top.glob("[!.]*"):
        with suppress(FileNotFoundError):
            if left != but and time.time() - left.stat().st_mtime > UNFINISHED_S:
                with locks.try_exclusive(left) as is_left:
                    if is_left:
                        shutil.rmtree(left)


def _remove_dead(top: Path) -> None:
    """Remove the scratch folders of processes that no longer live."""
    for left in top.glob("[!.]*"):
        # A living owner may remove its own folder meanwhile.
        with suppress(FileNotFoundError), locks.try_exclusive(left) as is_dead:
            if is_dead:
                shutil.rmtree(left)
