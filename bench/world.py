"""Shared by the benchmarks: both embedded servers, experiments in them, and timed processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.yardsticks.nets import AUGMENT
from job.coordination.database import Database
from job.local import embedded

RUNNING: set[int] = set()  # running processes, each the leader of its group
MARKS = {"first": "training: at step", "last": "training: over"}  # in a worker's log

# The seconds of each part of the attempt that decided a task, uploads included.
QUERY = """
select a.seconds from task t join experiment e on e.id = t.experiment
join attempt a on (a.experiment, a.model, a.stage, a.index, a.number)
                = (t.experiment, t.model, t.stage, t.index, t.attempt)
where (e.name, t.model, t.stage, t.index) = (%(name)s, %(model)s, %(stage)s, %(index)s)
"""

TRIALS = """
name = "{name}"
seed = 1
threads = {threads}
[data]
source = "{data}"
validation = 0.2
[search]
trials = {trials}
pruner = "median"
[folds]
count = 2
[parameters]
batch_size = {batch}
dtype = "{dtype}"
learning_rate = {{ low = 1e-4, high = 1e-3, log = true }}
[models.{model}]
epochs = {epochs}
augment = {{ {augment} }}
"""


def trials_text(
    name: str,
    data: Path,
    trials: int,
    threads: int,
    batch: int = 128,
    epochs: int = 1,
    dtype: str = "float32",
    model: str = "cnn",
) -> str:
    """Return the text of an experiment: trials of a net, full augmentation, a pruner."""
    augment = ", ".join(f"{key} = {str(amount).lower()}" for key, amount in AUGMENT.items())
    return TRIALS.format(
        name=name,
        data=data,
        trials=trials,
        threads=threads,
        batch=batch,
        epochs=epochs,
        dtype=dtype,
        augment=augment,
        model=model,
    )


@dataclass
class Life:
    """The times, the memory and the output of one process that ended."""

    wall_s: float
    cpu_s: float  # of all its threads and children
    peak_mb: float
    at: dict[str, float] = field(default_factory=dict)  # mark: seconds to its first line
    said: str = ""  # stdout and stderr


def live(*command: object, environ: dict | None = None, check: bool = True) -> Life:
    """Run a process to its end. Raises: RuntimeError when it fails."""
    started = time.monotonic()
    at = {}
    said = []
    process = subprocess.Popen(
        [str(c) for c in command],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    RUNNING.add(process.pid)
    for line in process.stdout:
        said.append(line)
        for name, mark in MARKS.items():
            if mark in line:
                at.setdefault(name, time.monotonic() - started)
    _, status, used = os.wait4(process.pid, 0)
    RUNNING.discard(process.pid)
    wall_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if check and process.returncode:
        line = " ".join(map(str, command))
        raise RuntimeError(f"{line} ended with {process.returncode}:\n{''.join(said[-30:])}")
    return Life(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, at, "".join(said))


class World:
    """PostgreSQL, S3, and the cache of this node."""

    def __init__(self, folder: Path, out: Path, data: Path | None = None):
        """Describe the world; entering it starts the servers.

        Args:
            folder: for the servers and the experiments; the caller removes it.
            out: for the results.
            data: cifar-10-python.tar.gz, where there is one.
        """
        self.folder = folder
        self.out = out
        self.data = data
        self.cache = folder / "cache"
        self.postgres = embedded.Postgres(folder / "servers")
        self.s3 = embedded.S3(folder / "servers")

    def __enter__(self):
        try:
            self.postgres.start()
            self.s3.start()
        except BaseException:
            self.__exit__()
            raise
        for name in [n for n in os.environ if n.startswith(("JOB_", "SLURM_", "AWS_"))]:
            del os.environ[name]
        os.environ.update(self.s3.variables)
        return self

    def __exit__(self, *exc_info):
        for pid in list(RUNNING):  # after an early end
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.s3.stop()
        self.postgres.stop()

    def prepare(self, text: str, **options: object) -> "Subject":
        """Prepare an experiment from its text."""
        name = next(line.split('"')[1] for line in text.splitlines() if line.startswith("name"))
        file = self.folder / f"{name}.toml"
        file.write_text(text)
        subject = Subject(self, name, self.postgres.url, f"s3://{self.s3.bucket}/bench")
        flags = [word for k, v in options.items() if v for word in (f"--{k}", v)]
        subject.prepared = subject.job("prepare", file, *flags)
        return subject


@dataclass
class Subject:
    """A prepared experiment."""

    world: World
    name: str
    database_url: str
    store_url: str
    prepared: Life | None = None

    def environ(self, cache: Path | None = None) -> dict:
        """Return the variables of its processes."""
        return dict(os.environ) | {
            "JOB_DATABASE_URL": self.database_url,
            "JOB_STORE_URL": self.store_url,
            "JOB_EXPERIMENT": self.name,
            "JOB_CACHE_DIR": str(cache or self.world.cache),
        }

    def job(self, *arguments: object, cache: Path | None = None, check: bool = True) -> Life:
        """Run one `job` process to its end."""
        command = [sys.executable, "-m", "job", *arguments]
        return live(*command, environ=self.environ(cache), check=check)

    def seconds(self, stage: str, model: str, index: int) -> dict[str, float]:
        """Return the seconds of each part of the attempt that decided a task."""
        database = Database(self.database_url)
        row = database.rows(QUERY, name=self.name, model=model, stage=stage, index=index)[0]
        return row["seconds"]
