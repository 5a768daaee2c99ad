"""Find what the store has lost of decided tasks, and let these tasks run again.

The listing finds it, or every byte is read. A repaired task keeps its parameters, its epochs with
the pruner's decisions, its attempts and, for a final, the opening of the test part: all of that
happened. So on the same machine it comes out bit for bit as it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from job.coordination.attempt import UNDONE
from job.coordination.database import Database, json_value
from job.coordination.statements import queries
from job.data import staged
from job.errors import Missing
from job.experiment.task import Key
from job.learning import provenance
from job.sentences import UNREADABLE
from job.storage.store import Store
from job.verify.collect import Task
from job.verify.objects import Listing, required_files
from job.verify.verify import Recorded

SQL = queries("repair")


@dataclass(frozen=True)
class Loss:
    """A decided task whose files are not all what its row says."""

    key: Key
    why: str  # a sentence; empty where the bytes are the same and only size or etag differ
    artifact: dict  # as the row has it
    noted: dict  # the same, with size and etag as the store has them

    def __str__(self) -> str:
        why = self.why or "its files have new etags and the same bytes; the etags are noted"
        return f"{self.key}: {why}"


def losses(recorded: Recorded, store: Store, deep: bool) -> Iterator[Loss]:
    """Yield each decided task that has lost something.

    Args:
        recorded: the experiment's rows.
        store: where its files are.
        deep: read every byte, also where size and etag are right.
    """
    listing = Listing(store, recorded)
    for task in recorded.tasks.values():
        if not task.decided or task.infeasible:
            continue
        try:
            noted = {name: dict(entry) for name, entry in task.files.items()}
            why = "; ".join(_lost(recorded, task, listing, noted, deep))
        except UNREADABLE as exc:
            noted = {}
            why = f"its row's list of files cannot be read: {type(exc).__name__} {exc}"
        if why or noted != task.files:
            yield Loss(task.key, why, task.row.artifact, noted)


def lost_data(recorded: Recorded, store: Store) -> list[str]:
    """Return the keys of staged objects that are missing or damaged.

    `job prepare` stages them again.
    """
    return staged.inspect(store, recorded.registered)[1]


def repair_task(database: Database, recorded: Recorded, loss: Loss) -> bool:
    """Let a task wait again, or note its files' new etags; return whether this was done.

    It is not done to a task that has changed since the loss was found.
    """
    task = recorded.registered.values(loss.key) | {"artifact": json_value(loss.artifact)}
    statement = "note"
    values = task | {"noted": json_value(loss.noted)}
    if loss.why:
        statement = "undo"
        values = task | {"reason": f"{UNDONE}{loss.why}"}
    done = False

    def work(cursor) -> bool:
        nonlocal done
        cursor.execute(SQL["close"], task)
        cursor.execute(SQL[statement], values)
        # An earlier try may have done it without its answer reaching us.
        done = cursor.fetchone() is not None or done
        return done

    return database.transaction(work)


def _lost(
    recorded: Recorded, task: Task, listing: Listing, noted: dict, deep: bool
) -> Iterator[str]:
    """Yield what a task has lost; write the store's size and etag of equal bytes into `noted`."""
    yield from (
        f"it names no {name}" for name in required_files(recorded, task) if name not in task.files
    )
    for name, entry in task.files.items():
        stored = listing.find(entry["key"])
        if stored is None:
            yield f"{name} is not in the store"
        elif stored.size != entry["size"]:
            yield f"{name} has {stored.size} bytes, not {entry['size']}"
        elif deep or stored.etag != entry["etag"]:
            if not _is_same(listing.store, entry):
                yield f"{name} has other bytes"
            noted[name]["etag"] = stored.etag


def _is_same(store: Store, entry: dict) -> bool:
    """Tell whether an object has the hash that a row says."""
    try:
        return provenance.sha256(store.get(entry["key"])) == entry["sha256"]
    except Missing:
        return False
