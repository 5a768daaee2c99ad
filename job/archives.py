"""Bytes from outside, read safely: folders, archives, downloads, pickled arrays.

Nothing is extracted to disk, no link is followed out of an archive and no pickle
calls anything. Whatever is wrong with a file becomes one sentence of `errors`.
"""

import contextlib
import errno
import hashlib
import http.client
import io
import lzma
import os
import pickle
import re
import stat
import struct
import tarfile
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from job import errors
from job.interrupt import INTERRUPT
from job.store import open_store

MEMBER_BYTES = 200_000_000  # of one member, by its declared size: zipfile and tarfile never read more than that
DEEPEST = 5  # folders below each other; top/train/class/image is 4, and a link to its own parent ends here
TIMEOUT_S = 60  # without one byte from the server
BLOCK_BYTES = 1 << 20
MENDED_BY_WAITING = {408, 425, 429}  # of the 4xx statuses


class Member(NamedTuple):
    """A file or folder in a folder or an archive."""

    name: str  # relative, separated by "/"; a zip ends that of a folder with one too
    is_folder: bool
    read: Callable[[], bytes]  # only until the next member is asked for


def members(path: Path) -> Iterator[Member]:
    """List what is in a folder, a tar (plain, gzip, bzip2, xz) or a zip, in its own order.

    The content, not the suffix, decides how it is read. Hidden names (.DS_Store, __MACOSX)
    are left out. Links are followed in a folder, which is the user's own, never in an archive.

    Raises:
        errors.Invalid: damaged, cut short or encrypted; an absolute name or one with "..";
            a link or a device; a member of more than 200 MB.
    """
    if path.is_dir():
        return _folder_members(path)
    with reading(path), open(path, "rb") as file:
        start = file.read(4)
    return _zip_members(path) if start in (b"PK\x03\x04", b"PK\x05\x06") else _tar_members(path)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a file may raise into one sentence: errors.Invalid."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:  # gzip and bz2 say so of bad data
            raise _damaged(path, exc) from exc
        raise errors.Invalid(f"{path} cannot be read ({exc.strerror}): check the path and its permissions") from exc
    except (EOFError, ValueError, struct.error, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as exc:
        raise _damaged(path, exc) from exc
    except RuntimeError as exc:  # encrypted, or a compression this Python lacks
        raise errors.Invalid(f"{path} cannot be read ({_line(exc)}): pack it again") from exc
    except MemoryError as exc:
        raise errors.Invalid(f"{path} needs more memory than there is ({_line(exc)}): use a smaller data set") from exc


def _damaged(path: Path, exc: Exception) -> errors.Invalid:
    return errors.Invalid(f"{path} is damaged, cut short or of another format ({_line(exc)}): copy or download it again")


def _line(exc: Exception) -> str:
    """The first line of what an exception says, else its kind."""
    return str(exc).strip().partition("\n")[0] or type(exc).__name__


# --- folders, tar, zip ---


def _folder_members(root: Path, inside: str = "") -> Iterator[Member]:
    with reading(root / inside):
        names = sorted(os.listdir(root / inside))
    for name in (f"{inside}{name}" for name in names if not _hidden(name)):
        path = root / name
        if path.is_dir():
            yield Member(name, True, bytes)
            if name.count("/") < DEEPEST - 1:
                yield from _folder_members(root, f"{name}/")
        elif path.is_file():
            _check_size(name, path.stat().st_size, root)
            yield Member(name, False, partial(_read, path, path.read_bytes))
        else:
            raise errors.Invalid(f"{path} is neither a file nor a folder (a link to nothing, a pipe?): remove it")


def _tar_members(path: Path) -> Iterator[Member]:
    with reading(path), tarfile.open(path) as tar:
        while (info := tar.next()) is not None:
            if not (info.isreg() or info.isdir()):
                raise _no_file(info.name, path)
            name = _checked_name(info.name, path)
            _check_size(name, info.size, path)
            if not _hidden(name):
                yield Member(name, info.isdir(), partial(_read, path, partial(_read_tar, tar, info)))
            tar.members = []  # tarfile keeps every header, else
        _check_end(tar, path)


def _read_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    with tar.extractfile(info) as file:
        return file.read()


def _check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Refuse a tar without its end: tarfile takes a lost or broken header for the end of the archive.

    Reads the rest, so that the checksum of a compressed one is compared too.
    """
    ended = tar.fileobj.tell() - tar.offset >= tarfile.BLOCKSIZE
    while block := tar.fileobj.read(BLOCK_BYTES):
        ended = ended and not block.strip(b"\0")
    if not ended:
        raise errors.Invalid(f"{path} is damaged or cut short (no end of archive): copy or download it again")


def _zip_members(path: Path) -> Iterator[Member]:
    with reading(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_file(info.filename, path)
            name = _checked_name(info.filename, path).replace("\\", "/")
            _check_size(name, info.file_size, path)
            if not _hidden(name):
                yield Member(name, info.is_dir(), partial(_read, path, partial(archive.read, info)))


def _read(path: Path, read: Callable[[], bytes]) -> bytes:
    with reading(path):
        return read()


def _no_file(name: str, path: Path) -> errors.Invalid:
    return errors.Invalid(f"member {name!r} of {path} is a link or a device: pack files and folders only")


def _checked_name(name: str, path: Path) -> str:
    """A member's name without "./"; errors.Invalid when it leads out of the archive (backslashes count as slashes)."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match("[A-Za-z]:/", plain) or ".." in plain.split("/"):
        raise errors.Invalid(f"member {name!r} of {path} leads out of it: pack it with relative names, without '..'")
    return re.sub(r"^(\./+)+", "", name)


def _check_size(name: str, size: int, path: Path) -> None:
    if not 0 <= size <= MEMBER_BYTES:
        raise errors.Invalid(f"member {name!r} of {path} says it has {size:,} bytes, more than {MEMBER_BYTES:,} are not read: leave it out")


def _hidden(name: str) -> bool:
    return name in ("", ".") or any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


# --- pickles of Python 2 ---


class Array:
    """Stands in for a pickled `numpy.ndarray`; numpy's own code is never reached.

    Attributes:
        values: uint8, of the pickled shape, read-only.
    """

    def __init__(self, *_: object) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or dtype.code not in ("u1", b"u1", "|u1", b"|u1") or fortran:
            raise ValueError("an array that is not uint8 in C order")
        self.values = np.frombuffer(data, np.uint8).reshape(shape)


class _Dtype:
    """Stands in for a pickled `numpy.dtype`."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and fields: one byte has neither


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 pickles bytes for Python 2."""
    if encoding not in ("latin1", b"latin1"):
        raise ValueError(f"text encoded as {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """An unpickler for containers, numbers, text and uint8 arrays; it calls nothing but the stand-ins above."""

    KNOWN = {
        ("numpy.core.multiarray", "_reconstruct"): Array,
        ("numpy._core.multiarray", "_reconstruct"): Array,
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise errors.Invalid(f"the pickle asks for {module}.{name}, which no array needs: it was refused and not run")
        return self.KNOWN[module, name]


def unpickle(data: bytes, name: str) -> Any:
    """Read a pickle that holds plain data and uint8 arrays, without running anything in it.

    Args:
        data: the pickle; text of Python 2 comes back as bytes.
        name: the member it is from, for the error.

    Returns:
        What was pickled, each numpy array as an `Array`.

    Raises:
        errors.Invalid: it asks for another global (named), or is damaged.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except errors.Invalid as exc:
        raise errors.Invalid(f"member {name!r}: {exc}") from None
    except Exception as exc:  # a damaged pickle raises anything, MemoryError and IndexError included
        raise errors.Invalid(f"member {name!r} is no readable pickle ({_line(exc)}): get the archive again") from exc


# --- downloads ---


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


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    with reading(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, expected_sha256: str | None = None) -> Path:
    """Download a file from a server or a bucket; `target` appears whole, under its name, or not at all.

    Several processes may do so at once: each writes its own temporary file.

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
                    digest = _write(_blocks(url), file)
            if expected_sha256 not in (None, digest):
                wrong = f"has the SHA-256 {digest}, not {expected_sha256}"
                raise errors.Invalid(f"{shown(url)} {wrong}: get the file and name it by --data")
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
    return sha256(path)


def _write(blocks: Iterable[bytes], file: BinaryIO) -> str:
    """Write blocks through to the disk; returns their SHA-256."""
    digest = hashlib.sha256()
    for block in blocks:
        file.write(block)
        digest.update(block)
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def _blocks(url: str) -> Iterator[bytes]:
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
        raise kind(f"{where} answers {exc.code} {exc.reason}: check the URL, or get the file and name it by --data") from None
    except (ValueError, http.client.InvalidURL):  # their text may hold the query: from None
        raise errors.Invalid(f"{where} is not a URL that can be opened: expected https://host/path") from None
    except (OSError, http.client.HTTPException) as exc:
        failed = f"{where} cannot be downloaded ({_line(exc)})"
        raise errors.Unreachable(f"{failed}: try again, or get the file and name it by --data") from exc
    if missing > 0:
        raise errors.Unreachable(f"{where} broke off {missing:,} bytes before its end: try again")
