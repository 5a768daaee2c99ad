"""Bytes from outside, read safely: folders, archives, pickled arrays.

Nothing is extracted to disk, no link is followed out of an archive and no pickle
calls anything. Whatever is wrong with a file becomes one sentence of `errors`.
"""

import contextlib
import io
import lzma
import math
import os
import pickle
import pickletools
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from job import errors
from job.data import names
from job.sentences import first_line

MEMBER_BYTES = 200_000_000  # of one member, by its declared size: no more than that is unpacked
HEADER_BYTES = (
    1 << 20
)  # of what a tar says of a member in a member of its own: a long name, pax records
STEP_BYTES = 4096  # of bzip2 or LZMA at a time, which unpack to 20,000 times as much at most
SMALL_BYTES = 20_000_000  # an array of more bytes
MOST_PER_BYTE = 200  # has at most these for each byte it is packed to; bombs have 1,000
MOST_OPCODES = (
    500_000  # of a pickle: those of CIFAR-10 have 30,108; an object is 60 to 250 bytes of memory
)
DEEPEST = 5  # folders below each other; top/train/class/image is 4, and a link to its own parent ends here


class Member(NamedTuple):
    """A file or folder in a folder or an archive."""

    name: str  # relative, separated by "/"; a zip ends that of a folder with one too
    is_folder: bool
    read: Callable[[], bytes]  # only until the next member is asked for


def members(path: Path) -> Iterator[Member]:
    """List what is in a folder, a tar (plain, gzip, bzip2, xz) or a zip, in its own order.

    The content, not the suffix, decides how it is read. Hidden names (.DS_Store) and those a
    system makes for itself (lost+found) are left out, unread. Links are followed in a folder,
    which is the user's own, never in an archive.

    Raises:
        errors.Invalid: damaged, cut short or encrypted; an absolute name or one with "..";
            a link or a device; a member of more than 200 MB, whatever it says it has.
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
        raise errors.Invalid(
            f"{path} cannot be read ({exc.strerror}): check the path and its permissions"
        ) from exc
    except (
        EOFError,
        ValueError,
        struct.error,
        zlib.error,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
    ) as exc:
        raise _damaged(path, exc) from exc
    except RuntimeError as exc:  # encrypted, or a compression this Python lacks
        raise errors.Invalid(f"{path} cannot be read ({first_line(exc)}): pack it again") from exc
    except MemoryError as exc:
        raise errors.Invalid(
            f"{path} needs more memory than there is ({first_line(exc)}): use a smaller data set"
        ) from exc


def _damaged(path: Path, exc: Exception) -> errors.Invalid:
    return errors.Invalid(
        f"{path} is damaged, cut short or of another format ({first_line(exc)}): copy or download it again"
    )


# --- folders, tar, zip ---


def _folder_members(root: Path, inside: str = "") -> Iterator[Member]:
    with reading(root / inside):
        found = sorted(os.listdir(root / inside))
    for name in (f"{inside}{name}" for name in found if not names.hidden(name)):
        path = root / name
        if path.is_dir():
            yield Member(name, True, bytes)
            if name.count("/") < DEEPEST - 1:
                yield from _folder_members(root, f"{name}/")
        elif path.is_file():
            _check_size(name, path.stat().st_size, root)
            yield Member(name, False, partial(_read, path, path.read_bytes))
        else:
            raise errors.Invalid(
                f"{path} is neither a file nor a folder (a link to nothing, a pipe?): remove it"
            )


def _tar_members(path: Path) -> Iterator[Member]:
    with reading(path), tarfile.open(path, tarinfo=_Header) as tar:
        while (info := tar.next()) is not None:
            if not (info.isreg() or info.isdir()):
                raise _no_file(info.name, path)
            name = _checked_name(info.name, path)
            _check_size(name, info.size, path)
            if name not in ("", ".") and not names.hidden(name):
                yield Member(
                    name, info.isdir(), partial(_read, path, partial(_read_tar, tar, info))
                )
            tar.members = []  # tarfile keeps every header, else
        _check_end(tar, path)


class _Header(tarfile.TarInfo):
    """A header; of one that only describes the next, by a long name or pax records, tarfile reads all bytes at once."""

    OF_THE_NEXT = (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        info = super().frombuf(buf, encoding, errors)
        if info.type in cls.OF_THE_NEXT and info.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        return info


def _read_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    with tar.extractfile(info) as file:
        return file.read()


def _check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Refuse a tar without its end: tarfile takes a lost or broken header for the end of the archive.

    Reads the rest, so that the checksum of a compressed one is compared too.
    """
    ended = tar.fileobj.tell() - tar.offset >= tarfile.BLOCKSIZE
    while block := tar.fileobj.read(1 << 20):
        ended = ended and not block.strip(b"\0")
    if not ended:
        raise errors.Invalid(
            f"{path} is damaged or cut short (no end of archive): copy or download it again"
        )


def _zip_members(path: Path) -> Iterator[Member]:
    with reading(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _no_file(info.filename, path)
            name = _checked_name(info.filename, path).replace("\\", "/")
            _check_size(name, info.file_size, path)
            if name not in ("", ".") and not names.hidden(name):
                yield Member(
                    name, info.is_dir(), partial(_read, path, partial(_read_zip, archive, info))
                )


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a member; asked for all of it, zipfile would unpack what is there and cut it to the declared size then."""
    with archive.open(info) as file:
        if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return file.read(info.file_size)
        return b"".join(iter(partial(file.read, STEP_BYTES), b""))


def _read(path: Path, read: Callable[[], bytes]) -> bytes:
    with reading(path):
        return read()


def _no_file(name: str, path: Path) -> errors.Invalid:
    return errors.Invalid(
        f"member {name!r} of {path} is a link or a device: pack files and folders only"
    )


def _checked_name(name: str, path: Path) -> str:
    """A member's name without "./"; errors.Invalid when it leads out of the archive (backslashes count as slashes)."""
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match("[A-Za-z]:/", plain) or ".." in plain.split("/"):
        raise errors.Invalid(
            f"member {name!r} of {path} leads out of it: pack it with relative names, without '..'"
        )
    return re.sub(r"^(\./+)+", "", name)


def _check_size(name: str, size: int, path: Path) -> None:
    if not 0 <= size <= MEMBER_BYTES:
        raise errors.Invalid(
            f"member {name!r} of {path} says it has {size:,} bytes, more than {MEMBER_BYTES:,} are not read: leave it out"
        )


# --- arrays in a zip ---


def array(archive: zipfile.ZipFile, name: str, what: str) -> np.ndarray:
    """Read an .npy of an .npz, no pickle.

    Its header and the zip say how large it is, before it takes any memory.

    Args: what: names it in errors.
    Raises: Invalid.
    """
    info = archive.getinfo(name)
    if info.file_size > SMALL_BYTES and info.file_size > MOST_PER_BYTE * info.compress_size:
        seen = f"{info.file_size:,} bytes from {info.compress_size:,}"
        raise errors.Invalid(
            f"{what} unpacks to {seen}, more than {MOST_PER_BYTE} a byte: unless it is a bomb, save it by numpy.savez"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise errors.Invalid(
            f"{what} is packed in another way than numpy does: save it by numpy.savez"
        )
    with archive.open(info) as file:
        if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise errors.Invalid(f"{what} is no array: save it by numpy.savez")
        try:
            file.seek(0)
            read_header = (
                npy.read_array_header_1_0
                if npy.read_magic(file) == (1, 0)
                else npy.read_array_header_2_0
            )
            shape, _, dtype = read_header(file)
            if (
                not dtype.hasobject
                and math.prod(shape) * dtype.itemsize > info.file_size - file.tell()
            ):
                raise ValueError(f"{shape} of {dtype} is more than its {info.file_size:,} bytes")
            file.seek(0)
            return npy.read_array(file, allow_pickle=False)
        except ValueError as exc:
            raise errors.Invalid(
                f"{what} cannot be read ({first_line(exc)}): save plain numbers or text by numpy.savez"
            ) from exc


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
        if (
            not isinstance(dtype, _Dtype)
            or dtype.code not in ("u1", b"u1", "|u1", b"|u1")
            or fortran
        ):
            raise ValueError("an array that is not uint8 in C order")
        self.values = np.frombuffer(data, np.uint8).reshape(shape)


class _Dtype:
    """Stands in for a pickled `numpy.dtype`."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and fields: one byte has neither


class _Unpickler(pickle.Unpickler):
    """An unpickler for containers, numbers, text and uint8 arrays; it calls nothing but the stand-ins above."""

    KNOWN = {
        ("numpy.core.multiarray", "_reconstruct"): Array,
        ("numpy._core.multiarray", "_reconstruct"): Array,
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): _Dtype,
    }

    def __init__(self, data: bytes):
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._left = len(data)  # of what may be encoded: each text of a pickle once

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (module, name) not in self.KNOWN:
            raise errors.Invalid(
                f"the pickle asks for {module}.{name}, which no array needs: it was refused and not run"
            )
        return self.KNOWN[module, name]

    def _encode(self, text: str, encoding: str = "latin1") -> bytes:
        """Stand in for `_codecs.encode`, by which Python 3 pickles bytes for Python 2."""
        self._left -= len(text)
        if encoding not in ("latin1", b"latin1") or self._left < 0:
            raise ValueError(f"text encoded as {encoding!r}, or again and again")
        return text.encode("latin1")


def _check_opcodes(data: bytes) -> None:
    """Raise ValueError for a pickle that would take much more memory than it has bytes, without doing what it says.

    An opcode of one byte makes an object, and the number under which one is remembered makes a table of that length.
    """
    for n, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if n >= MOST_OPCODES:
            raise ValueError(f"more than {MOST_OPCODES:,} opcodes")
        if opcode.name.endswith("PUT") and argument > n:
            raise ValueError(f"object {argument:,} of {n:,}")


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
        _check_opcodes(data)
        return _Unpickler(data).load()
    except errors.Invalid as exc:
        raise errors.Invalid(f"member {name!r}: {exc}") from None
    except (
        Exception
    ) as exc:  # a damaged pickle raises anything, MemoryError and IndexError included
        raise errors.Invalid(
            f"member {name!r} is no readable pickle ({first_line(exc)}): get the archive again"
        ) from exc
