"""Small experiments that the tests share, a place to run them, and a view of their results."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import forked
import numpy as np

from job.coordination.database import Database
from job.local.embedded import Postgres
from job.storage.store import open_store

TINY = """
name = "tiny"
seed = 3
threads = 1
[data]
source = "images.npz"
[search]
trials = 2
pruner = "none"
[folds]
count = 2
[parameters]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = [16, 32]
[models.cnn]
epochs = 40
blocks = 1
width = 4
units = 8
augment = { shift = 0.1, flip = true, rotation = 10, zoom = 0.1, shear = 0.1 }
[models.mobilenetv2]
epochs = 3
input_size = 32
alpha = 0.35
"""

SMALL = """
name = "small"
threads = 1
[data]
source = "digits"
[search]
trials = 1
[models.cnn]
epochs = 1
width = 2
blocks = 1
batch_size = 256
learning_rate = 0.01
"""

# For a trial of LONG, with nine steps per epoch: long enough to be ended six times.
EPOCHS = 75
LONG = f"""
name = "long"
seed = 3
threads = 1
[data]
source = "images.npz"
[search]
trials = 3
sampler = "random"
[folds]
count = 2
[parameters]
learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
batch_size = 8
[models.cnn]
epochs = {EPOCHS}
blocks = 1
width = 4
units = 8
augment = {{ shift = 0.1, flip = true, rotation = 10, zoom = 0.1, shear = 0.1 }}
"""
TRIAL = ("trial", "--model", "cnn", "--index")


@dataclass(frozen=True)
class Site:
    """A test's database, store and cache, and a way to call `job` on them."""

    database_url: str
    store_url: str
    environ: dict
    folder: Path
    children: list = field(default_factory=list)

    def job(self, *arguments, check: int | None = None, **environ) -> subprocess.CompletedProcess:
        """Run `python -m job ...` to its end; with `check`, expect this exit code."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out")
            err = Path(folder, "err")
            process = self._begin(arguments, self.environ | environ, out, err)
            try:
                code = process.wait(300)
            finally:
                process.kill()
            done = subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())
        if check is not None:
            assert done.returncode == check, (
                f"exit {done.returncode}, expected {check}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def start(self, *arguments, **environ) -> "Child":
        """Start `python -m job ...`."""
        log = self.folder / f"{uuid.uuid4().hex}.log"
        variables = {name: str(value) for name, value in environ.items()}
        process = self._begin(arguments, self.environ | variables, log, log)
        child = Child(process, log)
        self.children.append(child)
        return child

    def _begin(
        self, arguments: tuple, environ: dict, out: Path, err: Path
    ) -> "subprocess.Popen | forked.Forked":
        arguments = list(map(str, arguments))
        if forked.possible(environ):
            return forked.Forked(arguments, environ, self.folder, out, err)
        with open(out, "ab") as to, open(err, "ab") as errors:
            command = [sys.executable, "-P", "-m", "job", *arguments]
            return subprocess.Popen(command, env=environ, stdout=to, stderr=errors, cwd=self.folder)


@dataclass(frozen=True)
class Child:
    """A `job` process and its log."""

    process: subprocess.Popen | forked.Forked
    log: Path

    def text(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace")

    def until(self, words: str, seconds: float = 150) -> None:
        """Wait until the log has these words."""
        wait_for(lambda: words in self.text() or self.process.poll() is not None, seconds)
        assert words in self.text(), self.text()

    def send(self, number: int) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    @contextmanager
    def held(self):
        """Pause the process, so that what others do meanwhile does not race against its end."""
        self.send(signal.SIGSTOP)
        yield
        self.send(signal.SIGCONT)

    def wait(self, seconds: float = 150, check: int | None = None) -> int:
        """Wait for the end and return the exit code; with `check`, expect this one."""
        code = self.process.wait(seconds)
        assert check in (None, code), f"exit {code}, expected {check}\n{self.text()}"
        return code


def imports(done: subprocess.CompletedProcess, *names: str) -> list[str]:
    """Return which of these packages a process with PYTHONPROFILEIMPORTTIME=1 imported."""
    imported = set(re.findall(r"^import time: .*\| +(\w+)$", done.stderr, re.M))
    assert "job" in imported, "the process did not run with PYTHONPROFILEIMPORTTIME=1"
    return sorted(imported & set(names))


def wait_for(condition, seconds: float = 150) -> None:
    """Poll a condition until a deadline, but spend at most a fifth of the time on polling."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        assert began < deadline, f"the condition did not hold within {seconds} s"
        time.sleep(max(0.02, 4 * (time.monotonic() - began)))


def a_tick_after(path: Path) -> None:
    """Wait until the clock that dates files has ticked since the last change to a file.

    Two changes within one tick of the kernel's clock have the same date.
    """
    beside = path.with_name(f".{path.name}.tick")
    wait_for(lambda: beside.touch() or beside.stat().st_ctime_ns > path.stat().st_ctime_ns)
    beside.unlink()


@contextmanager
def stopped(server: Postgres):
    """Stop postmaster and backends, as on a machine out of memory, and resume them at the end."""
    postmaster = int((server.folder / "pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    backends = [int(pid) for pid in children]
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*reversed(backends), postmaster):
            os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Long:
    """A site with the long experiment, its database and its store."""

    site: Site
    database: Database

    @property
    def store(self):
        """The store of the experiment."""
        return open_store(self.site.store_url, 20)

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of the database."""
        parts = urlsplit(self.site.database_url)
        return parts.hostname, parts.port

    def through(self, port: int) -> str:
        """Return the database's URL with another port."""
        return self.site.database_url.replace(f":{self.address[1]}/", f":{port}/")

    def on(self, database_url: str) -> "Long":
        """Return a view of the same experiment in another database."""
        return Long(self.site, Database(database_url, 10))

    def task(self, index: int) -> dict:
        """Return the row of a trial."""
        statement = "select * from task where stage = 'trial' and index = %(i)s"
        return self.database.rows(statement, i=index)[0]

    def attempts(self, index: int) -> list[dict]:
        """Return the attempts of a trial in order."""
        return self.database.rows(
            "select * from attempt where stage = 'trial' and index = %(i)s order by number", i=index
        )

    def epochs(self, index: int) -> list[dict]:
        """Return the epochs of a trial in order."""
        return self.database.rows(
            "select * from epoch where stage = 'trial' and index = %(i)s order by epoch", i=index
        )

    def objects(self, index: int, name: str) -> list[str]:
        """Return the keys of a trial's objects that contain this name."""
        keys = [found.key for found in self.store.listing("experiments/")]
        return [key for key in keys if f"/trial/{index}/" in key and name in key]

    def bits(self, index: int) -> dict:
        """Return what must be equal in any two results of a trial."""
        result = json.loads(self.store.get(self.task(index)["artifact"]["result.json"]["key"]))
        hashes = ("weights_sha256", "history_sha256", "predictions_sha256")
        return {key: result[key] for key in (*hashes, "value", "parameters", "step")}

    def calm(self, index: int) -> dict:
        """Return the bits of an undisturbed trial, and reset it as if nobody had worked on it."""
        self.site.job(*TRIAL, index, check=0)
        bits = self.bits(index)
        self.store.delete(self.objects(index, ""))
        for statement in (
            "delete from epoch where index = %(i)s",
            "delete from attempt where index = %(i)s",
            "update task set state = 'waiting', attempt = 0, progress = 0, counted = 0,"
            " counted_at = 0, parameters = null, value = null, metrics = null, artifact = null,"
            " finished = null where stage = 'trial' and index = %(i)s",
            "delete from trial_params",
            "delete from trial_values",
            "delete from trial_intermediate_values",
        ):
            self.database.rows(statement, i=index)
        return bits


def address() -> str:
    """Return an address of this machine that others could reach; nothing is sent."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as one:
        one.connect(("192.0.2.1", 9))
        return one.getsockname()[0]


def write_images(path, n=90, n_test=30):
    """Write noisy images of horizontal, vertical and no stripes.

    Test image 0 and training image 3 are copies of training image 0.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(n + n_test) % 3
    images = rng.integers(0, 120, (n + n_test, 32, 32, 3), dtype=np.uint8)
    images[labels == 0, ::4] += 120
    images[labels == 1, :, ::4] += 120
    images[n] = images[0]
    labels[n] = labels[0]
    images[3] = images[0]
    np.savez(
        path,
        x_train=images[:n],
        y_train=labels[:n],
        x_test=images[n:],
        y_test=labels[n:],
        classes=np.array(["rows", "columns", "none"]),
    )
