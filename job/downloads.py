"""Files from elsewhere, whole or not at all: by http(s) or from a bucket."""

import contextlib
import errno
import hashlib
import http.client
import logging
import os
import re
import shutil
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from job import errors
from job.interrupt import INTERRUPT
from job.reading import first_line
from job.store import Store, open_store, sha256_of

TIMEOUT_S = 60  # without one byte from the server
BLOCK_BYTES = 1 << 20
AT_ONCE = 8  # small objects at a time; boto3 keeps ten connections
NAME_DATA = "get the file and name it by --data (make local: DATA=)"
MENDED_BY_WAITING = {408, 425, 429}  # of the 4xx statuses

log = logging.getLogger(__name__)


def shown(url: str) -> str:
    """A URL or path as a log may show it: without user, password, query and fragment."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest)[0].partition("/")
    host = host.rpartition("@")[2]
    if not re.fullmatch(r"(\[.*\]|[^:]*)(:\d*)?", host):  # "user:secret", of a password with a raw "/" or "?"
        return f"{scheme}://..."
    return f"{scheme}://{host}{slash}{path}"


def download(url: str, target: Path, expected_sha256: str | None = None, way_out: str = NAME_DATA) -> Path:
    """Download a file from a server or a bucket; `target` appears whole, under its name, or not at all.

    Several processes may do so at once: each writes its own temporary file.

    Args: way_out: how a person can do without the download, for an error.

    Raises:
        errors.Unreachable: the network or the server fails, the connection breaks off, the disk is full.
        errors.Invalid: the server says no for good (404, 403), another hash, a folder that cannot be written.
    """
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if is_s3(url):
                digest = _from_s3(url, part)
            else:
                with open(part, "xb") as file:
                    digest = _write(_blocks(url, way_out), file)
            if expected_sha256 not in (None, digest):
                wrong = f"has the SHA-256 {digest}, not {expected_sha256}"
                raise errors.Invalid(f"{shown(url)} {wrong}: {way_out}")
            os.replace(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return target


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn what writing to the cache may raise into one sentence."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.Unreachable(f"the disk of {target.parent} is full: free some space or set JOB_CACHE_DIR") from exc
        raise errors.Invalid(f"{target} cannot be written ({exc.strerror}): set JOB_CACHE_DIR to a folder of yours") from exc


def kept(url: str, folder: Path, way_out: str = NAME_DATA) -> Path:
    """Return the copy of a URL in a folder, downloaded if need be; nothing tells whether the server has another by now, so it is used as it is."""
    target = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{PurePosixPath(shown(url)).name}"
    if target.exists():
        log.info("%s was downloaded before: reading %s (delete it to download again)", shown(url), target)
        return target
    log.info("downloading %s to %s", shown(url), target)
    return download(url, target, way_out=way_out)


def kept_folder(url: str, folder: Path) -> Path:
    """Return the copy of all objects below an s3:// URL, downloaded if need be; it appears whole or not at all.

    Raises: Unreachable, Invalid as `download`, and Invalid where there is no object, or one whose key is no path below it.
    """
    url = url.rstrip("/")
    target = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{PurePosixPath(shown(url)).name}"
    if target.exists():
        log.info("%s was downloaded before: reading %s (delete it to download again)", url, target)
        return target
    store = open_store(url, TIMEOUT_S, INTERRUPT.sleep)
    objects = [o for o in store.listing("") if not o.key.endswith("/")]  # consoles make "folders" so
    if not objects:
        raise errors.Invalid(f"{url} has no object below it: check the bucket and the prefix")
    check_below(url, [o.key for o in objects])
    log.info("downloading %d files (%.0f MB) of %s to %s", len(objects), sum(o.size for o in objects) / 1e6, url, target)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with _writing(target):
            _all_from_s3(store, [o.key for o in objects], part)
            try:
                part.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def check_below(url: str, keys: list[str]) -> None:
    """Raise `Invalid` for a key that as a path would lead out of its folder, or is none."""
    if bad := next((key for key in keys if {"", ".", ".."} & set(key.split("/"))), None):
        raise errors.Invalid(f"object {bad!r} of {url} is no path below it: rename or remove it")


def _all_from_s3(store: Store, keys: list[str], folder: Path) -> None:
    """Write small objects to files, several at a time; the first error ends it."""

    def write(key: str) -> None:
        INTERRUPT.check()
        content = store.get(key)
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for _ in pool.map(write, keys):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def is_url(where: str) -> bool:
    """Tell whether a place is one that `download` knows."""
    return re.match(r"(https?|s3)://", where, re.IGNORECASE) is not None


def is_s3(where: str) -> bool:
    """Tell whether a place is an object in a bucket."""
    return where.lower().startswith("s3://")


def _from_s3(url: str, path: Path) -> str:
    """Download an object, by the endpoint and the credentials of the store; return its SHA-256."""
    folder, _, name = url[5:].rpartition("/")
    try:
        open_store(f"s3://{folder}", TIMEOUT_S, INTERRUPT.sleep).download(name, path)
    except errors.Missing as exc:
        raise errors.Invalid(f"{url} is not there: check the bucket and the key") from exc
    return sha256_of(path)


def _write(blocks: Iterable[bytes], file: BinaryIO) -> str:
    """Write blocks through to the disk; returns their SHA-256."""
    digest = hashlib.sha256()
    for block in blocks:
        file.write(block)
        digest.update(block)
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def _blocks(url: str, way_out: str) -> Iterator[bytes]:
    """The body of a URL; a network's OSError becomes ours here, so that `_writing` sees the disk's only."""
    where, missing = shown(url), 0
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "job"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            missing = int(response.headers.get("Content-Length") or 0)
            while block := response.read(BLOCK_BYTES):
                missing -= len(block)
                yield block
    except urllib.error.HTTPError as exc:
        kind = errors.Invalid if exc.code < 500 and exc.code not in MENDED_BY_WAITING else errors.Unreachable
        raise kind(f"{where} answers {exc.code} {exc.reason}: check the URL, or {way_out}") from None
    except (ValueError, http.client.InvalidURL):  # their text may hold the query: from None
        raise errors.Invalid(f"{where} is not a URL that can be opened: expected https://host/path") from None
    except (OSError, http.client.HTTPException) as exc:
        failed = f"{where} cannot be downloaded ({first_line(exc)})"
        raise errors.Unreachable(f"{failed}: try again, or {way_out}") from exc
    if missing > 0:
        raise errors.Unreachable(f"{where} broke off {missing:,} bytes before its end: try again")
