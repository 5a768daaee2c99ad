"""What the store must have: compared with its listing, without reading a byte."""

from collections.abc import Iterator

from job.data import staged
from job.errors import JobError
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Object, Store
from job.verify.collect import Recorded, Task, sentences

TRIAL_FILES = (paths.PREDICTIONS, paths.HISTORY, paths.RESULT)
FILES = {
    "features": (paths.FEATURES,),
    "trial": TRIAL_FILES,
    "fold": (*TRIAL_FILES, paths.MODEL),
    "final": (*TRIAL_FILES, paths.MODEL),
}


class Listing:
    """The objects of one experiment and its data, listed once; any other is looked up by name."""

    def __init__(self, store: Store, recorded: Recorded):
        self.store = store
        registered = recorded.registered
        self.prefixes = (
            f"{paths.experiment_folder(registered.id)}/",
            paths.data_file(registered.data.id, ""),
        )
        self.objects = {o.key: o for prefix in self.prefixes for o in store.listing(prefix)}

    @property
    def is_folder(self) -> bool:
        """Tell whether the store is a folder: there an etag is the time of the latest write."""
        return self.store.url.startswith("file:")

    def find(self, key: str) -> Object | None:
        """Return the object of a key, or None."""
        return self.objects.get(key) if key.startswith(self.prefixes) else self.store.head(key)


def describe_files(recorded: Recorded) -> str:
    """Return how many files decided tasks name, and their size."""
    entries = [e for t in recorded.tasks.values() for e in t.files.values()]
    size = sum(e["size"] for e in entries if isinstance(e, dict) and isinstance(e.get("size"), int))
    return f"{len(entries)} files, {size / 1e6:.1f} MB"


def bytes_first(recorded: Recorded, listing: Listing) -> Iterator[str]:
    """Check that the store has every file of a decided task, with its size and etag."""
    for task in recorded.tasks.values():
        if task.decided and not task.infeasible:
            yield from sentences(task.key, _task(recorded, task, listing))


def _task(recorded: Recorded, task: Task, listing: Listing) -> Iterator[str]:
    for name in required_files(recorded, task):
        if name not in task.files:
            yield f"names no {name}"
    if folder_number(recorded, task) is None:
        yield "names files that do not come from a single attempt of this task"
    # Two attempts may store the same features twice; in a folder that changes the etag.
    may_differ = task.key.stage == "features" and listing.is_folder
    for name, entry in task.files.items():
        stored = listing.find(entry["key"])
        if stored is None:
            yield f"names {name}, which is not in the store: {entry['key']}"
        elif stored.size != entry["size"]:
            yield (
                f"names {name} of {entry['size']} bytes,"
                f" but in the store it has {stored.size}: {entry['key']}"
            )
        elif stored.etag != entry["etag"] and not may_differ:
            yield (
                f"names {name}, but the store has another object of this size (etag):"
                f" {entry['key']}"
            )


def folder_number(recorded: Recorded, task: Task) -> int | None:
    """Return the one attempt under which all files of a task lie (features: 0), or None.

    The attempt need not be one of the rows: a restored database adopts older results in place.
    """
    registered = recorded.registered
    if task.key.stage == "features":
        folder = paths.features_folder(registered.data.id)
        return 0 if all(e["key"].startswith(folder) for e in task.files.values()) else None
    keys = {name: entry["key"] for name, entry in task.files.items()}
    found = paths.attempt_of(registered.id, task.key, keys)
    if found is None:
        return None
    number, owner = found
    return number if owner or 1 <= number <= task.row.attempt else None


def required_files(recorded: Recorded, task: Task) -> list[str]:
    """Return the names of the files of a decided task that did not diverge."""
    augmented = task.key.stage == "final" and recorded.parameters(task).get("augment")
    return [*FILES[task.key.stage], *([paths.AUGMENTATION] if augmented else [])]


def node_cache(recorded: Recorded, cache: Cache) -> Iterator[str]:
    """Check that this node's copies are what was staged and what tasks wrote, byte for byte."""
    entries = staged.objects(recorded.registered) | {
        entry["key"]: entry for task in recorded.tasks.values() for entry in task.files.values()
    }
    known = {key: entry["sha256"] for key, entry in entries.items() if "sha256" in entry}
    try:
        yield from cache.find_damaged(known)
    except JobError as exc:
        # The folder is not this user's alone, or its disk is broken.
        yield str(exc)


def data(recorded: Recorded, listing: Listing) -> Iterator[str]:
    """Check that data, splits and weights are stored, and the specification is unchanged."""
    registered = recorded.registered
    for key, entry in staged.objects(registered).items():
        stored = listing.find(key)
        if stored is None:
            yield f"{key} is not in the store"
        elif stored.size != entry.get("size", stored.size):
            yield f"{key} has {stored.size} bytes in the store, but was staged with {entry['size']}"
        elif stored.etag != entry.get("etag", stored.etag) and not listing.is_folder:
            yield f"{key} is another object of this size (etag) than the staged one"
    if recorded.experiment.fingerprint != registered.fingerprint:
        yield "the specification in the database is not the one its fingerprint was made of"
    for model in recorded.experiment.task_counts("features"):
        if model not in registered.weights:
            yield f"{model} has no weights"
