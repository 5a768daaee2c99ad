"""Read files from outside safely: folders, tars and zips.

Nothing is extracted to disk, no link is followed out of an archive, and no pickle is loaded.
Whatever is wrong with a file becomes one sentence of `errors`.
"""

import contextlib
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from job import errors
from job.data import names
from job.sentences import first_line

# The declared size of a member is its bound: no more bytes than that are unpacked.
MEMBER_BYTES = 200_000_000
# What a tar says of a member in a member of its own: a long name, pax records.
HEADER_BYTES = 1 << 20
# Bytes of bzip2 or LZMA read at a time; they unpack to 20,000 times as much at most.
STEP_BYTES = 4096
# Folders below each other.
DEEPEST = 50
PLAIN_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DAMAGED = (
    EOFError,
    ValueError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class Member(NamedTuple):
    """A file or folder in a folder or an archive."""

    name: str  # relative, separated by "/"; the name of a folder in a zip also ends with one
    is_folder: bool
    # Of an archive only until the next member is requested, of a folder always, in any thread.
    read: Callable[[], bytes]
    # Size in bytes and time of change of a file in a folder.
    version: tuple[int, int] | None = None


def members(path: Path) -> Iterator[Member]:
    """List the members of a folder, a tar (plain, gzip, bzip2, xz) or a zip, in its own order.

    The content, not the suffix, decides how it is read. Hidden names (.DS_Store) and system
    names (lost+found) are skipped unread. Links are followed in a folder, which is the user's
    own, never in an archive.

    Raises:
        errors.Invalid: damaged, cut short or encrypted; an absolute name or one with "..";
            a link or a device; a member of more than 200 MB, whatever size it declares.
    """
    if path.is_dir():
        return _folder_members(path)
    with reading(path), open(path, "rb") as file:
        start = file.read(4)
    return _zip_members(path) if start in (b"PK\x03\x04", b"PK\x05\x06") else _tar_members(path)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what reading a file may raise into one sentence. Raises: errors.Invalid."""
    try:
        yield
    except OSError as exc:
        if exc.errno is None:  # gzip and bz2 raise it for bad data
            raise _damaged(path, exc) from exc
        raise errors.Invalid(
            f"{path} cannot be read ({exc.strerror}): check the path and its permissions"
        ) from exc
    except DAMAGED as exc:
        raise _damaged(path, exc) from exc
    except RuntimeError as exc:  # encrypted, or a compression this Python lacks
        raise errors.Invalid(f"{path} cannot be read ({first_line(exc)}): pack it again") from exc
    except MemoryError as exc:
        raise errors.Invalid(
            f"{path} needs more memory than there is ({first_line(exc)}): use a smaller data set"
        ) from exc


def _damaged(path: Path, exc: Exception) -> errors.Invalid:
    return errors.Invalid(
        f"{path} is damaged, cut short or of another format ({first_line(exc)}): "
        "copy or download it again"
    )


def _folder_members(root: Path, inside: str = "", above: tuple[str, ...] = ()) -> Iterator[Member]:
    """Yield what is in a folder.

    Args:
        root: the folder of the data.
        inside: the folder within it, with its slash.
        above: the real paths of all folders above.
    """
    above = (*above, os.path.realpath(root / inside))
    with reading(root / inside):
        entries = sorted(os.listdir(root / inside))
    for name in (f"{inside}{entry}" for entry in entries if not names.hidden(entry)):
        path = root / name
        if path.is_dir():
            if os.path.realpath(path) in above:  # a link: what it leads to is being listed
                continue
            yield Member(name, True, bytes)
            if len(above) == DEEPEST:
                raise errors.Invalid(f"{path} is more than {DEEPEST} folders deep: move it up")
            yield from _folder_members(root, f"{name}/", above)
        elif path.is_file():
            status = path.stat()
            read = partial(_read_file, root, name, status.st_size)
            yield Member(name, False, read, (status.st_size, status.st_mtime_ns))
        else:
            raise errors.Invalid(
                f"{path} is neither a file nor a folder (a broken link, a pipe?): remove it"
            )


def _read_file(root: Path, name: str, size: int) -> bytes:
    """Return the bytes of a file in a folder, which may hold large ones that nobody reads whole."""
    _check_size(name, size, root)
    return _read(root / name, (root / name).read_bytes)


def _tar_members(path: Path) -> Iterator[Member]:
    with reading(path), tarfile.open(path, tarinfo=_Header) as tar:
        while (info := tar.next()) is not None:
            if not (info.isreg() or info.isdir()):
                raise _not_a_file(info.name, path)
            name = _safe_name(info.name, path)
            _check_size(name, info.size, path)
            if name not in ("", ".") and not names.hidden(name):
                read = partial(_read, path, partial(_read_tar, tar, info))
                yield Member(name, info.isdir(), read)
            # Or tarfile keeps every header. The attribute is documented, typeshed lacks it.
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue]
        _check_end(tar, path)


class _Header(tarfile.TarInfo):
    """A header of bounded size.

    tarfile reads the whole content of a header that only describes the next one, by a long name
    or pax records.
    """

    OF_THE_NEXT = (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> tarfile.TarInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.type in cls.OF_THE_NEXT and info.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info


def _read_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    if file is None:
        raise TypeError(f"member {info.name!r} is a folder, which has no bytes")
    with file:
        return file.read()


def _check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Check that a tar has its end, which tarfile also assumes at a lost or broken header.

    Reads the rest, so that the checksum of a compressed tar is compared too.
    """
    has_end = tar.fileobj.tell() - tar.offset >= tarfile.BLOCKSIZE
    while block := tar.fileobj.read(1 << 20):
        has_end = has_end and not block.strip(b"\0")
    if not has_end:
        raise errors.Invalid(
            f"{path} is damaged or cut short (no end of archive): copy or download it again"
        )


def _zip_members(path: Path) -> Iterator[Member]:
    with reading(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _not_a_file(info.filename, path)
            name = _safe_name(info.filename, path).replace("\\", "/")
            _check_size(name, info.file_size, path)
            if name not in ("", ".") and not names.hidden(name):
                read = partial(_read, path, partial(_read_zip, archive, info))
                yield Member(name, info.is_dir(), read)


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member step by step: asked for all of it, zipfile unpacks first and cuts it then."""
    with archive.open(info) as file:
        if info.compress_type in PLAIN_OR_DEFLATED:
            return file.read(info.file_size)
        return b"".join(iter(partial(file.read, STEP_BYTES), b""))


def _read(path: Path, read: Callable[[], bytes]) -> bytes:
    with reading(path):
        return read()


def _not_a_file(name: str, path: Path) -> errors.Invalid:
    return errors.Invalid(
        f"member {name!r} of {path} is a link or a device: pack files and folders only"
    )


def _safe_name(name: str, path: Path) -> str:
    """Return a member's name without "./"; backslashes count as slashes.

    Raises:
        errors.Invalid: the name leads out of the archive.
    """
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match("[A-Za-z]:/", plain) or ".." in plain.split("/"):
        raise errors.Invalid(
            f"member {name!r} of {path} leads out of it: pack it with relative names, without '..'"
        )
    return re.sub(r"^(\./+)+", "", name)


def _check_size(name: str, size: int, path: Path) -> None:
    if not 0 <= size <= MEMBER_BYTES:
        raise errors.Invalid(
            f"member {name!r} of {path} declares {size:,} bytes: "
            f"expected at most {MEMBER_BYTES:,}; leave it out"
        )
