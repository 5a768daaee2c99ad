"""The store in a folder that all workers see, and the patience it shares with the one on S3."""

import errno
import io
import logging
import os
import random
import shutil
import stat
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from job import files
from job.errors import BROKEN, Invalid, JobError, Missing, Unreachable, on_this_node
from job.storage.keys import below

HALF = (
    ".put-"  # how the name of a file begins that a put is still writing, or was when it was killed
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Object:
    """An object of the store as a listing shows it; `modified` is in UTC, by the store's clock, and no part of what it is."""

    key: str
    size: int
    etag: str
    modified: datetime = field(compare=False)


class Patient:
    """What both kinds of store share: a call that fails for what waiting mends is tried again, with backoff and jitter."""

    _errors: tuple[type[Exception], ...]  # what `_translate` turns into ours

    def __init__(self, url: str, outage_s: float, sleep):
        self.url, self.outage_s, self._sleep = url, outage_s, sleep

    def _translate(self, exc: Exception, key: str) -> JobError:
        raise NotImplementedError

    def _try(self, key: str, call, patience_s: float | None = None):
        """Return `call()`, tried again while the store is away."""
        return self._patiently(lambda: self._once(key, call), patience_s)

    def _once(self, key: str, call):
        """Return `call()`, its errors told as ours."""
        try:
            return call()
        except self._errors as exc:
            raise self._translate(exc, key) from exc

    def _patiently(self, call, patience_s: float | None = None):
        deadline, delay = (
            time.monotonic() + (self.outage_s if patience_s is None else patience_s),
            0.5,
        )
        while True:
            try:
                return call()
            except Unreachable as exc:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                log.warning("%s; trying again for %.0f s", exc, left)
            self._sleep(min(delay * random.uniform(0.5, 1.5), left))
            delay = min(delay * 2, 15.0)


class FolderStore(Patient):
    """A store in a folder that all workers see; once seen, a folder that is gone is away, not empty."""

    _errors = (OSError,)

    def __init__(self, root: Path, outage_s: float, sleep):
        super().__init__(f"file://{root}", outage_s, sleep)
        self.root, self._seen = root, False

    def put(self, key: str, source: bytes | Path) -> Object:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as incoming:
            return self._try(key, lambda: self._write(self._path(key), incoming))

    def get(self, key: str) -> bytes:
        def read():
            with self._open(key) as file:
                return file.read()

        return self._try(key, read)

    def download(self, key: str, path: Path) -> None:
        def copy():
            with self._once(key, lambda: self._open(key)) as source, open(path, "wb") as target:
                try:
                    while chunk := self._once(key, lambda: source.read(1 << 20)):
                        target.write(chunk)
                except BaseException:
                    path.unlink()
                    raise

        self._patiently(copy)

    def head(self, key: str) -> Object | None:
        return self._try(key, lambda: self._object(self._path(key)))

    def listing(self, prefix: str, halves: bool = False) -> list[Object]:
        parent = prefix.rpartition("/")[0]

        def found():
            top = self._path(parent) if parent else self.root
            paths = [
                Path(folder) / name
                for folder, _, names in os.walk(top, onerror=_unless_missing)
                for name in names
            ]
            objects = [
                self._object(path) for path in paths if halves or not path.name.startswith(HALF)
            ]
            return [o for o in objects if o and o.key.startswith(prefix)]

        return sorted(self._try(prefix, found), key=lambda o: o.key)

    def delete(self, keys: list[str], patience_s: float | None = None) -> None:
        for key in keys:
            self._try(key, lambda key=key: self._remove(self._path(key)), patience_s)

    def _once(self, key: str, call):
        def here():
            try:
                self.root.stat()
                self._seen = True
            except FileNotFoundError as exc:
                if (
                    self._seen
                ):  # not mounted: a put must not make it anew on this machine's own disk
                    raise Unreachable(
                        f"the store {self.url} is gone: mount or restore the folder, then run me again"
                    ) from exc
            return call()

        return super()._once(key, here)

    def _translate(self, exc: OSError, key: str) -> JobError:
        """What another node, or waiting, may mend is `Unreachable`; the rest is `Invalid`."""
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return Unreachable(
                f"no space left in {self.url} for {key}: free some, then run me again"
            )
        if exc.errno in BROKEN:
            return on_this_node(
                f"{self.url} cannot be written or read: {exc.strerror} ({exc.filename or key})"
            )
        if exc.errno in (
            errno.EACCES,
            errno.EPERM,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.ENAMETOOLONG,
            errno.ELOOP,
        ):
            return Invalid(
                f"{self.url} cannot be written or read: {exc.strerror} ({exc.filename or key}); check the folder and its mode"
            )
        return Unreachable(f"{self.url} failed at {key}: {exc}")

    def _path(self, key: str) -> Path:
        """Return where a key's object is; below the store, whoever named the key, and by no link."""
        return below(self.root, key, self.url)

    def _open(self, key: str):
        try:
            return open(files.opened(self._path(key)), "rb")
        except FileNotFoundError as exc:
            raise Missing(f"{self.url} has no {key}") from exc

    def _write(self, path: Path, incoming) -> Object:
        incoming.seek(0)
        files.make_folder(path.parent)
        with files.open_whole(path, prefix=HALF) as file:
            shutil.copyfileobj(incoming, file, 1 << 20)
        self._seen = True
        return self._object(path)

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not _remove_if_empty(folder):
                break

    def _object(self, path: Path) -> Object | None:
        """Return what a path holds, None for no file; size and change time stand in for S3's etag."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        modified = datetime.fromtimestamp(found.st_mtime, UTC)
        return Object(
            path.relative_to(self.root).as_posix(),
            found.st_size,
            f"{found.st_mtime_ns:x}",
            modified,
        )


def _unless_missing(exc: OSError) -> None:
    """What is not there has no files; any other error would make a listing one without them."""
    if not isinstance(exc, (FileNotFoundError, NotADirectoryError)):
        raise exc


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
