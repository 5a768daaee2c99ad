"""Read pickles of Python 2 safely: plain data and uint8 arrays, without running anything."""

import io
import pickle
import pickletools
from typing import Any, ClassVar

import numpy as np

from job import errors
from job.sentences import first_line

# Those of CIFAR-10 have 30,108. An opcode makes an object of 60 to 250 bytes of memory.
MOST_OPCODES = 500_000


class Array:
    """Stands in for a pickled `numpy.ndarray`; numpy's own code is never reached.

    Attributes:
        values: uint8, of the pickled shape, read-only.
    """

    def __init__(self, *_: object) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        is_uint8 = isinstance(dtype, _Dtype) and dtype.code in ("u1", b"u1", "|u1", b"|u1")
        if not is_uint8 or is_fortran:
            raise ValueError("an array that is not uint8 in C order")
        self.values = np.frombuffer(data, np.uint8).reshape(shape)


class _Dtype:
    """Stands in for a pickled `numpy.dtype`."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        pass  # byte order and fields: one byte has neither


class _Unpickler(pickle.Unpickler):
    """Reads containers, numbers, text and uint8 arrays; calls nothing but the stand-ins above."""

    KNOWN: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): Array,
        ("numpy._core.multiarray", "_reconstruct"): Array,
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): _Dtype,
    }

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._budget = len(data)  # a pickle encodes each of its texts once

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        if (module, name) not in self.KNOWN:
            raise errors.Invalid(
                f"the pickle asks for {module}.{name}, which no array needs: "
                "it was refused and not run"
            )
        return self.KNOWN[module, name]

    def _encode(self, text: str, encoding: str | bytes = "latin1") -> bytes:
        """Stand in for `_codecs.encode`, by which Python 3 pickles bytes for Python 2."""
        self._budget -= len(text)
        if encoding not in ("latin1", b"latin1") or self._budget < 0:
            raise ValueError(f"text encoded as {encoding!r}, or again and again")
        return text.encode("latin1")


def _check_opcodes(data: bytes) -> None:
    """Check that a pickle takes memory in proportion to its bytes, without loading it.

    An opcode of one byte makes an object. The number that one is remembered by makes a table of
    that length.

    Raises:
        ValueError: too many opcodes, or too large a number.
    """
    for n, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if n >= MOST_OPCODES:
            raise ValueError(f"more than {MOST_OPCODES:,} opcodes")
        if opcode.name.endswith("PUT") and argument is not None and argument > n:
            raise ValueError(f"object {argument:,} of {n:,}")


def unpickle(data: bytes, name: str) -> Any:
    """Read a pickle that holds plain data and uint8 arrays, without running anything in it.

    Args:
        data: the pickle; text of Python 2 comes back as bytes.
        name: the member it is from, for the error.

    Returns:
        What was pickled, each numpy array as an `Array`.

    Raises:
        errors.Invalid: it asks for another global (named in the error), or is damaged.
    """
    try:
        _check_opcodes(data)
        return _Unpickler(data).load()
    except errors.Invalid as exc:
        raise errors.Invalid(f"member {name!r}: {exc}") from None
    except Exception as exc:  # a damaged pickle raises anything, such as MemoryError, IndexError
        raise errors.Invalid(
            f"member {name!r} is not a readable pickle ({first_line(exc)}): "
            "download the archive again"
        ) from exc
