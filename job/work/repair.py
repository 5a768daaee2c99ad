"""What the store has lost of decided tasks: found by its listing or by every byte, and done again.

A task done again keeps its parameters, its epochs with what the pruner decided, its attempts and, of a final, that it
opened the test part: all of that happened. So on the same machine it comes out bit for bit as it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from job.coordination.attempt import UNDONE
from job.coordination.database import Database, json_value, queries
from job.data import staged
from job.errors import Missing
from job.experiment.task import Key
from job.learning import provenance
from job.sentences import UNREADABLE
from job.storage.store import Store
from job.verify.collect import Task
from job.verify.objects import Listing, named
from job.verify.verify import Recorded

SQL = queries("repair")


@dataclass(frozen=True)
class Loss:
    """A decided task whose files are not all what its row says."""

    key: Key
    why: str  # a sentence; empty where the bytes are the same and only size or etag are noted otherwise
    artifact: dict  # as the row has it
    noted: dict  # the same, with size and etag as the store has them

    def __str__(self) -> str:
        return f"{self.key}: {self.why or 'the etags of its files are noted anew, their bytes are the same'}"


def losses(recorded: Recorded, store: Store, deep: bool) -> Iterator[Loss]:
    """Yield each decided task that has lost something. Args: deep: read every byte, also where size and etag are right."""
    listing = Listing(store, recorded)
    for task in recorded.tasks.values():
        if not task.decided or task.diverged:
            continue
        try:
            noted = {name: dict(entry) for name, entry in task.files.items()}
            why = "; ".join(_lost(recorded, task, listing, noted, deep))
        except UNREADABLE as exc:
            noted, why = (
                {},
                f"what its row says of its files cannot be read: {type(exc).__name__} {exc}",
            )
        if why or noted != task.files:
            yield Loss(task.key, why, task.row["artifact"], noted)


def lost_data(recorded: Recorded, store: Store) -> list[str]:
    """Return the keys of staged objects that are missing or damaged: `job prepare` stages them again."""
    return staged.look(store, recorded.registered)[1]


def again(database: Database, recorded: Recorded, loss: Loss) -> bool:
    """Let a task wait again, or note its files anew; return whether it was as it was found, and this was done."""
    values, done = (
        recorded.registered.values(loss.key) | {"artifact": json_value(loss.artifact)},
        False,
    )
    statement, more = (
        ("undo", {"reason": f"{UNDONE}{loss.why}"})
        if loss.why
        else ("note", {"noted": json_value(loss.noted)})
    )

    def work(cursor):
        nonlocal done
        cursor.execute(SQL["close"], values)
        cursor.execute(SQL[statement], values | more)
        done = (
            cursor.fetchone() is not None or done
        )  # a try before may have been done, and its answer lost
        return done

    return database.run(work)


def _lost(
    recorded: Recorded, task: Task, listing: Listing, noted: dict, deep: bool
) -> Iterator[str]:
    """Yield what a task has lost; write into `noted` what size and etag are now of bytes that are the same."""
    yield from (f"it names no {name}" for name in named(recorded, task) if name not in task.files)
    for name, entry in task.files.items():
        stored = listing.find(entry["key"])
        if stored is None:
            yield f"{name} is not in the store"
        elif stored.size != entry["size"]:
            yield f"{name} has {stored.size} bytes, not {entry['size']}"
        elif deep or stored.etag != entry["etag"]:
            try:
                same = provenance.sha256(listing.store.get(entry["key"])) == entry["sha256"]
            except Missing:
                same = False
            if not same:
                yield f"{name} has other bytes"
            noted[name]["etag"] = stored.etag
