"""A `job` process that does not import TensorFlow again.

It is forked from a server that has imported everything, once per pytest process, since a short
command spends most of its time on imports. All else is as usual: the process has its own pid,
signals and exit code. If the environment sets anything that an import may read, the command starts
on its own. A test of the imports themselves asks for that with `ALONE`.
"""

import multiprocessing
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import packages_distributions
from pathlib import Path

import job
from tests.support import stub_net

ALONE = {"PYTHONUNBUFFERED": "1"}
# Variables that no import reads. Any other one may count while modules are imported.
READ_LATER = ("AWS_", "JOB_", "PG", "SLURM_", "STUB_", "NO_PROXY", "no_proxy", "TMPDIR")
# Packages that commands import when they need them.
LATE = (
    "alembic.command",
    "boto3.s3.inject",
    "botocore.retries.standard",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "optuna.storages._rdb.storage",
    "pygments.lexers",
    "s3transfer.download",
    "sklearn.datasets",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlalchemy.orm",
)
BEGAN = dict(os.environ)  # before this process imported TensorFlow, which sets some
ROOT = str(Path(__file__).parents[2])

MODULES = [module.name for module in pkgutil.walk_packages(job.__path__, "job.")]
INSTALLED = {*packages_distributions(), "job"}
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "job.learning.backend",
        *(name for name in MODULES if not name.endswith("__main__")),
        *LATE,
        # Or each child would import them, and read the metadata of every package again.
        __name__,
        stub_net.__name__,
        "tests.support.preloaded",
    ]
)


def possible(environ: dict) -> bool:
    """Return whether no import could tell this environment from that of the server."""
    differ = {name for name, _ in environ.items() ^ BEGAN.items()} - {"PYTHONPATH"}
    return all(name.startswith(READ_LATER) for name in differ) and not _shadows(environ)


def _shadows(environ: dict) -> bool:
    """Return whether PYTHONPATH has a module that the server has imported by now, or would."""
    names = {path.stem for folder in _python_path(environ) for path in Path(folder).glob("*")}
    return not names.isdisjoint(
        {"sitecustomize", "usercustomize", *sys.stdlib_module_names, *INSTALLED}
    )


def _python_path(environ: dict) -> list[str]:
    return [folder for folder in environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


class Forked:
    """The part of subprocess.Popen that the tests use."""

    def __init__(
        self,
        arguments: list[str],
        environ: dict,
        folder: Path,
        out: Path,
        err: Path,
        stub: bool = False,
    ):
        out.touch()
        err.touch()
        self._process = SERVER.Process(
            target=_run, args=(arguments, environ, folder, out, err, stub), daemon=True
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while the process runs."""
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process and return its exit code."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("job", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: list[str], environ: dict, folder: Path, out: Path, err: Path, stub: bool
) -> None:
    """Run as `python -P -m job ARGUMENTS` in a folder, with stub nets if asked; never return."""
    for number, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None  # an import may have set it
    ours = [place for place in sys.path if place not in ("", ROOT)]
    sys.path[:] = [*_python_path(environ), *ours]
    sys.argv[:] = ["job", *arguments]
    from job.__main__ import main

    if stub:
        stub_net.install()
    main()
