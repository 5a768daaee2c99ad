"""A whole experiment on this machine: embedded servers, then every stage, then the report."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from job.errors import Interrupted, Invalid, JobError, NotReady
from job.experiment import serialize
from job.experiment.experiment import Experiment
from job.experiment.specification import load
from job.interrupt import INTERRUPT
from job.local import embedded
from job.local.crew import POLL_S, STOP_S, Crew, end_workers, spawn
from job.local.fallback import Feasible, fit_to_machine
from job.local.folder import hold
from job.local.progress import Output
from job.local.server import write_private
from job.text import printable

# Nobody else works here: the task of a killed worker is free soon.
LEASE_S = 30.0
# Prefixes of variables that lead a shell's other work to its servers.
OTHER_SERVERS = ("AWS_", "PG")

log = logging.getLogger(__name__)


def run_local(
    experiment_file: str,
    out: Path,
    location: str | None,
    weights_place: str | None,
    workers: int | None,
) -> Path:
    """Run an experiment to its report; run again, it resumes where it stopped.

    Args:
        experiment_file: The experiment's TOML file.
        out: Folder for servers, logs and the report.
        location: Path or URL of the data; default: what the file says.
        weights_place: Folder or URL of ImageNet weights; default: a download.
        workers: Tasks at a time, from 1; default: cores divided by the threads of a task.

    Returns: The report's page.

    Raises:
        NotReady: Another run uses `out`.
        Interrupted: A signal came.
        Invalid: The file, the data, the weights or `out` cannot be used.
        JobError: A task failed for good.
    """
    # The workers first, then the servers.
    INTERRUPT.grace_s = STOP_S * 2
    wanted = load(experiment_file)
    out = out.absolute()
    report = out / "report"
    with hold(out), ExitStack() as stack:
        _end_leftovers(out)
        feasible = fit_to_machine(wanted, location, weights_place, out / "cache")
        for notice in feasible.notices:
            click.secho(f"!!! {printable(notice)}", fg="yellow", bold=True, err=True)
        experiment = feasible.experiment
        file = _write_experiment(out, experiment)
        postgres = stack.enter_context(embedded.Postgres(out / "servers"))
        s3 = stack.enter_context(embedded.S3(out / "servers"))
        environ = _environment(out, experiment, postgres, s3)
        _prepare(out, file, feasible, environ | _places(experiment, location, weights_place))
        failed = Crew(experiment, out, environ, workers or _fitting_workers(experiment)).run()
        _run_command(["report", "--out", str(report)], environ, out / "logs" / "report.log")
    if failed:
        raise JobError(
            f"{len(failed)} tasks failed for good: {', '.join(map(str, failed))};"
            f" the report {report / 'index.html'} is partial, their logs are in {out / 'logs'}"
        )
    return report / "index.html"


def _end_leftovers(out: Path) -> None:
    """End the servers and workers of an earlier, killed run."""
    for ended in embedded.clean_up(out / "servers") + end_workers(out):
        log.warning("ended what an earlier, killed run left behind: %s", ended)


def _write_experiment(out: Path, experiment: Experiment) -> Path:
    """Write the experiment's file, private because a URL in it may hold a secret."""
    file = out / "experiment.toml"
    write_private(file, serialize.toml(experiment.spec, experiment.says_method))
    return file


def _prepare(out: Path, file: Path, feasible: Feasible, environ: dict[str, str]) -> None:
    """Run `job prepare`."""
    click.echo("preparing: data, weights, splits", err=True)
    notices = ["--notice", " ".join(feasible.notices)] if feasible.notices else []
    _run_command(["prepare", str(file), *notices], environ, out / "logs" / "prepare.log")


def _places(
    experiment: Experiment, location: str | None, weights_place: str | None
) -> dict[str, str]:
    """Return the variables that name data and weights.

    A URL may hold a secret, and every user of this machine sees a command line.
    """
    places = {}
    if location and experiment.data.source != "digits":
        places["JOB_DATA"] = location
    if weights_place:
        places["JOB_WEIGHTS"] = weights_place
    return places


def _fitting_workers(experiment: Experiment) -> int:
    """Return how many workers the cores allow, from 1."""
    return max(1, (os.cpu_count() or 1) // experiment.threads)


@contextmanager
def reopen(out: Path, with_store: bool) -> Iterator[dict[str, Any]]:
    """Yield the settings that lead to the output of `job local` in a folder.

    Its servers are used where they run, else started until the block ends. The keys to the store go
    into this process' environment, where boto3 looks for them, instead of a shell's variables for
    other servers.

    Args:
        out: The output folder.
        with_store: Whether the store is needed, too.

    Raises: Invalid when there is nothing in the folder.
    """
    out = out.absolute()
    for name in [name for name in os.environ if name.startswith(OTHER_SERVERS)]:
        del os.environ[name]
    with ExitStack() as stack:
        postgres = stack.enter_context(embedded.attach(embedded.Postgres(out / "servers")))
        places: dict[str, Any] = {"database_url": postgres.url}
        if with_store:
            s3 = stack.enter_context(embedded.attach(embedded.S3(out / "servers")))
            os.environ.update(s3.variables)
            places |= {"store_url": _store_url(s3), "cache_dir": out / "cache"}
        yield places | {"experiment": load(out / "experiment.toml").name, "lease_s": LEASE_S}


def _environment(
    out: Path, experiment: Experiment, postgres: embedded.Postgres, s3: embedded.S3
) -> dict[str, str]:
    """Return the environment of the workers; the database's password is in a file."""
    url_file = out / "servers" / "database_url"
    write_private(url_file, postgres.url)
    foreign = ("JOB_", "SLURM_", *OTHER_SERVERS)
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(foreign)}
    places = {
        "JOB_DATABASE_URL_FILE": str(url_file),
        "JOB_STORE_URL": _store_url(s3),
        "JOB_EXPERIMENT": experiment.name,
        "JOB_CACHE_DIR": str(out / "cache"),
        "JOB_LEASE_S": str(LEASE_S),
    }
    return inherited | s3.variables | places


def _store_url(s3: embedded.S3) -> str:
    return f"s3://{s3.bucket}/local"


def _run_command(arguments: list[str], environ: dict[str, str], log_file: Path) -> None:
    """Run one `job` command to its end, and show its warnings.

    Raises: What its exit code means, with its last line; Interrupted at a signal.
    """
    output = Output(log_file)
    process = spawn(arguments, environ, output)
    try:
        while process.poll() is None:
            INTERRUPT.sleep(POLL_S)
    except Interrupted:
        process.terminate()
        process.wait()
        raise
    for warning in output.warnings():
        click.secho(f"{arguments[0]}: {printable(warning)}", fg="yellow", err=True)
    code = process.returncode
    if code:
        line = output.last_line().removeprefix("job: ")
        raise _error_of(code)(
            f"`job {arguments[0]}` ended with exit code {code}: {line} (log: {log_file})"
        )


def _error_of(code: int) -> type[JobError]:
    """Return the error for an exit code of a command: what waiting cannot fix, or what it can."""
    for kind in (Invalid, NotReady):
        if code == kind.exit_code:
            return kind
    return JobError
