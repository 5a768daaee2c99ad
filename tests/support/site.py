"""A place to run `job`: a database, a store, a cache, and its child processes."""

import re
import signal
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import forked
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Site:
    """A test's database, store and cache, and a way to call `job` on them.

    With `stub`, forked processes train nets without TensorFlow; see `stub_net`.
    """

    database_url: str
    store_url: str
    environ: dict
    folder: Path
    children: list = field(default_factory=list)
    stub: bool = False

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
            return forked.Forked(arguments, environ, self.folder, out, err, self.stub)
        with open(out, "ab") as to, open(err, "ab") as errors:
            command = [sys.executable, "-P", "-m", "job", *arguments]
            return subprocess.Popen(command, env=environ, stdout=to, stderr=errors, cwd=self.folder)


def new_site(database_url: str, s3, folder: Path, stub: bool = False) -> Site:
    """Return a site in a folder, with a new prefix in the bucket of an S3 server."""
    store_url = f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    clean = {k: v for k, v in forked.BEGAN.items() if not k.startswith(("JOB_", "SLURM_"))}
    own = {
        "JOB_DATABASE_URL": database_url,
        "JOB_STORE_URL": store_url,
        "JOB_CACHE_DIR": str(folder / "cache"),
        "JOB_WAIT_S": "1",
    }
    return Site(database_url, store_url, clean | s3.variables | own, folder, stub=stub)


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
