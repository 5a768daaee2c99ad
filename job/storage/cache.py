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
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from job import files
from job.errors import BROKEN, Invalid, Unreachable, on_this_node
from job.interrupt import INTERRUPT
from job.settings import SETTINGS
from job.storage import stamps
from job.storage.keys import below
from job.storage.store import Store, sha256_of

LOCK_POLL_S = 0.2
OTHERS = stat.S_IRWXG | stat.S_IRWXO
IN_USE: dict[
    Path, int
] = {}  # the files this process uses, each with the descriptor that holds its lock

log = logging.getLogger(__name__)


def own(folder: Path) -> None:
    """Make this node's cache a folder that is ours alone, or check that it is. Raises: Invalid; OSError."""
    files.own_folder(folder, "JOB_CACHE_DIR")
    if folder == SETTINGS["cache_dir"].default and folder.stat().st_mode & OTHERS:
        folder.chmod(0o700)  # an earlier version let everybody read the images


class Cache:
    """Files of the store on this node: downloaded once however many tasks ask, checked, read by memory map.

    A file is checked whenever it is taken into use, by its stamp, else by its hash; one that is damaged is fetched anew. The stamp
    stands in the file's lock file, whose time of change says when the file was used last.

    A file that this process asked for stays until the process ends. Others are removed, those used longest ago
    first, while all files are larger than the bound; what else lies in the folder is not ours, and left alone.
    """

    def __init__(self, store: Store, folder: Path, bound_gb: float):
        self.store, self.folder, self.bound_gb = store, folder, bound_gb
        self._owned = False

    def file(self, key: str, sha256: str) -> Path:
        """Return the local path of an object with this hash. Raises: Invalid when the store has other bytes."""
        return self._have(key, sha256, lambda partial: self._download(key, sha256, partial))

    def array(self, key: str, sha256: str) -> np.ndarray:
        """Return a .npy object as a read-only memory map."""
        return np.load(self.file(key, sha256), mmap_mode="r", allow_pickle=False)

    def joined(self, keys: dict[str, str]) -> np.ndarray:
        """Return the rows of several .npy objects (key -> sha256) as one read-only memory map."""
        if len(keys) == 1:
            return self.array(*next(iter(keys.items())))
        name = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]
        key = PurePosixPath(next(iter(keys))).with_name(f"{name}.npy").as_posix()
        return np.load(
            self._have(key, None, lambda partial: self._join(keys, partial)),
            mmap_mode="r",
            allow_pickle=False,
        )

    def damaged(self, known: dict[str, str]) -> Iterator[str]:
        """Yield each cached file, as a sentence, that has not its hash, read in full; nothing is changed.

        Args: known: key -> sha256. Files that were joined from these have the hash of when they were.

        Raises: Invalid for a folder that is not ours alone; Unreachable.
        """
        if not os.path.lexists(self.folder):
            return
        folders, top = {key.rpartition("/")[0] for key in known}, self._path("")
        for path in (path for _, _, path in self._cached()):
            key = path.relative_to(top).as_posix()
            if key.rpartition("/")[0] in folders:
                with (
                    self._guard(),
                    contextlib.suppress(FileNotFoundError),
                    _descriptor(files.opened(path)) as file,
                ):
                    made = self._noted(path)
                    wanted = known.get(key) or (made and made.sha256)
                    if wanted and _digest(file) != wanted:
                        yield f"{path} is not what it was when it came here: delete it, and the next task fetches it anew"

    def _path(self, key: str) -> Path:
        """Return the path of a key in the cache, which is made ours alone before its first use; "" is the cache itself."""
        with self._guard():
            if not self._owned:
                own(self.folder)
                self._owned = True
            return below(self.folder, key, f"the cache {self.folder}") if key else self.folder

    def _have(self, key: str, sha256: str | None, make) -> Path:
        """Return the path of a key after taking its file into use; one that is not there, or damaged, is written first.

        Args:
            sha256: of the file; None for one that is made here, which has the hash of then.
            make: writes a file to a path and returns its hash.
        """
        path = self._path(key)
        if self._use(path) and self._trusted(path, sha256):
            return path
        with self._lock(path) as note:
            if self._use(path) and (self._trusted(path, sha256) or self._holds(path, sha256, note)):
                return path
            with self._guard(), self._partial(path) as partial:
                digest = make(partial)
            with self._guard():
                stamps.write(note, stamps.stamp(IN_USE[path], digest))
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
                        IN_USE[path] = files.opened(path)
                    except FileNotFoundError:
                        return False
                _flock(IN_USE[path], fcntl.LOCK_SH)
                if _names(path, IN_USE[path]):
                    with contextlib.suppress(OSError):  # a read-only disk: nothing we would remove
                        os.utime(_lock_of(path), follow_symlinks=False)
                    return True
                os.close(IN_USE.pop(path))

    def _trusted(self, path: Path, sha256: str | None) -> bool:
        """Tell by its stamp whether a file in use has this hash."""
        made = self._noted(path)
        return made is not None and sha256 in (None, made.sha256) and made.holds(IN_USE[path])

    def _noted(self, path: Path) -> stamps.Stamp | None:
        """Return a file's stamp, None for none."""
        with (
            self._guard(),
            contextlib.suppress(FileNotFoundError),
            _descriptor(files.opened(_lock_of(path))) as note,
        ):
            return stamps.read(note)
        return None

    def _holds(self, path: Path, sha256: str | None, note: int) -> bool:
        """Tell by its bytes whether a file in use has its hash, and stamp it; remove one that has not. The caller holds its lock."""
        made = stamps.read(note)
        wanted = sha256 or (made and made.sha256)
        with self._guard():
            now = stamps.stamp(IN_USE[path], wanted)
            if wanted and _digest(IN_USE[path]) == wanted:
                stamps.write(note, now)
                return True
            if wanted:
                log.warning(
                    "%s was damaged after it had come here: it is removed, and fetched again", path
                )
            os.close(IN_USE.pop(path))
            path.unlink(missing_ok=True)
        return False

    def _download(self, key: str, sha256: str, partial: Path) -> str:
        for _ in range(2):  # the first may have been altered on its way
            self.store.download(key, partial)
            if (found := sha256_of(partial)) == sha256:
                return found
        raise Invalid(
            f"{self.store.url}/{key} has sha256 {found[:12]}..., the database says {sha256[:12]}...: the object was altered;"
            " `job verify --deep` names what is damaged, `job prepare` stages data again, `job repair` has tasks done again"
        )

    def _join(self, keys: dict[str, str], partial: Path) -> str:
        parts = [self.array(key, sha256) for key, sha256 in keys.items()]
        shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        with open(
            partial, "wb"
        ) as whole:  # not by memory map: a disk that fills would end the process
            header = {
                "descr": np.lib.format.dtype_to_descr(parts[0].dtype),
                "fortran_order": False,
                "shape": shape,
            }
            np.lib.format.write_array_header_1_0(whole, header)
            for part in parts:
                whole.write(part.data)
        return sha256_of(partial)

    @contextlib.contextmanager
    def _partial(self, path: Path):
        """Yield a temporary path; what is written there becomes `path` in one step, in use already, or nothing.

        Nobody waits for the disk: the stamp of a file that a power cut may have taken bytes from does not count.

        The caller holds the lock on `path`: what a killed process left (boto3 adds a name of its own) goes first.
        """

        def clean():
            for left in path.parent.glob(f"{glob.escape(partial.name)}*"):
                left.unlink(missing_ok=True)

        partial = path.with_name(f".{path.name}.partial")
        clean()
        try:
            yield partial
            IN_USE[path] = files.opened(partial)
            fcntl.flock(IN_USE[path], fcntl.LOCK_SH)
            os.replace(partial, path)
        finally:
            clean()

    def _evict(self) -> None:
        """Remove what was used longest ago and is in use by nobody, until the rest is within the bound.

        One process of the node at a time, or two would remove twice as much as they need.
        """
        with self._lock(self._path("eviction")), self._guard():
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
        for folder, _, names in os.walk(self.folder):
            for path in (
                Path(folder, name) for name in names if _lock_of(Path(name)).name in names
            ):
                with contextlib.suppress(FileNotFoundError):  # deleted by hand
                    yield _lock_of(path).lstat().st_mtime_ns, path.lstat().st_size, path

    @contextlib.contextmanager
    def scratch(self):
        """Yield an empty folder of this process; those that killed processes left are removed first."""
        top = self._path("scratch")
        with self._guard():
            top.mkdir(exist_ok=True)
        with self._lock(top / "all"), self._guard():
            for left in top.glob("[!.]*"):
                with (
                    contextlib.suppress(FileNotFoundError),
                    _alone(left) as dead,
                ):  # its living owner removes it, too
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
        """Hold this node's lock on a path, waiting for it but not through a signal; yield the lock file's descriptor."""
        with self._guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = files.opened(_lock_of(path), os.O_RDWR | os.O_CREAT)
        with _descriptor(lock):
            _flock(lock, fcntl.LOCK_EX)
            yield lock

    @contextlib.contextmanager
    def _guard(self):
        """Turn a disk that is full, broken or forbidden into our errors; of a cache that is ours, each of them is this node's alone."""
        try:
            yield
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unreachable(
                    f"no space left for the cache in {self.folder}: free some, lower JOB_CACHE_GB, or set JOB_CACHE_DIR to a larger disk"
                ) from exc
            cannot = f"JOB_CACHE_DIR = {self.folder}: cannot be used ({exc.strerror})"
            if exc.errno in BROKEN or (self._owned and exc.errno in (errno.EACCES, errno.EPERM)):
                raise on_this_node(cannot) from exc
            raise Invalid(f"{cannot}; set it to a folder this user may write") from exc


def _lock_of(path: Path) -> Path:
    """Return the lock file of a path: whoever writes the path holds it, and its text is the stamp."""
    return path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def _descriptor(handle: int):
    """Yield an open descriptor and close it."""
    try:
        yield handle
    finally:
        os.close(handle)


def _digest(file: int) -> str:
    """Return the sha256 of an open file, hexadecimal."""
    with open(file, "rb", closefd=False) as whole:
        whole.seek(0)
        return hashlib.file_digest(whole, "sha256").hexdigest()


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
        return os.path.samestat(os.lstat(path), os.fstat(file))
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
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)
