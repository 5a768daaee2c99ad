"""The commands that look after experiments: status, list, dashboard, retry, verify, repair, gc, drop."""

import json
import secrets
from contextlib import suppress

import click

from job.cli.options import PLACES, database_of, say, store_of, where
from job.errors import Interrupted, JobError
from job.experiment.experiment import STAGES


@click.command()
@click.option(
    "--watch", is_flag=True, help="show it again and again, until everything is decided: exit 0"
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="S",
    help="seconds between two looks of --watch",
)
@click.option(
    "--json", "as_json", is_flag=True, help="one object for programs; with --watch, one a line"
)
@where("database_url", "experiment", local=True)
def status(settings, watch, interval, as_json):
    """Show what is done, what runs where, what failed, how long it will take.

    From the database only, at any time. On a terminal a picture with bars (NO_COLOR is respected), elsewhere plain lines; with --watch
    there, a block of them when something has changed. Images a second are those that attempts of the last ten minutes saved. The time left is an
    estimate: tasks take what those of their stage and model took before, as many at a time as now.

    Example: job status --watch --experiment quick
    """
    from job.cli.status_watch import show
    from job.cli.status_watch import watch as keep_showing
    from job.coordination import status as view
    from job.coordination.tasks import find

    database = database_of(settings)
    registered = find(database, settings.need("experiment"))
    if watch:
        keep_showing(database, registered, interval, settings.outage_s, as_json)
        return
    state = view.collect(database, registered)
    if as_json:
        say(json.dumps(state))
    else:
        show(state)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="a list of objects for programs")
@where("database_url", local=True)
def list_(settings, as_json):
    """List the experiments of the database.

    When each was created, how far it is, which model leads. The winner is the model with the best mean fold score, once no other can overtake it; before, the best trial so far stands there.

    Example: job list
    """
    from job.cli.status_lines import table
    from job.coordination import status as view

    found = view.experiments(database_of(settings))
    say(*([json.dumps(found)] if as_json else table(found)))


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    metavar="P",
    help="0: any that is free",
)
@where("database_url", local=True)
def dashboard(settings, port):
    """Serve Optuna's dashboard of the trials on this machine, to look at.

    At 127.0.0.1 until Ctrl-C; it can change nothing. Needs the package optuna-dashboard (`pip install 'image-tuning-job[local]'`).

    Example: job dashboard --local out --port 8080
    """
    from job.cli.dashboard import serve

    database = database_of(settings)
    with suppress(Interrupted):  # a signal is how it ends
        serve(
            database,
            port,
            lambda address: say(f"{address} shows the studies of {database.where}; Ctrl-C ends it"),
        )


@click.command()
@click.argument("stage", type=click.Choice(STAGES))
@click.option(
    "--index", type=click.IntRange(0), required=True, metavar="I", help="which task, from 0"
)
@click.option(
    "--model", metavar="M", help="which model; without it the index runs over all models in order"
)
@where("database_url", "experiment", local=True)
def retry(settings, stage, index, model):
    """Give a task that failed for good another life.

    After three errors without progress a task is not run again, nor after ten ends without a word (out of memory, a node taken away);
    `job status` names it, and why. Mend that, retry it, run its stage again. Trials are closed once a model's parameters are selected.

    Example: job retry trial --model cnn --index 3 --experiment quick
    """
    from job.coordination import tasks
    from job.work.worker import key_of

    database = database_of(settings)
    registered = tasks.find(database, settings.need("experiment"))
    key = key_of(registered, stage, index, model)
    tasks.retry(database, registered, key)
    say(f"{key} waits for its next attempt")


@click.command()
@click.option(
    "--deep",
    is_flag=True,
    help="read every byte: hashes, results, scores recomputed from predictions, this node's cache",
)
@click.option(
    "--replay",
    "replays",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="train N random decided tasks again, compare bits",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="S",
    help="which tasks --replay draws; default: random, and said",
)
@click.option("--json", "as_json", is_flag=True, help="for programs")
@where(*PLACES, local=True)
def verify(settings, deep, replays, seed, as_json):
    """Check every promise again, over database and store.

    Prints `ok` or what breaks it for each, and exits 1 unless all are kept. Without an experiment's name, of every experiment in the
    database; at any time, also while workers run.

    Example: job verify --deep --replay 2 --experiment quick
    """
    from job.storage.cache import Cache
    from job.verify import verify as view

    database, store, tell = (
        database_of(settings),
        store_of(settings),
        (lambda *lines: None if as_json else say(*lines)),
    )
    cache = Cache(store, settings.cache_dir, settings.cache_gb) if deep else None
    experiments, promises = view.read(database, settings.experiment, deep)
    for promise in promises:
        tell(promise.experiment, *view.lines(promise))
    if not experiments and not promises:
        tell("there is no experiment in the database")
    for recorded in experiments:
        tell(recorded.registered.id)
        for promise in view.check(recorded, store, database, deep, cache):
            promises.append(promise)
            tell(*view.lines(promise))
    if replays:
        seed = secrets.randbelow(2**31) if seed is None else seed
        say(f"replay of {replays} decided tasks, drawn with --seed {seed}", err=as_json)
        promises += _replay(
            settings, database, store, view.choose(experiments, replays, seed), tell
        )
    if as_json:
        say(json.dumps([view.entry(promise) for promise in promises]))
    if violations := sum(len(promise.violations) for promise in promises):
        raise JobError(f"{violations} violation{'s' if violations > 1 else ''}")


def _replay(settings, database, store, chosen, tell) -> list:
    """Train the chosen tasks again, one line each."""
    from job.storage.cache import Cache
    from job.verify import verify as view
    from job.work.replay import Skipped, replay

    cache, promises = Cache(store, settings.cache_dir, settings.cache_gb), []
    for recorded, key in chosen:
        promises.append(
            view.replayed(
                recorded,
                key,
                lambda r=recorded.registered, k=key: replay(database, store, r, cache, k),
                Skipped,
            )
        )
        tell(*view.lines(promises[-1]))
    return promises


@click.command()
@click.option(
    "--deep",
    is_flag=True,
    help="read every byte: damage that leaves size and etag as they were is found, too",
)
@click.option("--dry-run", is_flag=True, help="list them, change nothing")
@where("database_url", "store_url", "experiment", local=True)
def repair(settings, deep, dry_run):
    """Let decided tasks wait again whose files the store has lost.

    Missing or damaged ones, as `job verify` names them. They keep their parameters and what the pruner decided, also when their model is selected: run their
    stages again, features first. Data, weights and splits are staged again by `job prepare`. Without an experiment's name, of every
    experiment in the database.

    Example: job repair --dry-run --experiment quick
    """
    from job.verify import verify
    from job.work import repair as view

    database, store, count = database_of(settings), store_of(settings), 0
    experiments, unreadable = verify.read(database, settings.experiment)
    for promise in unreadable:
        say(promise.experiment, *verify.lines(promise))
    for recorded in experiments:
        for loss in view.losses(recorded, store, deep):
            if dry_run or view.again(database, recorded, loss):
                say(f"{recorded.registered.id}: {loss}")
                count += bool(loss.why)
        for key in view.lost_data(recorded, store):
            say(
                f"{recorded.registered.id}: {key} is missing or damaged: `job prepare` with its file stages it again"
            )
    say(f"{'to do again' if dry_run else 'to be done again'}: {count} tasks")


@click.command()
@click.option("--dry-run", is_flag=True, help="list them, remove nothing")
@where("database_url", "store_url", "experiment", local=True)
def gc(settings, dry_run):
    """Remove from the store what ended attempts left and nothing refers to.

    A lease (JOB_LEASE_S) after they ended, also while workers run. Without an experiment's name, of every experiment in the database;
    of no other.

    Example: job gc --dry-run --experiment quick
    """
    from job.verify.garbage import garbage

    store = store_of(settings)
    found = garbage(database_of(settings), store, settings.experiment, settings.lease_s)
    if dry_run:
        for o in found:
            say(f"{o.size:>12}  {o.key}")
    else:
        store.delete([o.key for o in found])
    say(
        f"{'to remove' if dry_run else 'removed'}: {len(found)} objects, {sum(o.size for o in found)} bytes"
    )


@click.command()
@click.argument("name")
@where("database_url", "store_url", local=True)
def drop(settings, name):
    """Remove an experiment for good: its artifacts, its studies, its rows. It does not ask.

    Staged data and weights stay, others may share them. Its workers, if any still run, leave by themselves.

    Example: job drop quick
    """
    from job.work.prepare import drop

    drop(database_of(settings), store_of(settings), name)
    say(f"{name} is removed")


COMMANDS = (status, list_, dashboard, retry, verify, repair, gc, drop)
