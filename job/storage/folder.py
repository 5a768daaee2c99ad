# pyright: strict
"""The store in a folder that all workers see."""

import errno
import io
import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from job import files
from job.errors import BROKEN, Invalid, JobError, Missing, Unreachable, on_this_node
from job.patience import Patience, Sleep
from job.storage.base import Object, Patient
from job.storage.keys import path_below

# How the name of a file begins while a put writes it, or after the put was killed.
HALF = ".put-"
BLOCK_BYTES = 1 << 20
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
PERMANENT = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)

T = TypeVar("T")


class FolderStore(Patient[OSError]):
    """A store in a folder that all workers see.

    Once the folder was there, its absence is an outage, not an empty store.
    """

    _errors = (OSError,)

    def __init__(self, root: Path, outage_s: float | Patience, sleep: Sleep):
        super().__init__(f"file://{root}", outage_s, sleep)
        self.root = root
        self._seen = False

    def put(self, key: str, source: bytes | Path) -> Object:
        """Write an object whole; see `Store.put`."""
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as incoming:
            return self._try(key, lambda: self._write(self._path(key), incoming))

    def get(self, key: str) -> bytes:
        """Return an object's bytes; see `Store.get`."""

        def read() -> bytes:
            with self._open(key) as file:
                return file.read()

        return self._try(key, read)

    def download(self, key: str, path: Path) -> None:
        """Write an object to a new file; see `Store.download`.

        Only errors of the store are translated. Those of `path` reach the caller as they are.
        """

        def copy() -> None:
            with self._once(key, lambda: self._open(key)) as source, open(path, "wb") as target:
                try:
                    while block := self._once(key, lambda: source.read(BLOCK_BYTES)):
                        target.write(block)
                except BaseException:
                    path.unlink()
                    raise

        self._patiently(copy)

    def head(self, key: str) -> Object | None:
        """Return an object's description, or None; see `Store.head`."""
        return self._try(key, lambda: self._object(self._path(key)))

    def listing(self, prefix: str, halves: bool = False) -> list[Object]:
        """Return all objects below a prefix; see `Store.listing`."""
        objects = self._try(prefix, lambda: self._objects(prefix, halves))
        return sorted(objects, key=lambda o: o.key)

    def delete(self, keys: list[str], patience_s: float | None = None) -> None:
        """Delete objects; see `Store.delete`."""
        for key in keys:
            self._try(key, lambda key=key: self._remove(self._path(key)), patience_s)

    def _once(self, key: str, call: Callable[[], T]) -> T:
        def check_and_call() -> T:
            self._check_root()
            return call()

        return super()._once(key, check_and_call)

    def _check_root(self) -> None:
        """Raise `Unreachable` if the folder was there before and is missing now.

        It is not mounted then. A put must not create it on this machine's own disk.
        """
        try:
            self.root.stat()
            self._seen = True
        except FileNotFoundError as exc:
            if self._seen:
                raise Unreachable(
                    f"the store {self.url} is gone: mount or restore the folder,"
                    " then run the command again"
                ) from exc

    def _translate(self, exc: OSError, key: str) -> JobError:
        """Return `Unreachable` for what another node or waiting may solve, else `Invalid`."""
        if exc.errno in NO_SPACE:
            return Unreachable(
                f"no space left in {self.url} for {key}: free some, then run the command again"
            )
        failed = f"{self.url} cannot be written or read: {exc.strerror} ({exc.filename or key})"
        if exc.errno in BROKEN:
            return on_this_node(failed)
        if exc.errno in PERMANENT:
            return Invalid(f"{failed}; check the folder and its mode")
        return Unreachable(f"{self.url} failed at {key}: {exc}")

    def _path(self, key: str) -> Path:
        """Return the path of an object, always below the store and through no link."""
        return path_below(self.root, key, self.url)

    def _open(self, key: str) -> BinaryIO:
        try:
            return open(files.open_regular(self._path(key)), "rb")
        except FileNotFoundError as exc:
            raise Missing(f"{self.url} has no {key}") from exc

    def _write(self, path: Path, incoming: BinaryIO) -> Object:
        incoming.seek(0)
        files.make_folder(path.parent)
        with files.open_whole(path, prefix=HALF) as file:
            shutil.copyfileobj(incoming, file, BLOCK_BYTES)
        self._seen = True
        written = self._object(path)
        if written is None:
            raise Missing(f"{path} was written and is gone: another process removed it")
        return written

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not _remove_if_empty(folder):
                break

    def _objects(self, prefix: str, halves: bool) -> list[Object]:
        """Return the objects whose key starts with a prefix, in any order."""
        parent = prefix.rpartition("/")[0]
        top = self._path(parent) if parent else self.root
        objects: list[Object] = []
        for folder, _, names in os.walk(top, onerror=_raise_unless_missing):
            for name in names:
                if name.startswith(HALF) and not halves:
                    continue
                stored = self._object(Path(folder) / name)
                if stored and stored.key.startswith(prefix):
                    objects.append(stored)
        return objects

    def _object(self, path: Path) -> Object | None:
        """Return the object at a path, or None if there is no file.

        Its etag is the file's time of modification: with the size, it serves as S3's etag does.
        """
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return Object(
            key=path.relative_to(self.root).as_posix(),
            size=status.st_size,
            etag=f"{status.st_mtime_ns:x}",
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
        )


def _raise_unless_missing(exc: OSError) -> None:
    """Raise an error of a listing, except for a missing folder, which has no files.

    Any other error would silently leave files out of the listing.
    """
    if not isinstance(exc, (FileNotFoundError, NotADirectoryError)):
        raise exc


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
