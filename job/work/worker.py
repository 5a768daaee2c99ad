"""One invocation: find its task, claim it, do it, and leave the task in the state its end deserves."""

import logging
import traceback
from contextlib import suppress
from pathlib import Path

from job import logs
from job.coordination import tasks
from job.coordination.database import Database
from job.coordination.tasks import Attempt, Registered, Tasks, Worker
from job.errors import (
    Impossible,
    Interrupted,
    Invalid,
    JobError,
    LeaseLost,
    Missing,
    NotReady,
    Unreachable,
)
from job.experiment.task import Element, Key, beyond, resolve
from job.interrupt import INTERRUPT
from job.learning import custom_source
from job.sentences import lacks_memory, outside
from job.settings import Settings, redact

RELEASE_PATIENCE_S = 3.0

log = logging.getLogger(__name__)


def work(settings: Settings, stage: str, element: Element, model: str | None) -> None:
    """Do the task an index names; return when it is decided, now or before.

    A decided task returns without importing TensorFlow, Optuna or boto3.
    Raises: what the exit codes say.
    """
    database = Database(
        settings.need("database_url"),
        patience_s(settings),
        INTERRUPT.sleep,
        auth=settings.database_auth,
    )
    registered = found(settings, database)
    key = resolve(registered.experiment, stage, element, model)
    if key is None:
        counts = registered.experiment.tasks_of(stage)
        log.warning(
            "%s; nothing to do", beyond(registered.experiment, stage, element, sum(counts.values()))
        )
        return
    logs.about(model=key.model, index=key.index)
    attempt = Tasks(database, registered, Worker(), settings.lease_s, settings.wait_s).claim(key)
    if attempt is None:
        return
    logs.about(attempt=attempt.number)
    log.info("element %d = %s, attempt %d", element.index, key, attempt.number)
    database.outage_s = settings.outage_s
    INTERRUPT.last_words = lambda: attempt.release("left by the watchdog", patience_s=0.0)
    if settings.progress_file:
        attempt.progressed = lambda: _touch(settings.progress_file)
    with logs.warned() as warned:
        try:
            _do(settings, registered, attempt)
        finally:
            INTERRUPT.last_words = None
            _note(attempt, warned.sentences())


def _do(settings: Settings, registered: Registered, attempt: Attempt) -> None:
    """Do a claimed task, and end the attempt as what comes of it deserves."""
    try:
        with attempt.keep():
            _run(settings, registered, attempt)
        attempt.progressed()
    except LeaseLost:
        raise
    except (Interrupted, Unreachable, NotReady, Impossible, Invalid) as exc:
        _release(attempt, exc)
        raise
    except JobError as exc:
        attempt.error(redact(str(exc)))
        raise
    except Exception as exc:
        if lacks_memory(exc):
            attempt.error("out of memory")
            raise JobError(
                f"{attempt.key}: out of memory; give the task more, or search smaller batches and widths"
            ) from exc
        if known := outside(exc):  # another node may have it
            _release(attempt, known)
            raise known from exc
        attempt.error(redact("".join(traceback.format_exception_only(exc)).strip()))
        raise


def patience_s(settings: Settings) -> float:
    """Return how long to wait for a server while there is nothing to lose yet, but a device held: not as long as once work is done."""
    return min(settings.wait_s, settings.outage_s)


def found(settings: Settings, database: Database, wait_s: float | None = None) -> Registered:
    """Return the experiment; wait `wait_s` (default: the setting) for `prepare`, but not if the store refuses us: so it did `prepare`.

    Raises: NotReady after that; Invalid for a store that will not have us.
    """
    name = settings.need("experiment")
    with suppress(NotReady):  # said below, if it is still so
        return tasks.find(database, name)
    from job.storage.store import open_store

    with suppress(Missing):
        open_store(settings.need("store_url"), patience_s(settings), INTERRUPT.sleep).get(
            "asked-whether-we-may"
        )
    return tasks.patiently(
        lambda: tasks.find(database, name), settings.wait_s if wait_s is None else wait_s
    )


def _run(settings: Settings, registered: Registered, attempt: Attempt) -> None:
    """Commit what an earlier attempt completed, or do the work; before leaving early, save it."""
    from job.storage.cache import Cache
    from job.storage.store import open_store
    from job.work.context import Run
    from job.work.results import adopt

    store = open_store(settings.need("store_url"), patience_s(settings), INTERRUPT.sleep)
    cache = Cache(store, settings.cache_dir, settings.cache_gb)
    run = Run(
        attempt,
        registered,
        store,
        cache,
        settings.checkpoint_s,
        lambda: setattr(store, "outage_s", settings.outage_s),
    )
    if attempt.number > 1 and adopt(run):
        return
    if own := registered.experiment.factories().get(attempt.key.model):
        custom_source.check(attempt.key.model, own)
    with run.clock("import"):
        from job.work import stages  # TensorFlow comes with it
    INTERRUPT.check()
    try:
        stages.run(run)
    except (Interrupted, Unreachable):
        INTERRUPT.leave()
        try:
            run.checkpoints.save_last()
        except JobError as exc:
            log.warning("not saved, the next attempt goes on from the checkpoint before: %s", exc)
        raise


def _release(attempt: Attempt, why: JobError) -> None:
    """Give the task back; if the database is away, the lease ends by itself."""
    INTERRUPT.leave()
    try:
        attempt.release(redact(str(why)), patience_s=RELEASE_PATIENCE_S)
    except (JobError, OSError) as exc:
        log.warning("the lease was not released, it will expire: %s", exc)


def _note(attempt: Attempt, sentences: list[str]) -> None:
    """Keep what this attempt warned of where `job status` and the report show it; without the database the log alone has it."""
    if not sentences:
        return
    INTERRUPT.leave()
    try:
        attempt.note(
            [f"{attempt.key}, attempt {attempt.number}: {sentence}" for sentence in sentences],
            RELEASE_PATIENCE_S,
        )
    except (JobError, OSError) as exc:
        log.warning("what was warned of stands in this log alone: %s", exc)


def _touch(path: str) -> None:
    """Touch the progress file; a folder that is not there must not end the work."""
    try:
        Path(path).touch()
    except OSError as exc:
        log.warning("JOB_PROGRESS_FILE = %s: cannot be touched (%s)", path, exc.strerror)


def key_of(registered: Registered, stage: str, index: int, model: str | None) -> Key:
    """Return the task a person names. Raises: UsageError."""
    return resolve(registered.experiment, stage, Element(index, "--index"), model)
