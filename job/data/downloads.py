"""Files from elsewhere, whole or not at all: by http(s) or from a bucket.

What is kept in the node's cache has a note beside it of the hashes it came with, and is read again in full before it is used again.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from job import errors, files
from job.interrupt import INTERRUPT
from job.sentences import first_line
from job.storage import cache
from job.storage.keys import is_below
from job.storage.store import Store, open_store

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
    if not re.fullmatch(
        r"(\[.*\]|[^:]*)(:\d*)?", host
    ):  # "user:secret", of a password with a raw "/" or "?"
        return f"{scheme}://..."
    return f"{scheme}://{host}{slash}{path}"


def download(url: str, target: Path, expected: str | None = None, way_out: str = NAME_DATA) -> Path:
    """Download a file from a server or a bucket; `target` appears whole, under its name, or not at all.

    Several processes may do so at once: each writes its own temporary file.

    Args:
        expected: its SHA-256, or MD5, hexadecimal; None where nobody says.
        way_out: how a person can do without the download, for an error.

    Raises:
        errors.Unreachable: the network or the server fails, the connection breaks off, the disk is full.
        errors.Invalid: the server says no for good (404, 403), another hash, a folder that cannot be written.
    """
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with _writing(target):
            files.make_folder(target.parent)
            if is_s3(url):
                _from_s3(url, part)
            else:
                with open(part, "xb") as file:
                    file.writelines(_blocks(url, way_out))
            if expected and not has_hash(part, expected):
                raise errors.Invalid(f"{shown(url)} has the {_wrong(part, expected)}: {way_out}")
            files.settle(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return target


def has_hash(path: Path, expected: str) -> bool:
    """Tell whether a file has this hash, SHA-256 or MD5."""
    return _digest(path, _kind(expected)) == expected


def _kind(expected: str) -> str:
    return "md5" if len(expected) == 32 else "sha256"


def _wrong(path: Path, expected: str) -> str:
    kind = _kind(expected)
    return f"{'SHA-256' if kind == 'sha256' else 'MD5'} {_digest(path, kind)}, not {expected}"


def _digest(path: Path, kind: str = "sha256") -> str:
    """Return the hash of what must be a file. Raises: errors.Invalid for a link; OSError."""
    with open(files.opened(path), "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn what writing to the cache may raise into one sentence."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.Unreachable(
                f"the disk of {target.parent} is full: free some space or set JOB_CACHE_DIR"
            ) from exc
        if exc.errno in errors.BROKEN:
            raise errors.on_this_node(f"{target} cannot be written ({exc.strerror})") from exc
        raise errors.Invalid(
            f"{target} cannot be written ({exc.strerror}): set JOB_CACHE_DIR to a folder of yours"
        ) from exc


def kept(url: str, folder: Path, way_out: str = NAME_DATA) -> Path:
    """Return the copy of a URL in the node's cache, downloaded if need be; nothing tells whether the server has another by now, so it is used as it is.

    Args: folder: the cache.
    """
    target = _place(url, folder)
    if _is_as_it_came(target):
        log.info(
            "%s was downloaded before: reading %s (delete it to download again)", shown(url), target
        )
        return target
    log.info("downloading %s to %s", shown(url), target)
    download(url, target, way_out=way_out)
    _note(target, target)
    return target


def kept_folder(url: str, folder: Path) -> Path:
    """Return the copy of all objects below an s3:// URL, downloaded if need be; it appears whole or not at all.

    Args: folder: the cache.

    Raises: Unreachable, Invalid as `download`, and Invalid where there is no object, or one whose key is no path below it.
    """
    url = url.rstrip("/")
    target = _place(url, folder)
    if _is_as_it_came(target):
        log.info("%s was downloaded before: reading %s (delete it to download again)", url, target)
        return target
    store = open_store(url, TIMEOUT_S, INTERRUPT.sleep)
    objects = [
        o for o in store.listing("") if not o.key.endswith("/")
    ]  # consoles make "folders" so
    if not objects:
        raise errors.Invalid(f"{url} has no object below it: check the bucket and the prefix")
    check_below(url, [o.key for o in objects])
    log.info(
        "downloading %d files (%.0f MB) of %s to %s",
        len(objects),
        sum(o.size for o in objects) / 1e6,
        url,
        target,
    )
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with _writing(target):
            _all_from_s3(store, [o.key for o in objects], part)
            _note(target, part)
            try:
                part.rename(target)  # without a sync of each: after a power cut the note tells
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def place(folder: Path, name: str) -> Path:
    """Return where a file is kept in the node's cache, which is made ours alone, or found so. Raises: errors.Invalid, Unreachable."""
    target = folder / name
    with _writing(target):
        cache.own(folder)
        target.parent.mkdir(exist_ok=True)
    return target


def _place(url: str, folder: Path) -> Path:
    """Return where the copy of a URL is kept."""
    return place(
        folder,
        f"downloads/{hashlib.sha256(url.encode()).hexdigest()[:16]}-{PurePosixPath(shown(url)).name}",
    )


def _is_as_it_came(target: Path) -> bool:
    """Tell whether a copy is there with the hashes of its note; one that is not so is removed."""
    if not os.path.lexists(target):
        return False
    with (
        contextlib.suppress(OSError, ValueError, errors.Invalid),
        open(files.opened(_note_of(target))) as file,
    ):
        if json.load(file) == _hashes(target):
            return True
    log.warning(
        "%s is not what was downloaded, or nothing says what was: downloading it again", target
    )
    with _writing(target):
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
    return False


def _note(target: Path, content: Path) -> None:
    """Note the hashes of what becomes a copy."""
    files.write_whole(_note_of(target), json.dumps(_hashes(content)).encode(), 0o600)


def _note_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.hashes")


def _hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, or of each below a folder, by its path there. Raises: errors.Invalid for a link; OSError."""
    if not path.is_dir() or path.is_symlink():
        return {"": _digest(path)}
    found = [
        os.path.join(top, name)
        for top, folders, names in os.walk(path)
        for name in names + _links(top, folders)
    ]
    return {os.path.relpath(name, path): _digest(Path(name)) for name in found}


def _links(top: str, folders: list[str]) -> list[str]:
    return [name for name in folders if os.path.islink(os.path.join(top, name))]


def check_below(url: str, keys: list[str]) -> None:
    """Raise `Invalid` for a key that as a path would lead out of its folder, or is none."""
    if bad := next((key for key in keys if not is_below(key)), None):
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


def _from_s3(url: str, path: Path) -> None:
    """Download an object, by the endpoint and the credentials of the store."""
    folder, _, name = url[5:].rpartition("/")
    try:
        open_store(f"s3://{folder}", TIMEOUT_S, INTERRUPT.sleep).download(name, path)
    except errors.Missing as exc:
        raise errors.Invalid(f"{url} is not there: check the bucket and the key") from exc


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
        kind = (
            errors.Invalid
            if exc.code < 500 and exc.code not in MENDED_BY_WAITING
            else errors.Unreachable
        )
        raise kind(
            f"{where} answers {exc.code} {exc.reason}: check the URL, or {way_out}"
        ) from None
    except (ValueError, http.client.InvalidURL):  # their text may hold the query: from None
        raise errors.Invalid(
            f"{where} is not a URL that can be opened: expected https://host/path"
        ) from None
    except (OSError, http.client.HTTPException) as exc:
        failed = f"{where} cannot be downloaded ({first_line(exc)})"
        raise errors.Unreachable(f"{failed}: try again, or {way_out}") from exc
    if missing > 0:
        raise errors.Unreachable(f"{where} broke off {missing:,} bytes before its end: try again")
