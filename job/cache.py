"""This node's copy of the store: one download a file however many processes want it, and a bound on the whole.

A file in use is a file that some living process has a shared lock on: the kernel ends the lock with the
process, however that ends, and keeps it while the process is stopped. Who removes a file must have it alone.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from job.errors import Invalid, Unreachable
from job.interrupt import INTERRUPT
from job.store import Store, sha256_of

LOCK_POLL_S = 0.2
IN_USE: dict[Path, int] = {}  # the files this process uses, each with the descriptor that holds its lock

log = logging.getLogger(__name__)


class Cache:
    """Files of the store on this node: downloaded once however many tasks ask, checked, read by memory map.

    A file that this process asked for stays until the process ends. Others are removed, those used longest ago
    first, while all files are larger than the bound; what else lies in the folder is not ours, and left alone.
    """

    def __init__(self, store: Store, folder: Path, bound_gb: float):
        self.store, self.folder, self.bound_gb = store, folder, bound_gb

    def file(self, key: str, sha256: str) -> Path:
        """Return the local path of an object with this hash. Raises: Invalid when the store has other bytes."""
        return self._have(self.folder / key, lambda partial: self._download(key, sha256, partial))

    def array(self, key: str, sha256: str) -> np.ndarray:
        """Return a .npy object as a read-only memory map."""
        return np.load(self.file(key, sha256), mmap_mode="r", allow_pickle=False)

    def joined(self, keys: dict[str, str]) -> np.ndarray:
        """Return the rows of several .npy objects (key -> sha256) as one read-only memory map."""
        if len(keys) == 1:
            return self.array(*next(iter(keys.items())))
        name = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]
        path = self.folder / Path(next(iter(keys))).parent / f"{name}.npy"
        return np.load(self._have(path, lambda partial: self._join(keys, partial)), mmap_mode="r", allow_pickle=False)

    def _have(self, path: Path, make) -> Path:
        """Return a path after taking its file into use; one that is not there is written first, by `make(partial)`."""
        if self._use(path):
            return path
        with self._lock(path):
            if self._use(path):
                return path
            with self._guard(), self._partial(path) as partial:
                make(partial)
        self._evict()
        return path

    def _use(self, path: Path) -> bool:
        """Take a file into use until this process ends; return whether it is there.

        Between opening and locking it may have lost its name to an evictor: only a file that still has it counts.
        """
        with self._guard():
            while True:
                if path not in IN_USE:
                    try:
                        IN_USE[path] = os.open(path, os.O_RDONLY)
                    except FileNotFoundError:
                        return False
                _flock(IN_USE[path], fcntl.LOCK_SH)
                if _names(path, IN_USE[path]):
                    with contextlib.suppress(OSError):  # another user's file, or a read-only disk: nothing we would remove
                        os.utime(IN_USE[path])
                    return True
                os.close(IN_USE.pop(path))

    def _download(self, key: str, sha256: str, partial: Path) -> None:
        self.store.download(key, partial)
        found = sha256_of(partial)
        if found != sha256:
            raise Invalid(
                f"{self.store.url}/{key} has sha256 {found[:12]}..., the database says {sha256[:12]}...: the object was altered; stage it anew with `job prepare` into an empty store"
            )

    def _join(self, keys: dict[str, str], partial: Path) -> None:
        parts = [self.array(key, sha256) for key, sha256 in keys.items()]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        with open(partial, "wb") as whole:  # not by memory map: a disk that fills would end the process
            header = {"descr": np.lib.format.dtype_to_descr(parts[0].dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(whole, header)
            for part in parts:
                whole.write(part.data)

    @contextlib.contextmanager
    def _partial(self, path: Path):
        """Yield a temporary path; what is written there becomes `path` in one step, in use already, or nothing.

        The caller holds the lock on `path`: what a killed process left (boto3 adds a name of its own) goes first.
        """

        def clean():
            for left in path.parent.glob(f"{glob.escape(partial.name)}*"):
                left.unlink(missing_ok=True)

        partial = path.with_name(f".{path.name}.partial")
        clean()
        try:
            yield partial
            IN_USE[path] = os.open(partial, os.O_RDONLY)
            fcntl.flock(IN_USE[path], fcntl.LOCK_SH)
            os.replace(partial, path)
        finally:
            clean()

    def _evict(self) -> None:
        """Remove what was used longest ago and is in use by nobody, until the rest is within the bound.

        One process of the node at a time, or two would remove twice as much as they need.
        """
        with self._lock(self.folder / "eviction"), self._guard():
            cached = sorted(self._cached())
            excess, removed = sum(size for _, size, _ in cached) - self.bound_gb * 1e9, []
            for _, size, path in cached:
                if sum(removed) < excess and _removed(path):
                    removed.append(size)
        if removed:
            log.info(
                "the cache was larger than JOB_CACHE_GB = %g: removed %d files, %d bytes, unused for longest",
                self.bound_gb,
                len(removed),
                sum(removed),
            )

    def _cached(self):
        """Yield of each file that a Cache made when it was used last (ns), its size and its path: it has its lock beside it."""
        for folder, _, files in os.walk(self.folder):
            names = set(files)
            for path in (Path(folder, name) for name in files if f".{name}.lock" in names):
                with contextlib.suppress(FileNotFoundError):  # deleted by hand
                    found = path.stat()
                    yield found.st_mtime_ns, found.st_size, path

    @contextlib.contextmanager
    def scratch(self):
        """Yield an empty folder of this process; those that killed processes left are removed first."""
        with self._guard():
            top = self.folder / "scratch"
            top.mkdir(parents=True, exist_ok=True)
        with self._lock(top / "all"), self._guard():
            for left in top.glob("[!.]*"):
                with contextlib.suppress(FileNotFoundError), _alone(left) as dead:  # its living owner removes it, too
                    if dead:
                        shutil.rmtree(left)
            mine = Path(tempfile.mkdtemp(dir=top))
            owned = os.open(mine, os.O_RDONLY)
            fcntl.flock(owned, fcntl.LOCK_EX)
        try:
            with self._guard():
                yield mine
        finally:
            shutil.rmtree(mine)
            os.close(owned)

    @contextlib.contextmanager
    def _lock(self, path: Path):
        """Hold this node's lock on a path, waiting for it but not through a signal."""
        with self._guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = open(path.with_name(f".{path.name}.lock"), "w")
        with lock:
            _flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _guard(self):
        """Turn a full or forbidden disk into our errors."""
        try:
            yield
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unreachable(
                    f"no space left for the cache in {self.folder}: free some, lower JOB_CACHE_GB, or set JOB_CACHE_DIR to a larger disk"
                ) from exc
            raise Invalid(
                f"JOB_CACHE_DIR = {self.folder}: cannot be used ({exc.strerror}); set it to a folder this user may write"
            ) from exc


def _flock(file, kind: int) -> None:
    """Lock an open file, waiting for it but not through a signal."""
    while True:
        try:
            return fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            INTERRUPT.check()
            time.sleep(LOCK_POLL_S)


def _names(path: Path, file: int) -> bool:
    """Tell whether a path leads to this very open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _removed(path: Path) -> bool:
    """Remove a file unless a living process uses it, or it is another user's; return whether it was removed."""
    with contextlib.suppress(FileNotFoundError, PermissionError), _alone(path) as unused:
        if unused:
            path.unlink()
            return True
    return False


@contextlib.contextmanager
def _alone(path: Path):
    """Yield whether no other living process holds a lock on a file or folder; while yes, none can take one."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
