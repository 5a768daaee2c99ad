"""One bundle of everything a run goes on from, with a hash over it.

Layout: 64 hexadecimal digits (sha256 of the rest), a newline, an uncompressed .npz.
"""

import hashlib
import io
import json

import numpy as np

from job.errors import JobError


class Damaged(JobError):
    """The checkpoint is truncated or altered."""


def pack(arrays: list[np.ndarray], state: dict) -> bytes:
    """Return a bundle of arrays, in order, and a JSON-able state."""
    buffer = io.BytesIO()
    named = {f"{i:06d}": a for i, a in enumerate(arrays)}
    np.savez(buffer, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **named)
    body = buffer.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(bundle: bytes) -> tuple[list[np.ndarray], dict]:
    """Return arrays and state of a bundle. Raises: Damaged."""
    digest, _, body = bundle.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise Damaged("its hash does not match its content")
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = [file[name] for name in sorted(file.files) if name != "state"]
        return arrays, json.loads(file["state"].tobytes())


def hash_arrays(arrays: list[np.ndarray]) -> str:
    """Return one sha256 over dtype, shape and bytes of arrays in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
