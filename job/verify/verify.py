"""The promises, checked again: first the tables as of one moment, then the store.

The check only reads, and works at any time: a running task or an unfinished experiment is no
violation.
"""

import random
from collections.abc import Callable, Iterator
from typing import Any

from job.coordination.database import Database
from job.data import staged
from job.errors import Invalid, Missing
from job.experiment.task import Key
from job.learning.checkpoint import Damaged
from job.sentences import UNREADABLE
from job.settings import redact
from job.storage import paths
from job.storage.cache import Cache
from job.storage.store import Store
from job.verify import attempts, epochs, leaks, method, objects, plan
from job.verify.collect import Promise, Recorded, read
from job.verify.contents import Contents
from job.verify.replayed import Replayed

__all__ = ["Promise", "Recorded", "check", "choose", "entry", "lines", "read", "replay_promise"]


def check(
    recorded: Recorded,
    store: Store,
    database: Database,
    deep: bool = False,
    cache: Cache | None = None,
) -> Iterator[Promise]:
    """Yield every promise about one experiment with its violations.

    The rows were read before. An attempt names its bytes after it wrote them, so the store
    already has what a row names.

    Args:
        recorded: the experiment.
        store: where its objects are.
        database: its URL holds a password that must not leak.
        deep: read and hash every byte too, and recompute the scores.
        cache: this node's, to hash its copies of the experiment too.
    """
    try:
        listing = objects.Listing(store, recorded)
        files = len(staged.objects(recorded.registered))
    except UNREADABLE as exc:
        violation = f"the experiment's row cannot be read: {type(exc).__name__} {exc}"
        yield Promise(recorded.registered.id, "data", "", [violation])
        return
    contents = Contents(store, recorded) if deep else None
    known = leaks.secrets(database.url)

    def promise(name: str, detail: str, *parts: Iterator[str]) -> Promise:
        violations = [redact(sentence) for part in parts for sentence in _to_the_end(part)]
        return Promise(recorded.registered.id, name, detail, violations)

    yield promise("exactly N", plan.describe_tasks(recorded), plan.exactly_n(recorded))
    decided = attempts.describe_decided(recorded)
    yield promise("done is done", decided, attempts.done_is_done(recorded))
    yield promise("one owner", attempts.describe_running(recorded), attempts.one_owner(recorded))
    yield promise("epochs", epochs.describe_epochs(recorded), epochs.every_epoch_once(recorded))
    yield promise(
        "bytes first",
        objects.describe_files(recorded) + (", hashed and recomputed" if deep else ", listed"),
        objects.bytes_first(recorded, listing),
        contents.bytes_first() if contents else iter(()),
    )
    selections = method.describe_selections(recorded)
    yield promise("selection", selections, method.selection(recorded))
    openings = method.describe_openings(recorded)
    yield promise("the test part is locked", openings, method.test_part_is_locked(recorded))
    yield promise(
        "data",
        f"{files} files{', hashed' if deep else ', listed'}",
        objects.data(recorded, listing),
        contents.data() if contents else iter(()),
    )
    yield promise(
        "nothing leaks",
        _describe_texts(recorded, deep),
        leaks.rows(recorded, known),
        leaks.texts(store, listing, known) if deep else iter(()),
    )
    if cache:
        detail = f"what it has of this experiment, hashed: {cache.folder}"
        yield promise("this node's cache", detail, objects.node_cache(recorded, cache))


def _describe_texts(recorded: Recorded, deep: bool) -> str:
    tasks = recorded.tasks.values()
    rows = len(tasks) + sum(len(task.attempts) for task in tasks)
    return f"{rows} rows{' and every text in the store' if deep else ''}"


def _to_the_end(part: Iterator[str]) -> Iterator[str]:
    """Yield what a check finds; a row of the experiment that stops it is a violation too."""
    try:
        yield from part
    except UNREADABLE as exc:
        yield f"cannot be checked to the end: {type(exc).__name__} {exc}"


def choose(experiments: list[Recorded], count: int, seed: int) -> list[tuple[Recorded, Key]]:
    """Return `count` decided tasks with a result, or all if there are fewer, drawn with a seed."""
    candidates = [
        (recorded, task.key)
        for recorded in experiments
        for task in recorded.tasks.values()
        if task.files.keys() & {paths.RESULT, paths.FEATURES}
    ]
    return random.Random(seed).sample(candidates, min(count, len(candidates)))


def replay_promise(recorded: Recorded, key: Key, replay: Callable[[], Replayed]) -> Promise:
    """Return the promise that one task, trained again, gives the same bits.

    A task that needs what the store has lost is a violation too.

    Args:
        recorded: the experiment.
        key: the task.
        replay: trains it again.
    """
    try:
        answer = replay()
    except (Damaged, Missing, Invalid) as exc:
        answer = Replayed("differs", f"cannot be trained again: {exc}")
    experiment = recorded.registered.id
    sentence = f"{key}: {answer.why}"
    if answer.outcome == "same":
        return Promise(experiment, "replay", f"{key} is bit for bit the same")
    if answer.outcome == "not comparable":
        return Promise(experiment, "replay", sentence, skipped=True)
    return Promise(experiment, "replay", "", [redact(sentence)])


def entry(promise: Promise) -> dict[str, Any]:
    """Return a promise for programs."""
    return {
        "experiment": promise.experiment,
        "promise": promise.name,
        "ok": not promise.violations,
        "skipped": promise.skipped,
        "detail": promise.detail,
        "violations": promise.violations,
    }


def lines(promise: Promise) -> list[str]:
    """Return a kept promise as one line, a broken one as one line per violation."""
    if promise.violations:
        return [f"FAIL  {promise.name}: {sentence}" for sentence in promise.violations]
    return [f"{'skip' if promise.skipped else 'ok':6}{promise.name}: {promise.detail}"]
