"""Checkpoints: one atomic, hashed bundle of everything a run goes on from, saved in the background.

Layout of a bundle: 64 hexadecimal digits (sha256 of the rest), a newline, an uncompressed .npz.
"""

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator

import numpy as np

from job.errors import JobError, Missing
from job.outbox import Outbox
from job.store import Store

KEPT = 2
FIRST_S = 2.0  # the first one comes early, the next at doubling distances: a node that dies young leaves something behind

Snapshot = tuple[list[np.ndarray], dict]  # arrays in order, and a JSON-able state with the step

log = logging.getLogger(__name__)


class Damaged(JobError):
    """The checkpoint, or another sealed file, is truncated or altered."""


class Checkpoints:
    """The checkpoints of one task, of all its attempts; this attempt adds its own."""

    def __init__(
        self, store: Store, folder: str, attempt: int, every_s: float, machine: Callable[[], dict], durable: Callable[[int], None]
    ):
        """Args:
        folder: of the task in the store; each attempt writes under its number in it.
        every_s: seconds between two checkpoints.
        machine: tells what may change the bits and is not the experiment's; the bundle lists all that took part.
        durable: called with the step of each checkpoint that has arrived.
        """
        self._store, self._folder, self._attempt = store, folder, attempt
        self._every_s, self._wait_s = every_s, min(FIRST_S, every_s)
        self._machine, self._durable = machine, durable
        self._began = time.monotonic()
        self._take: Callable[[], Snapshot] | None = None
        self._outbox = Outbox(self._save, newest=True)
        self._before: list[dict] = []

    def newest(self) -> Iterator[Snapshot]:
        """Yield the whole ones, newest first; skip a damaged one with a warning."""
        for key in reversed(self._keys()):
            try:
                arrays, state = unpack(self._store.get(key))
            except (Damaged, Missing) as exc:
                log.warning("checkpoint %s is skipped: %s", key, exc)
                continue
            self._before = state.pop("machines")
            self._durable(state["step"])  # if the database was away when it was saved, it does not know
            yield arrays, state
        self._before = []

    @property
    def machines(self) -> list[dict]:
        """Every machine that took part, in order of its first part."""
        here = self._machine()
        return self._before if here in self._before else [*self._before, here]

    def offer(self, take: Callable[[], Snapshot]) -> None:
        """Save what `take` returns if it is time, in the background. Raises: what ended an earlier save."""
        self._take = take
        if time.monotonic() - self._began > self._wait_s:
            self._outbox.post(take())
            self._began, self._wait_s = time.monotonic(), min(2 * self._wait_s, self._every_s)

    def check(self) -> None:
        """Raise the error that ended the background saving, if one did."""
        self._outbox.check()

    def save_last(self) -> None:
        """Save where we are before leaving, here and now."""
        if self._take is not None:
            self._save(self._take())

    def clear(self) -> None:
        """Remove all of them, also one that is still on its way: the task is decided."""
        self._outbox.flush()
        self._store.delete(self._keys())

    def _save(self, snapshot: Snapshot) -> None:
        arrays, state = snapshot
        bundle = pack(arrays, state | {"machines": self.machines})
        self._store.put(f"{self._folder}/{self._attempt}/checkpoint-{state['step']:09d}", bundle)
        log.info("saved at step %d", state["step"])
        self._durable(state["step"])
        self._store.delete(self._keys()[:-KEPT])

    def _keys(self) -> list[str]:
        """Return the keys of this task's checkpoints by step; of one step, by attempt."""
        found = [o.key.split("/") for o in self._store.listing(f"{self._folder}/") if "/checkpoint-" in o.key]
        return ["/".join(parts) for parts in sorted(found, key=lambda parts: (parts[-1], int(parts[-2])))]


def pack(arrays: list[np.ndarray], state: dict) -> bytes:
    """Return a bundle of arrays, in order, and a JSON-able state."""
    buffer = io.BytesIO()
    named = {f"{i:06d}": a for i, a in enumerate(arrays)}
    np.savez(buffer, state=np.frombuffer(json.dumps(state).encode(), np.uint8), **named)
    body = buffer.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(bundle: bytes) -> Snapshot:
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
