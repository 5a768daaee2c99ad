"""The command line: arguments and environment into settings, errors into exit codes."""

import functools
import json
import logging
import os
import secrets
import time
from pathlib import Path

import click

from job import __version__, logs
from job.errors import EXIT_CODES, Interrupted, JobError, NotReady, Unreachable, UsageError
from job.experiment import STAGES, load
from job.index import element
from job.interrupt import INTERRUPT
from job.settings import S3_VARIABLES, SETTINGS, Settings, redact

log = logging.getLogger(__name__)
REPORT_POLL_S = 10.0  # of a report that waits for hours


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error of ours is one sentence."""
    try:
        logs.start()
        code = job.main(arguments, prog_name="job", standalone_mode=False)  # click returns the code of its own `Exit`
        return code if isinstance(code, int) else 0
    except click.UsageError as exc:
        return _say_why(exc.format_message(), 2, exc.show)
    except (click.Abort, KeyboardInterrupt):
        return Interrupted.exit_code
    except JobError as exc:
        return _say_why(str(exc), exc.exit_code)
    except Exception as exc:
        log.exception("this is a bug of ours; please report it with the lines below")
        logs.give_reason(redact(f"a bug of ours, please report it with its log: {exc!r}"))
        return 1


def _say_why(sentence: str, code: int, show=None) -> int:
    """Say why the command ends: to a person, in the log, and where JOB_REASON_FILE says; return the exit code."""
    sentence = redact(sentence)
    if os.environ.get("JOB_LOG") == "json":
        log.log(logging.WARNING if code in (Unreachable.exit_code, NotReady.exit_code) else logging.ERROR, "%s", sentence)
    elif show:
        show()
    else:
        click.echo(f"job: {sentence}", err=True)
    logs.give_reason(sentence)
    return code


def _tell(text: str) -> None:
    """Say what a command that a scheduler runs has done: to a person, or in the log."""
    if logs.as_json():
        log.info("%s", text)
    else:
        click.echo(text)


def where(*names: str):
    """Add the options that say where things are; the command gets them as `settings`."""

    def decorate(command):
        @functools.wraps(command)
        def with_settings(**arguments):
            flags = {name: arguments.pop(name) for name in names}
            settings = Settings.read(flags)
            INTERRUPT.grace_s = settings.grace_s
            return command(settings=settings, **arguments)

        for name in reversed(names):
            setting = SETTINGS[name]
            default = f"; default {setting.default}" if setting.default is not None else ""
            with_settings = click.option(
                f"--{name.replace('_', '-')}", name, metavar="", help=f"{setting.help} [{setting.variable}{default}]"
            )(with_settings)
        return with_settings

    return decorate


PLACES = ("database_url", "store_url", "experiment", "cache_dir")
EPILOG = (
    "Exit codes: "
    + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    + ". S3 by boto3's own variables: "
    + ", ".join(S3_VARIABLES)
    + "."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EPILOG)
@click.version_option(__version__)
def job():
    """Tune, cross-validate, train and honestly evaluate image classifiers: one task an invocation."""


@job.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@click.option(
    "--data", "location", envvar="JOB_DATA", metavar="", help="path or URL of the data, instead of what data.source says [JOB_DATA]"
)
@click.option("--weights", envvar="JOB_WEIGHTS", metavar="", help="folder with ImageNet weights, or its URL [JOB_WEIGHTS]")
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="KEY=VALUE",
    help="refuse the file unless `job plan` says so; KEY is experiment or a stage",
)
@click.option("--notice", hidden=True)
@where("database_url", "store_url", "cache_dir")
def prepare(settings, experiment_file, location, weights, expected, notice):
    """Stage data and weights, create tables, study and tasks. Idempotent.

    Example: job prepare examples/quick.toml --data cifar-10-python.tar.gz --weights weights/
    """
    experiment = load(experiment_file)
    logs.about(experiment=experiment.name)
    _check_plan(experiment, expected)
    database = _database(settings)
    store = _store(settings)
    from job.cache import Cache
    from job.prepare import prepare

    registered = prepare(
        database,
        experiment,
        Cache(store, settings.cache_dir, settings.cache_gb),
        location or None,
        weights or None,
        notice,
    )
    _tell(
        f"{registered.experiment.name} is prepared as {registered.id}: "
        + ", ".join(f"{sum(n.values())} {stage}" for stage, n in registered.experiment.plan().items())
    )


def _check_plan(experiment, expected: tuple[str, ...]) -> None:
    """Raise `UsageError` unless the plan is the one that manifests were written for: too few pods would be waited for in vain."""
    plan = {"experiment": experiment.name} | {stage: str(sum(n.values())) for stage, n in experiment.plan().items()}
    for text in expected:
        key, _, value = text.partition("=")
        if key not in plan:
            raise UsageError(f"--expect {text}: expected KEY=VALUE with KEY one of {', '.join(plan)}")
        if value != plan[key]:
            raise UsageError(
                f"--expect {text}: the file says {key} = {plan[key]} (`job plan`); set {key} to {plan[key]} where the flag comes from (k8s/base/settings.yaml), or change the file"
            )


def _stage_command(stage: str, what: str):
    @job.command(stage, help=f"{what}\n\nExample: job {stage} --experiment quick --model cnn --index 0")
    @click.option("--index", metavar="I", help="which task, from 0 [SLURM_ARRAY_TASK_ID + JOB_INDEX_OFFSET, or JOB_COMPLETION_INDEX]")
    @click.option("--model", metavar="M", help="which model; without it the index runs over all models in order")
    @click.option("--count", type=click.IntRange(1), metavar="K", help="do the K tasks from I*K on in turn, each its own process")
    @where(*PLACES)
    def command(settings, index, model, count):
        from job.turns import in_turn
        from job.worker import work

        logs.about(experiment=settings.experiment, stage=stage)
        asked = element(index)
        if count:
            _end(in_turn(stage, asked, count))
        else:
            work(settings, stage, asked, model)

    return command


for _stage, _what in {
    "features": "Run a frozen base once over one shard of the training part.",
    "trial": "One Optuna trial: parameters suggested, trained, compared on the validation part.",
    "fold": "One fold: train on the others with the selected parameters, score the one left out.",
    "final": "One final training on the whole training part; then the test part is opened, once.",
}.items():
    _stage_command(_stage, _what)


def _end(code: int) -> None:
    """End this command with an exit code."""
    if code:
        raise click.exceptions.Exit(code)


@job.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@click.option("--json", "as_json", is_flag=True, help="for programs")
def plan(experiment_file, as_json):
    """How many tasks each stage has; needs no database.

    Example: job plan examples/quick.toml --json
    """
    experiment = load(experiment_file)
    counts = experiment.plan()
    if as_json:
        click.echo(json.dumps({stage: {"tasks": sum(n.values()), "models": n} for stage, n in counts.items()}))
        return
    click.echo(f"experiment {experiment.name}")
    for stage, models in counts.items():
        click.echo(f"{stage:<10} {sum(models.values()):>6}  " + ", ".join(f"{m} {n}" for m, n in models.items()))


@job.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="where index.html, report.json and leaderboard.csv go",
)
@click.option("--wait", is_flag=True, help="not before every task is decided: wait JOB_WAIT_S for it, then exit 75")
@where("database_url", "store_url", "experiment")
def report(settings, out, wait):
    """Write the report of an experiment, also into the store.

    Example: job report --experiment quick --out out/report
    """
    from job import status
    from job.tasks import patiently
    from job.worker import found

    database, store = _database(settings), _store(settings)
    logs.about(experiment=settings.experiment, stage="report")
    wait_s = settings.wait_s if wait else 0.0
    deadline = time.monotonic() + wait_s
    registered = found(settings, database, wait_s)
    if wait:
        patiently(lambda: status.check_all_decided(database, registered), deadline - time.monotonic(), REPORT_POLL_S)
    from job.report import write

    write(database, store, registered, out)
    _tell(f"{out / 'index.html'}")


@job.command()
@click.option("--json", "as_json", is_flag=True, help="for programs")
@where("database_url", "experiment")
def status(settings, as_json):
    """What is done, what runs where.

    Example: job status --experiment quick
    """
    from job import status as view
    from job.tasks import find

    database = _database(settings)
    state = view.collect(database, find(database, settings.need("experiment")))
    click.echo(json.dumps(state) if as_json else view.text(state))


@job.command()
@click.argument("stage", type=click.Choice(STAGES))
@click.option("--index", type=click.IntRange(0), required=True, metavar="I")
@click.option("--model", metavar="M")
@where("database_url", "experiment")
def retry(settings, stage, index, model):
    """Give a task that failed for good another life.

    Example: job retry trial --model cnn --index 3 --experiment quick
    """
    from job import tasks
    from job.worker import key_of

    database = _database(settings)
    registered = tasks.find(database, settings.need("experiment"))
    key = key_of(registered, stage, index, model)
    tasks.retry(database, registered, key)
    click.echo(f"{key} waits for its next attempt")


@job.command()
@click.option("--deep", is_flag=True, help="read every byte: hashes, results, scores recomputed from predictions")
@click.option(
    "--replay", "replays", type=click.IntRange(0), default=0, metavar="N", help="train N random decided tasks again, compare bits"
)
@click.option("--seed", type=click.IntRange(0), metavar="S", help="which tasks --replay draws; default: random, and said")
@click.option("--json", "as_json", is_flag=True, help="for programs")
@where(*PLACES)
def verify(settings, deep, replays, seed, as_json):
    """Re-check every promise over database and store; exit 1 with a list unless all are kept.

    Without an experiment's name, every experiment in the database; at any time, also while workers run.

    Example: job verify --deep --replay 2 --experiment quick
    """
    from job import verify as view

    database, store, say = _database(settings), _store(settings), (lambda text: None if as_json else click.echo(text))
    experiments, promises = view.read(database, settings.experiment, deep)
    for promise in promises:
        say("\n".join([promise.experiment, *view.lines(promise)]))
    if not experiments and not promises:
        say("there is no experiment in the database")
    for recorded in experiments:
        say(recorded.registered.id)
        for promise in view.check(recorded, store, database, deep):
            promises.append(promise)
            say("\n".join(view.lines(promise)))
    if replays:
        seed = secrets.randbelow(2**31) if seed is None else seed
        click.echo(f"replay of {replays} decided tasks, drawn with --seed {seed}", err=as_json)
        promises += _replay(settings, database, store, view.choose(experiments, replays, seed), say)
    if as_json:
        click.echo(json.dumps([view.entry(promise) for promise in promises]))
    if violations := sum(len(promise.violations) for promise in promises):
        raise JobError(f"{violations} violation{'s' if violations > 1 else ''}")


def _replay(settings, database, store, chosen, say) -> list:
    """Train the chosen tasks again, one line each."""
    from job import verify as view
    from job.cache import Cache
    from job.replay import Skipped, replay

    cache, promises = Cache(store, settings.cache_dir, settings.cache_gb), []
    for recorded, key in chosen:
        promises.append(view.replayed(recorded, key, lambda r=recorded.registered, k=key: replay(database, store, r, cache, k), Skipped))
        say("\n".join(view.lines(promises[-1])))
    return promises


@job.command()
@click.option("--dry-run", is_flag=True, help="list them, remove nothing")
@where("database_url", "store_url", "experiment")
def gc(settings, dry_run):
    """Remove bytes of ended attempts that nothing refers to, a lease after they ended.

    Without an experiment's name, of every experiment in the database; of no other.

    Example: job gc --dry-run --experiment quick
    """
    from job.gc import garbage

    store = _store(settings)
    found = garbage(_database(settings), store, settings.experiment, settings.lease_s)
    if dry_run:
        for o in found:
            click.echo(f"{o.size:>12}  {o.key}")
    else:
        store.delete([o.key for o in found])
    click.echo(f"{'to remove' if dry_run else 'removed'}: {len(found)} objects, {sum(o.size for o in found)} bytes")


@job.command()
@click.argument("name")
@where("database_url", "store_url")
def drop(settings, name):
    """Remove an experiment: its artifacts, its study, its rows.

    Example: job drop quick
    """
    from job.prepare import drop

    drop(_database(settings), _store(settings), name)
    click.echo(f"{name} is removed")


@job.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@click.option(
    "--out",
    default="out",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="servers' data, logs and the report",
)
@click.option("--data", "location", metavar="", help="path or URL of the data [JOB_DATA]", envvar="JOB_DATA")
@click.option("--weights", metavar="", help="folder with ImageNet weights, or its URL [JOB_WEIGHTS]", envvar="JOB_WEIGHTS")
@click.option("--workers", type=click.IntRange(1), metavar="W", help="tasks at a time; default: as many as the cores carry")
def local(experiment_file, out, location, weights, workers):
    """Run all stages on this machine, with embedded servers; each task a real invocation.

    Example: job local examples/quick.toml --data cifar-10-python.tar.gz --workers 2
    """
    from job.local import run_local

    index = run_local(experiment_file, out, location or None, weights or None, workers)
    click.echo(f"report: {index}")


@job.command()
@click.option(
    "--folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="its data; on a shared disk, any node can go on",
)
@click.option(
    "--url-file", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="where its URL goes, with mode 0600"
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="H", help="the address of this machine to listen on and to be found by"
)
@where()
def serve(settings, folder, url_file, host):
    """Run a PostgreSQL for a site that has none, until a signal; typed again, it goes on with its data.

    Example: job serve --folder /shared/services --url-file /shared/services/database-url --host node17
    """
    from job.serve import serve

    serve(folder, url_file, host, settings.progress_file)


def _database(settings):
    from job.database import Database

    return Database(settings.need("database_url"), settings.outage_s, INTERRUPT.sleep)


def _store(settings):
    from job.store import open_store

    return open_store(settings.need("store_url"), settings.outage_s, INTERRUPT.sleep)
