"""The promises, re-checked over database and store: what the tables say in one moment, then what the store has.

It reads only, and works at any time: a running task or an unfinished experiment is no violation.
"""

import random
from collections.abc import Callable, Iterator

from job.coordination.database import Database
from job.data import staged
from job.errors import Invalid, Missing
from job.experiment.task import Key
from job.learning.checkpoint import Damaged
from job.settings import redact
from job.storage.cache import Cache
from job.storage.store import Store
from job.verify import leaks, method, objects, tables
from job.verify.collect import UNREADABLE, Promise, Recorded, read
from job.verify.contents import Contents

__all__ = ["Promise", "Recorded", "check", "choose", "entry", "lines", "read", "replayed"]


def check(
    recorded: Recorded,
    store: Store,
    database: Database,
    deep: bool = False,
    cache: Cache | None = None,
) -> Iterator[Promise]:
    """Yield every promise about one experiment with its violations.

    The rows were read before: an attempt names its bytes after it wrote them, so what a row names is there.

    Args:
        deep: read every byte too, hash it, and recompute the scores.
        cache: this node's, to hash what it has of this experiment, too.
    """
    try:
        listing, prepared = objects.Listing(store, recorded), staged.objects(recorded.registered)
    except UNREADABLE as exc:
        yield Promise(
            recorded.registered.id,
            "data",
            "",
            [f"the experiment's row cannot be read: {type(exc).__name__} {exc}"],
        )
        return
    contents, known = Contents(store, recorded) if deep else None, leaks.secrets(database.url)

    def promise(name: str, detail: str, *found: Iterator[str]) -> Promise:
        return Promise(
            recorded.registered.id,
            name,
            detail,
            [redact(s) for part in found for s in _to_the_end(part)],
        )

    tasks, attempts = recorded.tasks.values(), sum(len(t.attempts) for t in recorded.tasks.values())
    yield promise("exactly N", tables.counts(recorded), tables.exactly_n(recorded))
    yield promise(
        "done is done",
        f"{sum(t.decided for t in tasks)} decided tasks, {attempts} attempts",
        tables.done_is_done(recorded),
    )
    yield promise(
        "one owner",
        f"{sum(t.row['state'] == 'running' for t in tasks)} tasks at work",
        tables.one_owner(recorded),
    )
    yield promise("epochs", tables.epochs(recorded), tables.every_epoch_once(recorded))
    read_too = ", hashed and recomputed" if deep else ", listed"
    yield promise(
        "bytes first",
        objects.files(recorded) + read_too,
        objects.bytes_first(recorded, listing),
        contents.bytes_first() if contents else iter(()),
    )
    yield promise("selection", method.selected(recorded), method.selection(recorded))
    yield promise(
        "the test part is locked", method.openings(recorded), method.test_part_is_locked(recorded)
    )
    yield promise(
        "data",
        f"{len(prepared)} files{', hashed' if deep else ', listed'}",
        objects.data(recorded, listing),
        contents.data() if contents else iter(()),
    )
    yield promise(
        "nothing leaks",
        f"{len(tasks) + attempts} rows{' and every text in the store' if deep else ''}",
        leaks.rows(recorded, known),
        leaks.texts(store, listing, known) if deep else iter(()),
    )
    if cache:
        yield promise(
            "this node's cache",
            f"what it has of this experiment, hashed: {cache.folder}",
            objects.cached(recorded, cache),
        )


def _to_the_end(found: Iterator[str]) -> Iterator[str]:
    """Yield what a check found; where a row of the experiment itself stops it, that is a finding."""
    try:
        yield from found
    except UNREADABLE as exc:
        yield f"cannot be checked to the end: {type(exc).__name__} {exc}"


def choose(experiments: list[Recorded], count: int, seed: int) -> list[tuple[Recorded, Key]]:
    """Return `count` decided tasks that have a result (or all, if there are fewer), drawn with a seed."""
    candidates = [
        (r, t.key)
        for r in experiments
        for t in r.tasks.values()
        if t.files.keys() & {"result.json", "features.npy"}
    ]
    return random.Random(seed).sample(candidates, min(count, len(candidates)))


def replayed(
    recorded: Recorded, key: Key, replay: Callable[[], str | None], skipped: type
) -> Promise:
    """Return how one task came out when it was trained again; `replay` answers with a sentence unless it is the same.

    What it needs and the store has lost is a violation, too.
    """
    try:
        answer = replay()
    except (Damaged, Missing, Invalid) as exc:
        answer = f"cannot be trained again: {exc}"
    if answer is None:
        return Promise(recorded.registered.id, "replay", f"{key} is bit for bit the same")
    if isinstance(answer, skipped):
        return Promise(recorded.registered.id, "replay", f"{key}: {answer}", skipped=True)
    return Promise(recorded.registered.id, "replay", "", [redact(f"{key}: {answer}")])


def entry(promise: Promise) -> dict:
    """Return a promise for programs."""
    return {
        "experiment": promise.experiment,
        "promise": promise.name,
        "ok": not promise.violations,
        "skipped": promise.skipped,
    } | {
        "detail": promise.detail,
        "violations": promise.violations,
    }


def lines(promise: Promise) -> list[str]:
    """Return a promise as a line, or a line for each violation."""
    if promise.violations:
        return [f"FAIL  {promise.name}: {sentence}" for sentence in promise.violations]
    return [f"{'skip' if promise.skipped else 'ok':6}{promise.name}: {promise.detail}"]
