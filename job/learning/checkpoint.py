"""Checkpoints: one atomic, hashed bundle of everything a run goes on from, saved in the background.

Layout of a bundle: 64 hexadecimal digits (sha256 of the rest), a newline, an uncompressed .npz.

A bundle says of which task, parameters and data it is. After a database that went back in time (a restored dump,
a failover) the folder of a task may hold checkpoints of what it was before: they are not gone on from, and no
reason to remove ours.
"""

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator

import numpy as np

from job.background import Outbox
from job.errors import Invalid, JobError, Missing, Unreachable
from job.sentences import UNREADABLE
from job.storage.paths import TaskFile, checkpoint_name, task_file
from job.storage.store import Store

KEPT = 2
MARK_LENGTH = 8
FIRST_S = 2.0  # the first one comes early, the next at doubling distances: a node that dies young leaves something behind

Snapshot = tuple[list[np.ndarray], dict]  # arrays in order, and a JSON-able state with the step

log = logging.getLogger(__name__)


class Damaged(JobError):
    """The checkpoint, or another sealed file, is truncated or altered."""


class Checkpoints:
    """The checkpoints of one task, of all its attempts; this attempt adds its own."""

    def __init__(
        self,
        store: Store,
        folders: tuple[str, str],
        every_s: float,
        identity: Callable[[], dict],
        machine: Callable[[], dict],
        durable: Callable[[int], None],
    ):
        """Args:
        folders: of the task in the store, and of this attempt, in it.
        every_s: seconds between two checkpoints.
        identity: tells what makes a checkpoint that of this task and no other, once its parameters are chosen.
        machine: tells what may change the bits and is not the experiment's; the bundle lists all that took part.
        durable: called with the step of each checkpoint that has arrived.
        """
        self._store, self._every_s, self._wait_s = store, every_s, min(FIRST_S, every_s)
        self._folder, self._attempt_folder = folders
        self._identity, self._machine, self._durable = identity, machine, durable
        self._began = time.monotonic()
        self._take: Callable[[], Snapshot] | None = None
        self._outbox = Outbox(self._save, newest=True)
        self._before: list[dict] = []
        self._left = False  # whether old ones stay where they are, and it was said

    def newest(self) -> Iterator[Snapshot]:
        """Yield the whole ones of this very task, newest first; skip a damaged one, and another's, with a warning."""
        for found in reversed(self._files()):
            try:
                arrays, state = unpack(self._store.get(found.key))
                self._before = self._ours(state)
            except (Damaged, Missing) as exc:
                log.warning("checkpoint %s is skipped: %s", found.key, exc)
                continue
            self._durable(
                state["step"]
            )  # if the database was away when it was saved, it does not know
            yield arrays, state
        self._before = []

    def _ours(self, state: dict) -> list[dict]:
        """Return the machines that took part, after taking from a state what is not the training's. Raises: Damaged for another's."""
        if not isinstance(state, dict) or not {"machines", "step"} <= state.keys():
            raise Damaged("its state is not that of a checkpoint")
        said, wanted = state.pop("of", None), self._said()
        if said is None:
            raise Damaged(
                "it does not say of which task and parameters it is, as those of an older version do not"
            )
        if other := [name for name in wanted if said.get(name) != wanted[name]]:
            raise Damaged(
                f"it is of another task, other parameters or other data ({', '.join(other)} differ)"
            )
        return state.pop("machines")

    def _said(self) -> dict:
        """Return the identity as it comes back out of a bundle."""
        return json.loads(json.dumps(self._identity()))

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
        self._store.delete([p.key for p in self._files()])

    def _save(self, snapshot: Snapshot) -> None:
        arrays, state = snapshot
        of = self._said()
        mark = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:MARK_LENGTH]
        bundle = pack(arrays, state | {"machines": self.machines, "of": of})
        self._store.put(f"{self._attempt_folder}/{checkpoint_name(state['step'], mark)}", bundle)
        log.info("saved at step %d", state["step"])
        self._durable(state["step"])
        self._thin(mark)

    def _thin(self, mark: str) -> None:
        """Remove our own old ones. One that cannot be removed is no reason to end a training: `job gc` removes it, too."""
        if self._left:
            return
        try:
            self._store.delete(
                [p.key for p in self._files() if p.mark == mark][:-KEPT], patience_s=0.0
            )
        except Unreachable:
            return  # the next save tries again
        except Invalid as exc:
            self._left = True
            log.warning("old checkpoints are left to `job gc`: %s", exc)

    def _files(self) -> list[TaskFile]:
        """Return where this task's checkpoints lie, by step; of one step, by attempt."""
        found = (task_file(o.key) for o in self._store.listing(f"{self._folder}/"))
        return sorted(
            (p for p in found if p and p.step is not None), key=lambda p: (p.step, p.attempt)
        )


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
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as file:
            arrays = [file[name] for name in sorted(file.files) if name != "state"]
            return arrays, json.loads(file["state"].tobytes())
    except UNREADABLE as exc:
        raise Damaged(f"it is no bundle: {type(exc).__name__} {exc}") from exc


def hash_arrays(arrays: list[np.ndarray]) -> str:
    """Return one sha256 over dtype, shape and bytes of arrays in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
