"""Checkpoints: atomic, hashed bundles of all that a task needs to resume, saved in the background.

Layout of a bundle: 64 hexadecimal digits (sha256 of the rest), a newline, an uncompressed .npz.

A bundle names its task, parameters and data. A restored dump or a failover can set the database
back in time. Then the folder of a task may hold checkpoints of other parameters: this task neither
resumes from them nor counts them when it deletes its own old ones.
"""

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator

import numpy as np

from job.background import Background
from job.errors import Invalid, JobError, Missing, Unreachable
from job.learning.result_format import Machine
from job.sentences import UNREADABLE
from job.storage.paths import TaskFile, checkpoint_name, task_file
from job.storage.store import Store

KEPT = 2
MARK_LENGTH = 8
# The first checkpoint comes early and the interval doubles: a node that dies young leaves one too.
FIRST_S = 2.0

# Arrays in order, and a JSON-serializable state that holds the step.
Snapshot = tuple[list[np.ndarray], dict]

log = logging.getLogger(__name__)


class Damaged(JobError):
    """A checkpoint or another sealed file is truncated, altered or of another task."""


class Checkpoints:
    """The checkpoints of all attempts at one task, to which this attempt adds its own."""

    def __init__(
        self,
        store: Store,
        folders: tuple[str, str],
        every_s: float,
        identity: Callable[[], dict],
        machine: Callable[[], Machine],
        durable: Callable[[int], None],
    ):
        """Prepare to save; nothing is read or written yet.

        Args:
            folders: of the task in the store, and of this attempt below it.
            every_s: seconds between two checkpoints.
            identity: returns what tells this task's checkpoints from all others; called once the
                parameters are chosen.
            machine: returns what may change the bits beside the experiment; each bundle lists all
                machines that took part.
            durable: called with the step of each checkpoint that the store has.
        """
        self._store = store
        self._folder, self._attempt_folder = folders
        self._identity = identity
        self._machine = machine
        self._durable = durable
        self._every_s = every_s
        self._wait_s = min(FIRST_S, every_s)
        self._began = time.monotonic()
        self._take: Callable[[], Snapshot] | None = None
        self._background = Background(self._save, newest=True)
        self._earlier_machines: list[Machine] = []
        # True once old checkpoints could not be deleted and the log says so.
        self._keeps_old = False

    def newest(self) -> Iterator[Snapshot]:
        """Yield the intact checkpoints of this task, newest first.

        Log a warning for each that is damaged or belongs to another task, and skip it.
        """
        for file in reversed(self._files()):
            try:
                arrays, state = unpack(self._store.get(file.key))
                self._earlier_machines = self._check_identity(state)
            except (Damaged, Missing) as exc:
                log.warning("checkpoint %s is skipped: %s", file.key, exc)
                continue
            # The database may have been out of reach when this one was saved.
            self._durable(state["step"])
            yield arrays, state
        self._earlier_machines = []

    def _check_identity(self, state: dict) -> list[Machine]:
        """Remove identity and machines from a state, and return the machines.

        Raises:
            Damaged: it is not the state of a checkpoint, or of one of another task.
        """
        if not isinstance(state, dict) or not {"machines", "step"} <= state.keys():
            raise Damaged("its state is not that of a checkpoint")
        identity = state.pop("of", None)
        expected = self._stored_identity()
        if identity is None:
            raise Damaged(
                "it does not name its task and parameters, like checkpoints of older versions"
            )
        differing = [name for name in expected if identity.get(name) != expected[name]]
        if differing:
            raise Damaged(
                "it belongs to another task, other parameters or other data"
                f" ({', '.join(differing)} differ)"
            )
        return state.pop("machines")

    def _stored_identity(self) -> dict:
        """Return the identity as a bundle returns it: after a round trip through JSON."""
        return json.loads(json.dumps(self._identity()))

    @property
    def machines(self) -> list[Machine]:
        """Every machine that took part, in the order in which they joined."""
        here = self._machine()
        earlier = self._earlier_machines
        return earlier if here in earlier else [*earlier, here]

    def offer(self, take: Callable[[], Snapshot]) -> None:
        """Save what `take` returns in the background, if it is time to.

        Raises:
            BaseException: the error that ended an earlier save.
        """
        self._take = take
        if time.monotonic() - self._began > self._wait_s:
            self._background.post(take())
            self._began = time.monotonic()
            self._wait_s = min(2 * self._wait_s, self._every_s)

    def check(self) -> None:
        """Raise the error that ended an earlier save, if one did."""
        self._background.check()

    def save_last(self) -> None:
        """Save the last snapshot that was offered, and return once the store has it."""
        if self._take is not None:
            self._save(self._take())

    def clear(self) -> None:
        """Delete all checkpoints of a decided task, including one that is still being saved."""
        self._background.flush()
        self._store.delete([p.key for p in self._files()])

    def _save(self, snapshot: Snapshot) -> None:
        arrays, state = snapshot
        identity = self._stored_identity()
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        mark = digest[:MARK_LENGTH]
        bundle = pack(arrays, state | {"machines": self.machines, "of": identity})
        self._store.put(f"{self._attempt_folder}/{checkpoint_name(state['step'], mark)}", bundle)
        log.info("saved at step %d", state["step"])
        self._durable(state["step"])
        self._delete_old(mark)

    def _delete_old(self, mark: str) -> None:
        """Delete the old checkpoints with our mark.

        A failure must not end a training, as `job gc` deletes them too.
        """
        if self._keeps_old:
            return
        old = [file.key for file in self._files() if file.mark == mark][:-KEPT]
        try:
            self._store.delete(old, patience_s=0.0)
        except Unreachable:
            return  # the next save tries again
        except Invalid as exc:
            self._keeps_old = True
            log.warning("old checkpoints cannot be deleted and are left to `job gc`: %s", exc)

    def _files(self) -> list[TaskFile]:
        """Return the files of this task's checkpoints, by step, then by attempt."""
        files = (task_file(o.key) for o in self._store.listing(f"{self._folder}/"))
        checkpoints = [file for file in files if file and file.step is not None]
        return sorted(checkpoints, key=lambda file: (file.step, file.attempt))


def pack(arrays: list[np.ndarray], state: dict) -> bytes:
    """Return a bundle of arrays, in order, and a JSON-serializable state."""
    buffer = io.BytesIO()
    entries = {"state": np.frombuffer(json.dumps(state).encode(), np.uint8)}
    entries |= {f"{i:06d}": array for i, array in enumerate(arrays)}
    # The stubs match each entry against allow_pickle, too.
    np.savez(buffer, **entries)  # pyright: ignore[reportArgumentType]
    body = buffer.getvalue()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpack(bundle: bytes) -> Snapshot:
    """Return the arrays and the state of a bundle.

    Raises:
        Damaged: its hash does not match, or it is not a bundle.
    """
    digest, _, body = bundle.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise Damaged("its hash does not match its content")
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as file:
            arrays = [file[name] for name in sorted(file.files) if name != "state"]
            return arrays, json.loads(file["state"].tobytes())
    except UNREADABLE as exc:
        raise Damaged(f"it is not a bundle: {type(exc).__name__} {exc}") from exc


def hash_arrays(arrays: list[np.ndarray]) -> str:
    """Return one sha256, hexadecimal, over dtype, shape and bytes of the arrays in order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
