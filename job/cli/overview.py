"""The commands that show how experiments are doing: status, list, dashboard."""

import json
from contextlib import suppress

import click

from job.cli.options import JSON, database_of, say, where
from job.errors import Interrupted


@click.command()
@click.option(
    "--watch",
    is_flag=True,
    help="show it again and again; exit with 0 when every task is decided",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="S",
    help="with --watch: seconds between two updates",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="print one JSON object, for programs; with --watch, one per line",
)
@where("database_url", "experiment", or_local=True)
def status(settings, watch, interval, as_json):
    """Show what is done, what runs where, what failed, and how long the rest will take.

    It only reads the database, at any time. On a terminal it draws tables and bars
    (NO_COLOR is respected); elsewhere it prints plain lines. There, --watch prints a block of
    lines whenever something has changed.

    Images per second are those that attempts saved in the last ten minutes. The time left is an
    estimate: tasks take as long as earlier ones of their stage and model, and as many run at a
    time as now.

    Example: job status --watch --experiment quick
    """
    from job.cli import status_watch
    from job.coordination.registered import find
    from job.coordination.status import collect

    database = database_of(settings)
    registered = find(database, settings.need("experiment"))
    if watch:
        status_watch.watch(database, registered, interval, settings.outage_s, as_json)
        return
    state = collect(database, registered)
    if as_json:
        say(json.dumps(state))
    else:
        status_watch.show(state)


@click.command("list")
@JSON
@where("database_url", or_local=True)
def list_(settings, as_json):
    """List the experiments of the database.

    Shows when each was created, how far it is, and which model leads: the one with the best mean
    fold score. It is the winner once no other model can overtake it. Before the first fold score,
    the best trial so far is shown.

    Example: job list
    """
    from job.cli.status_lines import table
    from job.coordination.status import experiments

    entries = experiments(database_of(settings))
    say(*([json.dumps(entries)] if as_json else table(entries)))


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    metavar="P",
    help="port to listen on; 0: any free one",
)
@where("database_url", or_local=True)
def dashboard(settings, port):
    """Serve Optuna's dashboard of the trials on this machine, read-only.

    Listens on 127.0.0.1 until Ctrl-C. It needs the package optuna-dashboard: run
    `pip install 'image-tuning-job[local]'`.

    Example: job dashboard --local out --port 8080
    """
    from job.cli.dashboard import serve

    database = database_of(settings)

    def announce(url: str) -> None:
        say(f"{url} shows the studies of {database.where}; Ctrl-C ends it")

    # A signal is the regular end.
    with suppress(Interrupted):
        serve(database, port, announce)


COMMANDS = (status, list_, dashboard)
