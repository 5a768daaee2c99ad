"""Download files whole or not at all: by http(s) or from a bucket.

A copy in the node's cache has a note beside it of the hashes it came with, and is read in full and
compared before it is used again.
"""

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
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from job import errors, files
from job.data import digests
from job.interrupt import INTERRUPT
from job.sentences import first_line
from job.storage import cache_folder
from job.storage.store import open_store

TIMEOUT_S = 60  # without a byte from the server
BLOCK_BYTES = 1 << 20
NAME_DATA = "get the file and name it by --data (make local: DATA=)"
TEMPORARY = {408, 425, 429}  # of the 4xx statuses

log = logging.getLogger(__name__)


# --- URLs ---


def redact(url: str) -> str:
    """Return a URL or path as a log may show it: no user, password, query or fragment."""
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest)[0].partition("/")
    host = host.rpartition("@")[2]
    # What is left of a password with a raw "/" or "?": "user:secret".
    if not re.fullmatch(r"(\[.*\]|[^:]*)(:\d*)?", host):
        return f"{scheme}://..."
    return f"{scheme}://{host}{slash}{path}"


def is_url(where: str) -> bool:
    """Tell whether `download` supports a place."""
    return re.match(r"(https?|s3)://", where, re.IGNORECASE) is not None


def is_s3(where: str) -> bool:
    """Tell whether a place is an object in a bucket."""
    return where.lower().startswith("s3://")


# --- one file ---


def download(url: str, target: Path, expected: str | None = None, way_out: str = NAME_DATA) -> Path:
    """Download a file from a server or a bucket; `target` appears whole or not at all.

    Several processes may do so at once: each writes its own temporary file.

    Args:
        url: http(s):// or s3://.
        target: where the file goes.
        expected: its SHA-256 or MD5, hexadecimal; None if unknown.
        way_out: how to do without the download, for an error.

    Returns:
        `target`.

    Raises:
        errors.Unreachable: the network or the server fails, the connection breaks off, or the
            disk is full.
        errors.Invalid: a permanent refusal of the server (404, 403), another hash, or a folder
            that cannot be written.
    """
    part = part_of(target)
    try:
        with writing(target):
            files.make_folder(target.parent)
            if is_s3(url):
                _from_s3(url, part)
            else:
                with open(part, "xb") as file:
                    file.writelines(_blocks(url, way_out))
            if expected and not has_hash(part, expected):
                raise errors.Invalid(f"{redact(url)} has the {_wrong(part, expected)}: {way_out}")
            files.settle(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return target


def has_hash(path: Path, expected: str) -> bool:
    """Tell whether a file has this hash, SHA-256 or MD5."""
    return digests.digest(path, digests.kind(expected)) == expected


def _wrong(path: Path, expected: str) -> str:
    kind = digests.kind(expected)
    name = "SHA-256" if kind == "sha256" else "MD5"
    return f"{name} {digests.digest(path, kind)}, not {expected}"


def part_of(target: Path) -> Path:
    """Return a temporary name beside a target, for this call alone."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
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


def _from_s3(url: str, path: Path) -> None:
    """Download an object, by the endpoint and the credentials of the store."""
    folder, _, name = url[5:].rpartition("/")
    try:
        open_store(f"s3://{folder}", TIMEOUT_S, INTERRUPT.sleep).download(name, path)
    except errors.Missing as exc:
        raise errors.Invalid(f"{url} is not there: check the bucket and the key") from exc


def _blocks(url: str, way_out: str) -> Iterator[bytes]:
    """Yield the body of a URL.

    An OSError of the network becomes ours here, so that `writing` sees the disk's only.
    """
    where = redact(url)
    missing = 0
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "job"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            missing = int(response.headers.get("Content-Length") or 0)
            while block := response.read(BLOCK_BYTES):
                missing -= len(block)
                yield block
    except urllib.error.HTTPError as exc:
        is_permanent = exc.code < 500 and exc.code not in TEMPORARY
        kind = errors.Invalid if is_permanent else errors.Unreachable
        answer = f"{where} answers {exc.code} {exc.reason}"
        raise kind(f"{answer}: check the URL, or {way_out}") from None
    except (ValueError, http.client.InvalidURL):  # their text may hold the query: from None
        raise errors.Invalid(
            f"{where} is not a URL that can be opened: expected https://host/path"
        ) from None
    except (OSError, http.client.HTTPException) as exc:
        failed = f"{where} cannot be downloaded ({first_line(exc)})"
        raise errors.Unreachable(f"{failed}: try again, or {way_out}") from exc
    if missing > 0:
        raise errors.Unreachable(f"{where} broke off {missing:,} bytes before its end: try again")


# --- the node's cache ---


def fetch_once(url: str, folder: Path, way_out: str = NAME_DATA) -> Path:
    """Return the copy of a URL in the node's cache, downloaded if needed.

    A copy is used even if the server has another file by now, which nothing would tell.

    Args:
        url: http(s):// or s3://.
        folder: the cache.
        way_out: how to do without the download, for an error.

    Raises:
        errors.Unreachable: as `download`.
        errors.Invalid: as `download`.
    """
    target = copy_of(url, folder)
    if is_usable(target, redact(url)):
        return target
    log.info("downloading %s to %s", redact(url), target)
    download(url, target, way_out=way_out)
    digests.write_note(target, target)
    return target


def make_place(folder: Path, name: str) -> Path:
    """Return where a file is kept in the node's cache; the cache is created, or checked, as ours.

    Raises:
        errors.Invalid: other users may write to the cache, or it cannot be made.
        errors.Unreachable: the disk is full.
    """
    target = folder / name
    with writing(target):
        cache_folder.own(folder)
        target.parent.mkdir(exist_ok=True)
    return target


def copy_of(url: str, folder: Path) -> Path:
    """Return where the copy of a URL is kept."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return make_place(folder, f"downloads/{digest}-{PurePosixPath(redact(url)).name}")


def is_usable(target: Path, name: str) -> bool:
    """Tell whether a copy is there with the hashes of its note; any other copy is removed.

    Args:
        target: the copy.
        name: what the log calls the URL.
    """
    if not os.path.lexists(target):
        return False
    if digests.matches_note(target):
        message = "%s was downloaded before: reading %s (delete it to download again)"
        log.info(message, name, target)
        return True
    log.warning(
        "%s is not what was downloaded, or has no note of its hashes: downloading it again", target
    )
    with writing(target):
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
    return False
