"""The workers of `job local`: W processes, each a real `job` invocation that does one task."""

import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from job.child import command
from job.errors import Impossible, Invalid, JobError, UsageError
from job.experiment.experiment import Experiment
from job.experiment.task import Key
from job.interrupt import INTERRUPT
from job.local.processes import birth_of, end_process
from job.local.progress import Output, Progress
from job.local.server import write_private

# For workers to save after a signal.
STOP_S = 30.0
ENDINGS = ((signal.SIGTERM, STOP_S), (signal.SIGKILL, 5))
# Of one task in one `job local`.
MAX_RUNS = 20
POLL_S = 0.1
# The final of a model comes first: it is the longest, and must not be the last to start.
ORDER = (("features",), ("trial",), ("final", "fold"))
NEEDS = {
    "features": (),
    "trial": ("features",),
    "fold": ("features", "trial"),
    "final": ("features", "trial"),
}
# Another attempt would end the same way.
HOPELESS = (UsageError.exit_code, Invalid.exit_code)


@dataclass
class Child:
    """A worker process and the task it works on."""

    key: Key
    process: subprocess.Popen
    pid_file: Path
    output: Output


class Crew:
    """W workers and the tasks that are left for them."""

    def __init__(self, experiment: Experiment, out: Path, environ: dict[str, str], workers: int):
        """Plan every task of an experiment, in the order in which they are started.

        Args:
            experiment: What to run.
            out: The output folder, for logs and pid files.
            environ: The environment of the workers.
            workers: How many run at a time.
        """
        self._out = out
        self._environ = environ
        self._workers = workers
        plan = experiment.plan()
        self._left = [
            Key(model, stage, index)
            for stages in ORDER
            for model in experiment.models
            for stage in stages
            for index in range(plan[stage].get(model, 0))
        ]
        self._children: list[Child] = []
        self._runs: Counter[Key] = Counter()
        self._failed: list[Key] = []

    def run(self) -> list[Key]:
        """Run every task to its decision; return those that failed for good.

        Raises:
            Interrupted: A signal came; the workers have saved.
            JobError: A task cannot be run.
        """
        with Progress(self._left) as progress:
            try:
                while self._left or self._children:
                    self._start()
                    INTERRUPT.sleep(POLL_S)
                    for child in [c for c in self._children if c.process.poll() is not None]:
                        self._finish(child, progress)
            except BaseException:
                self._stop(progress)
                raise
        return self._failed

    def _start(self) -> None:
        """Start as many workers as are idle, each on the next task that is ready."""
        idle = self._workers - len(self._children)
        for key in [key for key in self._left if self._is_ready(key)][:idle]:
            self._left.remove(key)
            self._runs[key] += 1
            environ = self._environ | {"JOB_SCHEDULER_JOB": f"local {key}"}
            output = Output(self._out / "logs" / f"{key.stage}-{key.model}-{key.index}.log")
            arguments = [key.stage, "--model", key.model, "--index", str(key.index)]
            process = spawn(arguments, environ, output)
            pid_file = self._out / "workers" / str(process.pid)
            write_private(pid_file, birth_of(process.pid) or "")
            self._children.append(Child(key, process, pid_file, output))

    def _is_ready(self, key: Key) -> bool:
        """Return whether every task that this one needs is decided."""
        open_keys = [*self._left, *(child.key for child in self._children)]
        needs = NEEDS[key.stage]
        return not any(other.model == key.model and other.stage in needs for other in open_keys)

    def _finish(self, child: Child, progress: Progress) -> None:
        """Take account of a worker that has ended."""
        self._children.remove(child)
        child.pid_file.unlink(missing_ok=True)
        code = child.process.returncode
        key = child.key
        for warning in child.output.warnings():
            progress.say(f"{key}: {warning}")
        if code == 0:
            progress.done(key)
        elif code == Impossible.exit_code:
            self._failed.append(key)
            progress.done(key, "FAILED for good")
        elif code in HOPELESS or self._runs[key] >= MAX_RUNS:
            raise JobError(
                f"{key} ended with exit code {code}: {child.output.last_line()}"
                f" (log: {child.output.path})"
            )
        else:
            progress.say(f"{key}: exit code {code}, runs again")
            self._left.insert(0, key)

    def _stop(self, progress: Progress) -> None:
        """Ask the workers to save, wait for them, and kill those that do not end."""
        progress.say(f"stopping {len(self._children)} workers; they save first")
        for child in self._children:
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for child in self._children:
            try:
                child.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.pid_file.unlink(missing_ok=True)


def spawn(arguments: list[str], environ: dict[str, str], output: Output) -> subprocess.Popen:
    """Start a `job` command in a session of its own.

    Ctrl-C then reaches this process only, which passes it on.
    """
    with open(output.path, "ab") as file:
        return subprocess.Popen(
            command(*arguments),
            env=environ,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def end_workers(out: Path) -> list[str]:
    """End the workers that an earlier, killed run left; they save first.

    Returns: A name for each, such as "worker (process 123)".
    """
    ended = []
    for file in (out / "workers").iterdir():
        if end_process(int(file.name), file.read_text(), ENDINGS):
            ended.append(f"worker (process {file.name})")
        file.unlink()
    return ended
