"""The commands that look after experiments: migrate, retry, verify, repair, gc, drop."""

import json
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import click

from job.cli.options import JSON, PLACES, database_of, say, store_of, where
from job.errors import JobError
from job.experiment.experiment import STAGES

if TYPE_CHECKING:
    from job.experiment.task import Key
    from job.verify.verify import Promise, Recorded


@click.command()
@click.argument("stage", type=click.Choice(STAGES))
@click.option(
    "--index",
    type=click.IntRange(0),
    required=True,
    metavar="I",
    help="which task, from 0",
)
@click.option(
    "--model",
    metavar="M",
    help="which model; without it, the index counts over all models in order",
)
@where("database_url", "experiment", or_local=True)
def retry(settings, stage, index, model):
    """Give a task that failed for good another chance.

    A task fails for good after three errors without progress, or after ten attempts that vanished
    without a message (out of memory, a lost node). `job status` names the task and the reason.
    Fix the cause, retry the task, and run its stage again.

    Trials cannot be retried once the parameters of their model are selected.

    Example: job retry trial --model cnn --index 3 --experiment quick
    """
    from job.coordination import tasks
    from job.coordination.registered import find
    from job.work.worker import key_of

    database = database_of(settings)
    registered = find(database, settings.need("experiment"))
    key = key_of(registered, stage, index, model)
    tasks.retry(database, registered, key)
    say(f"{key} waits for its next attempt")


@click.command()
@click.option(
    "--deep",
    is_flag=True,
    help="read every byte: check hashes and results, recompute scores from predictions,"
    " check this node's cache",
)
@click.option(
    "--replay",
    "replays",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="train N random decided tasks again and compare them bit for bit",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="S",
    help="seed with which --replay draws its tasks; default: random, and printed",
)
@JSON
@where(*PLACES, or_local=True)
def verify(settings, deep, replays, seed, as_json):
    """Check that database and store keep every promise.

    Prints `ok` or the violations of each promise, and exits with 1 unless all of them hold.
    Without the name of an experiment, it checks every experiment of the database. It works at any
    time, also while workers run.

    Example: job verify --deep --replay 2 --experiment quick
    """
    from job.storage.cache import Cache
    from job.verify import verify as promises_of

    def tell(*lines: str) -> None:
        if not as_json:
            say(*lines)

    database = database_of(settings)
    store = store_of(settings)
    cache = Cache(store, settings.cache_dir, settings.cache_gb) if deep else None
    experiments, promises = promises_of.read(database, settings.experiment, deep)
    for promise in promises:
        tell(promise.experiment, *promises_of.lines(promise))
    if not experiments and not promises:
        tell("there is no experiment in the database")
    for recorded in experiments:
        tell(recorded.registered.id)
        for promise in promises_of.check(recorded, store, database, deep, cache):
            promises.append(promise)
            tell(*promises_of.lines(promise))
    if replays:
        seed = secrets.randbelow(2**31) if seed is None else seed
        say(f"replay of {replays} decided tasks, drawn with --seed {seed}", err=as_json)
        drawn = promises_of.choose(experiments, replays, seed)
        promises += _replay(settings, database, store, drawn, tell)
    if as_json:
        say(json.dumps([promises_of.entry(promise) for promise in promises]))
    if violations := sum(len(promise.violations) for promise in promises):
        raise JobError(f"{violations} violation{'s' if violations > 1 else ''}")


def _replay(
    settings,
    database,
    store,
    drawn: "Iterable[tuple[Recorded, Key]]",
    tell: Callable[..., None],
) -> "list[Promise]":
    """Train the drawn tasks again and tell how each came out; return the outcomes."""
    from job.storage.cache import Cache
    from job.verify import verify as promises_of
    from job.work.replay import replay

    cache = Cache(store, settings.cache_dir, settings.cache_gb)
    promises = []
    for recorded, key in drawn:
        train = partial(replay, database, store, recorded.registered, cache, key)
        promise = promises_of.replay_promise(recorded, key, train)
        promises.append(promise)
        tell(*promises_of.lines(promise))
    return promises


@click.command()
@click.option(
    "--deep",
    is_flag=True,
    help="read every byte; this also finds damage that left size and ETag unchanged",
)
@click.option("--dry-run", is_flag=True, help="list the tasks, change nothing")
@where("database_url", "store_url", "experiment", or_local=True)
def repair(settings, deep, dry_run):
    """Let decided tasks be done again if their files are lost or damaged.

    `job verify` names these files. The tasks keep their parameters and what the pruner decided,
    even if their model is selected. Run their stages again, features first. `job prepare` stages
    lost data, weights and splits again.

    Without the name of an experiment, it repairs every experiment of the database.

    Example: job repair --dry-run --experiment quick
    """
    from job.verify import verify as promises_of
    from job.work import repair as damage

    database = database_of(settings)
    store = store_of(settings)
    count = 0
    experiments, unreadable = promises_of.read(database, settings.experiment)
    for promise in unreadable:
        say(promise.experiment, *promises_of.lines(promise))
    for recorded in experiments:
        experiment = recorded.registered.id
        for loss in damage.losses(recorded, store, deep):
            if dry_run or damage.repair_task(database, recorded, loss):
                say(f"{experiment}: {loss}")
                count += bool(loss.why)
        for key in damage.lost_data(recorded, store):
            say(
                f"{experiment}: {key} is missing or damaged:"
                " `job prepare` with its file stages it again"
            )
    say(f"{'would' if dry_run else 'will'} be done again: {count} tasks")


@click.command()
@click.option("--dry-run", is_flag=True, help="list the objects, remove nothing")
@where("database_url", "store_url", "experiment", or_local=True)
def gc(settings, dry_run):
    """Remove unreferenced objects that ended attempts left in the store.

    An object is removed once its attempt ended more than a lease (JOB_LEASE_S) ago, also while
    workers run.

    Without the name of an experiment, it cleans up every experiment of the database, and no others.

    Example: job gc --dry-run --experiment quick
    """
    from job.verify.garbage import garbage

    store = store_of(settings)
    objects = garbage(database_of(settings), store, settings.experiment, settings.lease_s)
    if dry_run:
        for item in objects:
            say(f"{item.size:>12}  {item.key}")
    else:
        store.delete([item.key for item in objects])
    size = sum(item.size for item in objects)
    say(f"{'to remove' if dry_run else 'removed'}: {len(objects)} objects, {size} bytes")


@click.command()
@click.argument("name")
@where("database_url", "store_url", or_local=True)
def drop(settings, name):
    """Remove an experiment for good: its artifacts, studies and rows. It does not ask.

    Staged data and weights stay, because other experiments may share them. Workers that still run
    end by themselves.

    Example: job drop quick
    """
    from job.work.prepare import drop as remove

    remove(database_of(settings), store_of(settings), name)
    say(f"{name} is removed")


@click.command()
@click.option("--dry-run", is_flag=True, help="print the SQL, change nothing")
@where("database_url", or_local=True)
def migrate(settings, dry_run):
    """Bring the tables of an older version of this program up to date.

    All of it is one transaction: it is done, or nothing is changed. `job prepare` does the same.
    Let workers end first: those of the older version refuse the new tables.

    Example: job migrate --dry-run
    """
    from job.coordination.schema import SCHEMA_VERSION

    database = database_of(settings)
    migrations = database.migrate(dry_run)
    for migration in migrations:
        if dry_run:
            say(f"-- {migration.name}.sql", *migration.sql.splitlines(), "")
        else:
            say(f"applied: {migration.name}")
    if dry_run and migrations:
        say(
            f"-- {len(migrations)} to apply, to schema version {SCHEMA_VERSION}; nothing is changed"
        )
    else:
        say(f"the tables in {database.where} have schema version {SCHEMA_VERSION}")


COMMANDS = (migrate, retry, verify, repair, gc, drop)
