"""All stages on this machine: embedded servers, W worker processes, each a real `job` invocation."""

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import click

from job.child import command
from job.errors import Interrupted, Invalid, JobError, NotReady
from job.experiment import serialize
from job.experiment.experiment import Experiment
from job.experiment.specification import load
from job.experiment.task import Key
from job.files import own_folder, write_whole
from job.interrupt import INTERRUPT
from job.local import embedded
from job.local.fallback import possible
from job.local.progress import Output, Progress
from job.local.server import born, end_process
from job.text import printable

LEASE_S = 30.0  # nobody else works here: a killed worker's task is free soon
STOP_S = 30.0  # for workers to save after a signal
MAX_RUNS = 20  # of one task in one `job local`
POLL_S = 0.1
OTHER_SERVERS = ("AWS_", "PG")  # how variables begin that lead a shell's own work to its servers
MARK = ".job-local"  # stands in an OUT that is `job local`'s alone: `make clean` removes no other
MARKED = "This folder is the output of `job local`: `make clean` with this OUT removes it, whatever is in it.\n"
BEFORE_MARKS = {
    ".lock",
    "logs",
    "workers",
    "servers",
    "cache",
    "experiment.toml",
    "report",
}  # an OUT of earlier versions
ORDER = (
    ("features",),
    ("trial",),
    ("final", "fold"),
)  # of one model the final first: it is the longest, and must not be the last to start

log = logging.getLogger(__name__)


@dataclass
class Child:
    """A worker process and the task it works on."""

    key: Key
    process: subprocess.Popen
    pid_file: Path
    output: Output


def run_local(
    experiment_file: str,
    out: Path,
    location: str | None,
    weights_place: str | None,
    workers: int | None,
) -> Path:
    """Run an experiment to its report; return the page. Typed again, it goes on where it was.

    Raises: NotReady when another run uses `out`; Interrupted; Invalid; JobError when a task failed for good.
    """
    INTERRUPT.grace_s = STOP_S * 2  # the workers first, then the servers
    wanted = load(experiment_file)
    out = out.absolute()
    with _owned(out), contextlib.ExitStack() as stack:
        for ended in embedded.clean_up(out / "servers") + _end_workers(out):
            log.warning("ended what an earlier, killed run had left: %s", ended)
        can = possible(wanted, location, weights_place, out / "cache")
        for notice in can.notices:
            click.secho(f"!!! {printable(notice)}", fg="yellow", bold=True, err=True)
        experiment = can.experiment
        file = _written(
            out / "experiment.toml", serialize.toml(experiment.spec, experiment.says_method)
        )
        postgres = stack.enter_context(embedded.Postgres(out / "servers"))
        s3 = stack.enter_context(embedded.S3(out / "servers"))
        environ = _environment(out, experiment, postgres, s3)
        click.echo("preparing: data, weights, splits", err=True)
        # By the environment: a URL may hold a secret, and every user of this machine sees a command line.
        given = {"JOB_DATA": location} if location and experiment.data["source"] != "digits" else {}
        given |= {"JOB_WEIGHTS": weights_place} if weights_place else {}
        _command(
            ["prepare", str(file), *(["--notice", " ".join(can.notices)] if can.notices else [])],
            environ | given,
            out / "logs" / "prepare.log",
        )
        failed = _Crew(
            experiment, out, environ, workers or max(1, (os.cpu_count() or 1) // experiment.threads)
        ).run()
        _command(["report", "--out", str(out / "report")], environ, out / "logs" / "report.log")
    if failed:
        raise JobError(
            f"{len(failed)} tasks failed for good: {', '.join(map(str, failed))}; the report {out / 'report' / 'index.html'} is partial, their logs are in {out / 'logs'}"
        )
    return out / "report" / "index.html"


class _Crew:
    """W workers and the tasks that are left for them."""

    def __init__(self, experiment: Experiment, out: Path, environ: dict, workers: int):
        self.experiment, self.out, self.environ, self.workers = experiment, out, environ, workers
        plan = experiment.plan()
        self.left = [
            Key(m, s, i)
            for stages in ORDER
            for m in experiment.models
            for s in stages
            for i in range(plan[s].get(m, 0))
        ]
        self.children: list[Child] = []
        self.runs: Counter[Key] = Counter()
        self.failed: list[Key] = []

    def run(self) -> list[Key]:
        """Run every task to its decision; return those that failed for good."""
        with Progress(self.left) as progress:
            try:
                while self.left or self.children:
                    self._start()
                    INTERRUPT.sleep(POLL_S)
                    for child in [c for c in self.children if c.process.poll() is not None]:
                        self._ended(child, progress)
            except BaseException:
                self._stop(progress)
                raise
        return self.failed

    def _start(self) -> None:
        for key in [k for k in self.left if self._ready(k)][: self.workers - len(self.children)]:
            self.left.remove(key)
            self.runs[key] += 1
            environ = self.environ | {"JOB_SCHEDULER_JOB": f"local {key}"}
            output = Output(self.out / "logs" / f"{key.stage}-{key.model}-{key.index}.log")
            process = _spawn(
                [key.stage, "--model", key.model, "--index", str(key.index)], environ, output
            )
            pid_file = _written(self.out / "workers" / str(process.pid), born(process.pid) or "")
            self.children.append(Child(key, process, pid_file, output))

    def _ready(self, key: Key) -> bool:
        """Tell whether what a task needs is not still to be done here."""
        before = {
            "trial": ("features",),
            "fold": ("features", "trial"),
            "final": ("features", "trial"),
        }.get(key.stage, ())
        return not any(
            k.model == key.model and k.stage in before
            for k in [*self.left, *(c.key for c in self.children)]
        )

    def _ended(self, child: Child, progress: Progress) -> None:
        self.children.remove(child)
        child.pid_file.unlink(missing_ok=True)
        code, key = child.process.returncode, child.key
        for warning in child.output.warnings():
            progress.say(f"{key}: {warning}")
        if code == 0:
            progress.done(key)
        elif code == 70:
            self.failed.append(key)
            progress.done(key, "FAILED for good")
        elif code in (2, 78) or self.runs[key] >= MAX_RUNS:
            raise JobError(
                f"{key} ended with exit code {code}: {child.output.last_line()} (log: {child.output.path})"
            )
        else:
            progress.say(f"{key}: exit code {code}, runs again")
            self.left.insert(0, key)

    def _stop(self, progress: Progress) -> None:
        """Ask the workers to save, wait for them, end those that do not leave."""
        progress.say(f"stopping {len(self.children)} workers; they save first")
        for child in self.children:
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in self.children:
            try:
                child.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.pid_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _owned(out: Path):
    """Hold the lock of an output folder, which only this user may write: it holds a database, keys and models.

    Raises: NotReady when another run has it, Invalid for an unusable folder.
    """
    try:
        own_folder(out, "OUT")
        found = set(os.listdir(out))
        if not found or (".lock" in found and found <= BEFORE_MARKS):
            (out / MARK).write_text(MARKED)
        for name in ("logs", "workers", "servers"):
            (out / name).mkdir(parents=True, exist_ok=True)
        lock = open(out / ".lock", "a+")
    except OSError as exc:
        raise Invalid(
            f"OUT = {out}: cannot be used ({exc.strerror}); give a folder this user may write"
        ) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise NotReady(
                f"OUT = {out}: another run is using it; wait for it, or give another OUT"
            ) from exc
        yield


@contextlib.contextmanager
def reopened(out: Path, with_store: bool):
    """Yield the settings that lead to what `job local` has in a folder, and the name of its experiment.

    By its running servers, else by servers started until the block ends. The keys to the store go into this process' own environment,
    where boto3 looks for them, in place of a shell's variables for other servers. Raises: Invalid when there is nothing.
    """
    out = out.absolute()
    for name in [n for n in os.environ if n.startswith(OTHER_SERVERS)]:
        del os.environ[name]
    with contextlib.ExitStack() as stack:
        found = {
            "database_url": stack.enter_context(
                embedded.at_hand(embedded.Postgres(out / "servers"))
            ).url
        }
        if with_store:
            s3 = stack.enter_context(embedded.at_hand(embedded.S3(out / "servers")))
            os.environ.update(s3.variables)
            found |= {"store_url": _store_url(s3), "cache_dir": out / "cache"}
        yield found | {"experiment": load(out / "experiment.toml").name, "lease_s": LEASE_S}


def _environment(
    out: Path, experiment: Experiment, postgres: embedded.Postgres, s3: embedded.S3
) -> dict:
    """Return the workers' environment; the database's password by file."""
    url = _written(out / "servers" / "database_url", postgres.url)
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "SLURM_", *OTHER_SERVERS))
    }
    return (
        inherited
        | s3.variables
        | {
            "JOB_DATABASE_URL_FILE": str(url),
            "JOB_STORE_URL": _store_url(s3),
            "JOB_EXPERIMENT": experiment.name,
            "JOB_CACHE_DIR": str(out / "cache"),
            "JOB_LEASE_S": str(LEASE_S),
        }
    )


def _store_url(s3: embedded.S3) -> str:
    return f"s3://{s3.bucket}/local"


def _spawn(arguments: list[str], environ: dict, output: Output) -> subprocess.Popen:
    """Start a `job` command in a session of its own: Ctrl-C reaches us alone, and we tell the workers."""
    with open(output.path, "ab") as file:
        return subprocess.Popen(
            command(*arguments),
            env=environ,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def _command(arguments: list[str], environ: dict, log_file: Path) -> None:
    """Run one `job` command to its end, and show its warnings. Raises: what its exit code says, with its last line."""
    output = Output(log_file)
    process = _spawn(arguments, environ, output)
    try:
        while process.poll() is None:
            INTERRUPT.sleep(POLL_S)
    except Interrupted:
        process.terminate()
        process.wait()
        raise
    for warning in output.warnings():
        click.secho(f"{arguments[0]}: {printable(warning)}", fg="yellow", err=True)
    if process.returncode:
        line = output.last_line().removeprefix("job: ")
        raise {78: Invalid, 75: NotReady}.get(process.returncode, JobError)(
            f"`job {arguments[0]}` ended with exit code {process.returncode}: {line} (log: {log_file})"
        )


def _end_workers(out: Path) -> list[str]:
    """End the workers an earlier, killed run left: they save, then leave."""
    ended = []
    for file in (out / "workers").iterdir():
        if end_process(
            int(file.name), file.read_text(), ((signal.SIGTERM, STOP_S), (signal.SIGKILL, 5))
        ):
            ended.append(f"worker (process {file.name})")
        file.unlink()
    return ended


def _written(path: Path, text: str) -> Path:
    """Write a file whole, this user's alone from its first byte on: a URL in it may hold a secret."""
    write_whole(path, text.encode(), 0o600)
    return path
