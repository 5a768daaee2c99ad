"""One invocation: find its task, claim it, do it, and leave it in the state its end deserves."""

import logging
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path

from job import logs
from job.coordination import tasks
from job.coordination.attempt import Attempt
from job.coordination.database import Database
from job.coordination.registered import Registered, Worker, find
from job.coordination.tasks import Tasks
from job.errors import (
    Impossible,
    Interrupted,
    Invalid,
    JobError,
    LeaseLost,
    Missing,
    NotReady,
    Unreachable,
    UsageError,
)
from job.experiment.task import Element, Key, beyond, resolve
from job.interrupt import INTERRUPT
from job.learning import custom_source
from job.patience import Patience
from job.sentences import lacks_memory, machine_error
from job.settings import Settings, redact

RELEASE_PATIENCE_S = 3.0

log = logging.getLogger(__name__)


def work(settings: Settings, stage: str, element: Element, model: str | None) -> None:
    """Do the task an index names; return when it is decided, now or before.

    A decided task returns without importing TensorFlow, Optuna or boto3.

    Args:
        settings: where database, store and cache are.
        stage: features, trial, fold or final.
        element: the index, and where it came from.
        model: the model; None: the index runs over all models in order.

    Raises:
        JobError: its class decides the exit code.
        MemoryError: no memory is left.
    """
    url = settings.need("database_url")
    patience = _patience(settings)
    database = Database(url, patience, INTERRUPT.sleep, auth=settings.database_auth)
    registered = wait_for_experiment(settings, database)
    key = resolve(registered.experiment, stage, element, model)
    if key is None:
        total = sum(registered.experiment.task_counts(stage).values())
        log.warning("%s; nothing to do", beyond(registered.experiment, stage, element, total))
        return
    logs.about(model=key.model, index=key.index)
    attempt = Tasks(database, registered, Worker(), settings.lease_s, settings.wait_s).claim(key)
    if attempt is None:
        return
    logs.about(attempt=attempt.number)
    log.info("element %d = %s, attempt %d", element.index, key, attempt.number)
    patience.begin_work()
    _do_and_note(settings, registered, attempt)


def _do_and_note(settings: Settings, registered: Registered, attempt: Attempt) -> None:
    """Do a claimed task; note what it warned of, however it ends."""

    def release() -> None:
        attempt.release("left by the watchdog", patience_s=0.0)

    with logs.collect_warnings() as warned:
        try:
            with INTERRUPT.last_words(release):
                _do(settings, registered, attempt)
        finally:
            _note(attempt, warned.sentences())


def _do(settings: Settings, registered: Registered, attempt: Attempt) -> None:
    """Do a claimed task, and end the attempt according to its outcome."""
    try:
        with attempt.renewing():
            _adopt_or_do(settings, registered, attempt)
        _touch(settings.progress_file)
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
                f"{attempt.key}: out of memory;"
                " give the task more, or search smaller batches and widths"
            ) from exc
        if known := machine_error(exc):  # another node may have it
            _release(attempt, known)
            raise known from exc
        attempt.error(redact("".join(traceback.format_exception_only(exc)).strip()))
        raise


def _patience(settings: Settings) -> Patience:
    """Return the patience with a server: before there is work to lose, no longer than `wait_s`."""
    return Patience(settings.outage_s, settings.wait_s)


def wait_for_experiment(
    settings: Settings, database: Database, wait_s: float | None = None
) -> Registered:
    """Return the experiment, as the database has it; wait for `job prepare`.

    It does not wait if the store refuses us: `job prepare` would be refused, too.

    Args:
        settings: they name the experiment and the store.
        database: where the experiment is registered.
        wait_s: seconds to wait; default: the setting.

    Raises:
        NotReady: it is not there after that time.
        Invalid: the store refuses us, or the tables have another version.
    """
    name = settings.need("experiment")
    with suppress(NotReady):  # raised below, if it is still so
        return find(database, name)
    from job.storage.store import open_store

    with suppress(Missing):
        store_url = settings.need("store_url")
        store = open_store(store_url, _patience(settings), INTERRUPT.sleep)
        store.get("asked-whether-we-may")
    wait_s = settings.wait_s if wait_s is None else wait_s
    return tasks.patiently(lambda: find(database, name), wait_s)


def _adopt_or_do(settings: Settings, registered: Registered, attempt: Attempt) -> None:
    """Commit what an earlier attempt completed, or do the work; before leaving early, save it."""
    from job.storage.cache import Cache
    from job.storage.store import open_store
    from job.work.context import Context
    from job.work.results import adopt

    # The database's patience has grown with the claim. This one grows with the first step: the
    # store cannot hold up any work before.
    patience = _patience(settings)
    store = open_store(settings.need("store_url"), patience, INTERRUPT.sleep)
    cache = Cache(store, settings.cache_dir, settings.cache_gb)
    progressed = partial(_touch, settings.progress_file)
    context = Context(
        attempt, registered, store, cache, settings.checkpoint_s, patience, progressed
    )
    if attempt.number > 1 and adopt(context):
        return
    if custom := registered.experiment.factories().get(attempt.key.model):
        custom_source.check(attempt.key.model, custom)
    with context.clock("import"):
        from job.work import stages  # imports TensorFlow
    INTERRUPT.check()
    try:
        stages.do(context)
    except (Interrupted, Unreachable):
        INTERRUPT.leave()
        try:
            context.checkpoints.save_last()
        except JobError as exc:
            log.warning("not saved; the next attempt resumes from an earlier checkpoint: %s", exc)
        raise


def _release(attempt: Attempt, why: JobError) -> None:
    """Give the task back; if the database is away, the lease ends by itself."""
    INTERRUPT.leave()
    try:
        attempt.release(redact(str(why)), patience_s=RELEASE_PATIENCE_S)
    except (JobError, OSError) as exc:
        log.warning("the lease was not released, it will expire: %s", exc)


def _note(attempt: Attempt, sentences: list[str]) -> None:
    """Save what this attempt warned of, for `job status` and the report.

    Without the database, only the log has it.
    """
    if not sentences:
        return
    INTERRUPT.leave()
    try:
        about = f"{attempt.key}, attempt {attempt.number}"
        attempt.note([f"{about}: {sentence}" for sentence in sentences], RELEASE_PATIENCE_S)
    except (JobError, OSError) as exc:
        log.warning("the warnings are only in this log: %s", exc)


def _touch(path: str | None) -> None:
    """Touch the progress file, if there is one; a missing folder does not end the work."""
    if not path:
        return
    try:
        Path(path).touch()
    except OSError as exc:
        log.warning("JOB_PROGRESS_FILE = %s: cannot be touched (%s)", path, exc.strerror)


def key_of(registered: Registered, stage: str, index: int, model: str | None) -> Key:
    """Return the task a person names. Raises: UsageError."""
    asked = Element(index, "--index")
    key = resolve(registered.experiment, stage, asked, model)
    if key is None:  # only an index from a scheduler may lie beyond its stage
        total = sum(registered.experiment.task_counts(stage).values())
        raise UsageError(beyond(registered.experiment, stage, asked, total, model))
    return key
