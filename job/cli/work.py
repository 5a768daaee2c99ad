"""The commands that do an experiment: plan, prepare, the four stages, report."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import click

from job import logs
from job.cli.options import (
    DATA,
    JSON,
    PLACES,
    WEIGHTS,
    announce,
    database_of,
    end,
    options_given,
    say,
    store_of,
    where,
)
from job.errors import UsageError
from job.experiment.experiment import Experiment
from job.experiment.specification import load
from job.experiment.task import element
from job.text import json_line

# Between two looks of a report that may wait for hours.
REPORT_POLL_S = 10.0


@click.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@DATA
@WEIGHTS
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="KEY=VALUE",
    help="refuse the file unless `job plan` prints this value; KEY is `experiment` or a stage",
)
@click.option(
    "--describe",
    is_flag=True,
    help="only describe the data as `prepare` reads it; needs no database and no store",
)
@click.option("--json", "as_json", is_flag=True, help="with --describe: print JSON, for programs")
@click.option("--notice", hidden=True)
@where("database_url", "store_url", "cache_dir")
def prepare(settings, experiment_file, location, weights, expected, describe, as_json, notice):
    """Prepare an experiment: stage its data in the store, create its tasks in the database.

    This is the first command of every experiment. It also stages weights, fixes the splits and
    creates Optuna's studies. Workers read what they need from database and store, not from the
    file.

    It may run again, or several times at once. A second run only adds tasks when the file asks for
    more trials or seeds than before.

    Example: job prepare examples/quick.toml --data cifar-10-python.tar.gz --weights weights/

    Example: job prepare my.toml --describe
    """
    experiment = load(experiment_file)
    logs.about(experiment=experiment.name)
    _check_plan(experiment, expected)
    if describe:
        _describe(experiment, location or None, settings.cache_dir, as_json)
        return
    database = database_of(settings)
    store = store_of(settings)
    from job.storage.cache import Cache
    from job.work.prepare import prepare as register

    cache = Cache(store, settings.cache_dir, settings.cache_gb)
    registered = register(database, experiment, cache, location or None, weights or None, notice)
    counts = _totals(registered.experiment)
    announce(
        f"{registered.experiment.name} is prepared as {registered.id}: "
        + ", ".join(f"{count} {stage}" for stage, count in counts.items())
    )


def _totals(experiment: Experiment) -> dict[str, int]:
    """Return the number of tasks of each stage."""
    return {stage: sum(models.values()) for stage, models in experiment.plan().items()}


def _describe(experiment: Experiment, location: str | None, cache_dir: Path, as_json: bool) -> None:
    """Print what `prepare` would read."""
    from job.data.describe import describe, lines

    description = describe(experiment, location, cache_dir)
    say(*([json_line(description)] if as_json else lines(description)))


def _check_plan(experiment: Experiment, expected: Iterable[str]) -> None:
    """Check that the plan is the one that manifests were written for.

    With too few pods, later stages would wait in vain. Raises: UsageError.
    """
    plan = {"experiment": experiment.name}
    plan |= {stage: str(count) for stage, count in _totals(experiment).items()}
    for text in expected:
        key, _, value = text.partition("=")
        if key not in plan:
            raise UsageError(
                f"--expect {text}: expected KEY=VALUE with KEY one of {', '.join(plan)}"
            )
        if value != plan[key]:
            raise UsageError(
                f"--expect {text}: the file says {key} = {plan[key]} (`job plan`);"
                f" set {key} to {plan[key]} where the flag comes from"
                " (k8s/base/settings.yaml), or change the file"
            )


@click.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@JSON
def plan(experiment_file, as_json):
    """Print how many tasks each stage has; needs only the file.

    Use it to size Slurm arrays and Kubernetes Jobs before anything is prepared.

    Example: job plan examples/quick.toml --json
    """
    experiment = load(experiment_file)
    counts = experiment.plan()
    if as_json:
        entries = {
            stage: {"tasks": sum(models.values()), "models": models}
            for stage, models in counts.items()
        }
        say(json.dumps(entries))
        return
    say(f"experiment {experiment.name}")
    for stage, models in counts.items():
        by_model = ", ".join(f"{model} {count}" for model, count in models.items())
        say(f"{stage:<10} {sum(models.values()):>6}  {by_model}")


EVERY_TASK = """Each invocation does one task and exits: run it once per index (`job plan`), any
number at a time. For a decided task it exits with 0 at once. Exit code 75 means that it was
interrupted or that it is not its turn yet: run it again."""
STAGES = {
    "features": """Run a frozen base once over one shard of the training images.

This stage comes first, and only models with a frozen base have it.""",
    "trial": """Try one set of parameters: train with it, score it on the validation part.

A task is one Optuna trial. This stage comes after features.""",
    "fold": """Train on all folds but one, and score the one left out.

It uses the parameters of the best trial, so every trial of the model must be decided before.""",
    "final": """Train on the whole training part, then open the test part once.

It uses the parameters of the best trial, so every trial of the model must be decided before.""",
}


def _stage_command(stage: str, description: str) -> click.Command:
    """Return the command that does a task of a stage."""
    model = "mobilenetv2" if stage == "features" else "cnn"
    example = f"Example: job {stage} --experiment quick --model {model} --index 0"

    @click.command(stage, help=f"{description}\n\n{EVERY_TASK}\n\n{example}")
    @click.option(
        "--index",
        metavar="I",
        help="which task, from 0 [SLURM_ARRAY_TASK_ID + JOB_INDEX_OFFSET, or JOB_COMPLETION_INDEX]",
    )
    @click.option(
        "--model",
        metavar="M",
        help="which model; without it, the index counts over all models in order",
    )
    @click.option(
        "--count",
        type=click.IntRange(1),
        metavar="K",
        help="run K tasks one after another, from index I*K on, each in a process of its own",
    )
    @where(*PLACES)
    def command(settings, index, model, count):
        from job.work.series import run_in_turn
        from job.work.worker import work

        logs.about(experiment=settings.experiment, stage=stage)
        task = element(index)
        if count:
            options = options_given(click.get_current_context(), but=("index", "count"))
            end(run_in_turn(stage, task, count, options))
        else:
            work(settings, stage, task, model)

    return command


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder for index.html, report.json and leaderboard.csv",
)
@click.option(
    "--wait",
    is_flag=True,
    help="wait until every task is decided, for JOB_WAIT_S at most: then exit with 75",
)
@where("database_url", "store_url", "experiment", "cache_dir", or_local=True)
def report(settings, out, wait):
    """Write the report of an experiment: index.html, report.json, leaderboard.csv.

    It works at any time: the report names whatever is missing so far. A copy goes into the store.

    Example: job report --experiment quick --out out/report
    """
    from job.coordination import status
    from job.coordination.tasks import patiently
    from job.work.worker import wait_for_experiment as find

    database = database_of(settings)
    store = store_of(settings)
    logs.about(experiment=settings.experiment, stage="report")
    wait_s = settings.wait_s if wait else 0.0
    deadline = time.monotonic() + wait_s
    registered = find(settings, database, wait_s)

    def check_all_decided() -> None:
        status.check_all_decided(database, registered)

    if wait:
        patiently(check_all_decided, deadline - time.monotonic(), REPORT_POLL_S)
    from job.report.report import write
    from job.storage.cache_folder import CacheFolder

    write(database, store, registered, CacheFolder(settings.cache_dir), out)
    announce(f"{out / 'index.html'}")


COMMANDS: tuple[click.Command, ...] = (
    prepare,
    plan,
    *(_stage_command(stage, description) for stage, description in STAGES.items()),
    report,
)
