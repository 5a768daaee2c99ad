# pyright: strict
"""This node's copy of the store: each file is downloaded once, and the whole has a bound.

A file is in use while some living process has a shared lock on it. Eviction needs the exclusive
lock.
"""

import contextlib
import fcntl
import glob
import hashlib
import json
import logging
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from job import files
from job.errors import Invalid
from job.storage import locks, stamps
from job.storage.cache_folder import CacheFolder
from job.storage.eviction import cached_files, evict
from job.storage.locks import lock_file
from job.storage.store import Store, sha256_of

# The files this process uses, each with the descriptor that holds its lock.
IN_USE: dict[Path, int] = {}

log = logging.getLogger(__name__)


class Cache(CacheFolder):
    """Files of the store on this node: downloaded once for all tasks, checked, memory-mapped.

    A file is checked whenever it is taken into use, by its stamp, else by its hash. A damaged one
    is downloaded again. The stamp is in the file's lock file, whose time of change says when the
    file was last used.

    A file that this process asked for stays until the process ends. Of the others, the least
    recently used are removed while all files together exceed the bound. Anything else in the
    folder is not ours, and is left alone.

    Attributes:
        store: where the files come from.
        folder: of the cache.
        bound_gb: gigabytes that the cache may hold.
    """

    def __init__(self, store: Store, folder: Path, bound_gb: float):
        super().__init__(folder)
        self.store = store
        self.bound_gb = bound_gb

    def file(self, key: str, sha256: str) -> Path:
        """Return the local path of an object.

        Args:
            key: of the object.
            sha256: its hash, hexadecimal.

        Raises:
            Invalid: the store has other bytes, or the cache folder cannot be used.
            Missing: the store has no such object.
            Unreachable: the store is out of reach, or the cache's disk is full or broken.
        """
        return self._fetch(key, sha256, lambda partial: self._download(key, sha256, partial))

    def array(self, key: str, sha256: str) -> np.ndarray:
        """Return a .npy object as a read-only memory map; raises as `file`."""
        return np.load(self.file(key, sha256), mmap_mode="r", allow_pickle=False)

    def join(self, keys: dict[str, str]) -> np.ndarray:
        """Return the rows of several .npy objects as one read-only memory map; raises as `file`.

        Args:
            keys: key -> SHA-256 of each object, in the order of the rows.
        """
        if len(keys) == 1:
            return self.array(*next(iter(keys.items())))
        name = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]
        key = PurePosixPath(next(iter(keys))).with_name(f"{name}.npy").as_posix()
        path = self._fetch(key, None, lambda partial: self._join(keys, partial))
        return np.load(path, mmap_mode="r", allow_pickle=False)

    def find_damaged(self, known: dict[str, str]) -> Iterator[str]:
        """Yield a sentence for each cached file whose hash is wrong, reading all in full.

        Nothing is changed. A file that was joined here has the hash of when it was joined.

        Args:
            known: key -> SHA-256 of the objects whose folders are read.

        Raises:
            Invalid: the folder is not this user's alone.
            Unreachable: the disk is broken.
        """
        if not os.path.lexists(self.folder):
            return
        folders = {key.rpartition("/")[0] for key in known}
        top = self._path("")
        for cached in cached_files(self.folder):
            key = cached.path.relative_to(top).as_posix()
            if key.rpartition("/")[0] in folders and self._is_damaged(cached.path, known.get(key)):
                yield (
                    f"{cached.path} has changed since it came into the cache:"
                    " delete it, and the next task fetches it again"
                )

    def _is_damaged(self, path: Path, sha256: str | None) -> bool:
        """Tell whether a file is there and has another hash than this, or than its stamp's."""
        with (
            self._guard(),
            contextlib.suppress(FileNotFoundError),
            locks.closing(files.open_regular(path)) as file,
        ):
            stamped = _hash_of(self._stamp_of(path))
            expected = sha256 or stamped
            return bool(expected) and _digest(file) != expected
        return False

    def _fetch(self, key: str, sha256: str | None, make: Callable[[Path], str]) -> Path:
        """Return the path of a key's file, taken into use, after making it if necessary.

        Args:
            key: of the file.
            sha256: of the file; None for one that is made here, whose stamp has its hash.
            make: writes a file to a path and returns its hash.
        """
        path = self._path(key)
        if self._use(path) and self._has_valid_stamp(path, sha256):
            return path
        with self._lock(path) as note:
            if self._use(path) and (
                self._has_valid_stamp(path, sha256) or self._rehash(path, sha256, note)
            ):
                return path
            with self._guard(), self._partial(path) as partial:
                digest = make(partial)
            with self._guard():
                stamps.write(note, stamps.stamp(IN_USE[path], digest))
        self._evict()
        return path

    def _use(self, path: Path) -> bool:
        """Take a file into use until this process ends; return whether there is one.

        Between opening and locking, an evictor may remove the file. It only counts if the path
        still leads to it.
        """
        with self._guard():
            while True:
                if path not in IN_USE:
                    try:
                        IN_USE[path] = files.open_regular(path)
                    except FileNotFoundError:
                        return False
                locks.lock(IN_USE[path], fcntl.LOCK_SH)
                if locks.is_same_file(path, IN_USE[path]):
                    # On a read-only disk we would not remove anything, either.
                    with contextlib.suppress(OSError):
                        os.utime(lock_file(path), follow_symlinks=False)
                    return True
                os.close(IN_USE.pop(path))

    def _has_valid_stamp(self, path: Path, sha256: str | None) -> bool:
        """Tell by its stamp whether a file in use has this hash; None allows any."""
        made = self._stamp_of(path)
        return made is not None and sha256 in (None, made.sha256) and made.holds(IN_USE[path])

    def _stamp_of(self, path: Path) -> stamps.Stamp | None:
        """Return a file's stamp, or None if it has none."""
        with (
            self._guard(),
            contextlib.suppress(FileNotFoundError),
            locks.closing(files.open_regular(lock_file(path))) as note,
        ):
            return stamps.read(note)
        return None

    def _rehash(self, path: Path, sha256: str | None, note: int) -> bool:
        """Hash a file in use: stamp it if it is whole, else remove it. The caller has its lock.

        Args:
            path: of the file.
            sha256: its hash; None for that of its stamp.
            note: descriptor of its lock file.

        Returns:
            Whether the file is whole.
        """
        stamped = _hash_of(stamps.read(note))
        expected = sha256 or stamped
        with self._guard():
            if expected:
                now = stamps.stamp(IN_USE[path], expected)
                if _digest(IN_USE[path]) == expected:
                    stamps.write(note, now)
                    return True
                log.warning("%s was damaged in the cache: it is removed and fetched again", path)
            os.close(IN_USE.pop(path))
            path.unlink(missing_ok=True)
        return False

    def _download(self, key: str, sha256: str, partial: Path) -> str:
        digest = ""
        for _ in range(2):  # the first download may be altered on its way
            self.store.download(key, partial)
            digest = sha256_of(partial)
            if digest == sha256:
                return digest
        raise Invalid(
            f"{self.store.url}/{key} has sha256 {digest[:12]}..., the database says"
            f" {sha256[:12]}...: the object was altered; `job verify --deep` names what is damaged,"
            " `job prepare` stages data again, `job repair` has tasks done again"
        )

    def _join(self, keys: dict[str, str], partial: Path) -> str:
        """Write the rows of several arrays as one .npy file; return its hash.

        Not by memory map: a full disk would kill the process.
        """
        parts = [self.array(key, sha256) for key, sha256 in keys.items()]
        header = {
            "descr": np.lib.format.dtype_to_descr(parts[0].dtype),
            "fortran_order": False,
            "shape": (sum(len(part) for part in parts), *parts[0].shape[1:]),
        }
        with open(partial, "wb") as whole:
            np.lib.format.write_array_header_1_0(whole, header)
            whole.writelines(part.data for part in parts)
        return sha256_of(partial)

    @contextlib.contextmanager
    def _partial(self, path: Path) -> Generator[Path]:
        """Yield a temporary path, whose file atomically becomes `path`, already in use.

        Nothing waits for the disk: after a power cut, the file's stamp does not count.

        The caller has the lock on `path`. What a killed process left is removed first; boto3
        adds a suffix to such names.
        """
        partial = path.with_name(f".{path.name}.partial")
        _remove_all(partial)
        try:
            yield partial
            IN_USE[path] = files.open_regular(partial)
            fcntl.flock(IN_USE[path], fcntl.LOCK_SH)
            os.replace(partial, path)
        finally:
            _remove_all(partial)

    def _evict(self) -> None:
        """Remove the least recently used files that nobody uses, until the bound holds."""
        with self._lock(self._path("eviction")), self._guard():
            removed = evict(self.folder, self.bound_gb * 1e9)
        if removed:
            log.info(
                "the cache was larger than JOB_CACHE_GB = %g:"
                " removed the %d least recently used files, %d bytes",
                self.bound_gb,
                len(removed),
                sum(removed),
            )


def _remove_all(partial: Path) -> None:
    """Remove each file whose name begins with this one."""
    for left in partial.parent.glob(f"{glob.escape(partial.name)}*"):
        left.unlink(missing_ok=True)


def _hash_of(stamp: stamps.Stamp | None) -> str | None:
    return stamp.sha256 if stamp else None


def _digest(file: int) -> str:
    """Return the SHA-256 of an open file, hexadecimal."""
    with open(file, "rb", closefd=False) as whole:
        whole.seek(0)
        return hashlib.file_digest(whole, "sha256").hexdigest()
