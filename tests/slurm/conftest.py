"""A folder as a user has it, with slurm/ and a site's file, before a real Slurm."""

import os
import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import Cluster, slurm
from world import Site, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """The Slurm of a test file, as its SETTINGS say."""
    with slurm(tmp_path_factory.mktemp("slurm"), request.module.SETTINGS) as cluster:
        yield cluster


@dataclass(frozen=True)
class Desk:
    """The folder that holds slurm/, and what is typed there."""

    cluster: Cluster
    site: Site
    folder: Path

    def submit(self, *arguments, check: bool = True) -> str:
        """Type slurm/submit.sh; return what it says."""
        return self.cluster.run(
            self.folder / "slurm" / "submit.sh", *arguments, check=check, cwd=self.folder
        )

    def type(self, script: str, *arguments) -> str:
        """Type a script of slurm/, options of sbatch first; return the id of the job."""
        return self.cluster.run(
            self.folder / "slurm" / script, "--parsable", *arguments, cwd=self.folder
        ).strip()

    def array(self, *arguments) -> str:
        """Type task.sbatch for an array of three; return the last element's id.

        That one is the trap: its SLURM_JOB_ID is the array's number, which means all three.
        """
        return self.type("task.sbatch", "--array=0-2", *arguments) + "_2"

    @contextmanager
    def bystanders(self, element: str):
        """Hold the other two of an array; at the end nobody has asked or requeued them. Cancel them."""
        others = [element.replace("_2", f"_{index}") for index in (0, 1)]
        wait_for(lambda: all(self.processes(other) for other in others))
        pids = [self.process(other) for other in others]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
            for other in others:
                seen = self.cluster.job(other)
                assert (seen["JobState"], seen["Restarts"]) == ("RUNNING", "0"), (
                    f"{other} beside {element}"
                )
                assert "asked to leave" not in self.log(other)
        finally:
            self.cluster.run("scancel", *others)
            for other, pid in zip(others, pids, strict=True):
                self.until(other, "asked to leave")  # killed before, it would be begun again
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def log(self, element: str) -> str:
        """Return what an element has said in all its runs."""
        files = list(self.folder.rglob(f"*-{element}.log"))
        return files[0].read_text(errors="replace") if files else ""

    def until(self, element: str, words: str, times: int = 1, seconds: float = 150) -> None:
        """Wait until an element has said these words so often."""
        wait_for(lambda: self.log(element).count(words) >= times, seconds)

    def processes(self, element: str) -> list[int]:
        """Return the pids of the `job` of an element: one while it is running."""
        mine = {
            f"SLURM_JOB_ID={self.cluster.job(element)['JobId']}",
            f"SLURM_SUBMIT_DIR={self.folder}",
        }
        jobs = [p for p in processes() if any(w.endswith("/bin/job") for w in words(p)[:2])]
        return [int(p.name) for p in jobs if mine <= set(environ(p))]

    def process(self, element: str) -> int:
        """Return the pid of the `job` of an element that is running."""
        (pid,) = self.processes(element)
        return pid

    @contextmanager
    def held(self, element: str):
        """Hold a trial that has saved until it is asked to leave, so that nothing is a race against its end."""
        self.until(element, "saved at step")
        pid = self.process(element)
        os.kill(pid, signal.SIGSTOP)
        asked = self.log(element).count("asked to leave")
        yield
        self.until(element, "asked to leave", asked + 1)
        os.kill(pid, signal.SIGCONT)

    def pyxis(self) -> list[str]:
        """Make RUNTIME=pyxis work without pyxis, and return the site's lines for it.

        It is Slurm's own srun, less the options that pyxis adds to it, and the host's `job`.
        """
        bin = self.folder / "bin"
        bin.mkdir()
        (bin / "srun").write_text(
            "#!/usr/bin/env bash\n"
            'for word; do case $word in --container-* | --no-container-*) ;; *) words+=("$word") ;; esac; done\n'
            f'exec {shutil.which("srun")} "${{words[@]}}"\n'
        )
        (bin / "srun").chmod(0o755)
        (bin / "job").symlink_to(Path(sys.prefix) / "bin" / "job")
        return ["RUNTIME=pyxis", "VENV=/nowhere", "PATH=$PWD/bin:$PATH"]

    def add(self, *lines: str) -> None:
        """Add lines to the site's file."""
        with open(self.folder / "slurm" / "site.env", "a") as file:
            file.write("\n".join(lines) + "\n")


def processes() -> list[Path]:
    """Return the folders of all processes in /proc."""
    return list(Path("/proc").glob("[0-9]*"))


def words(process: Path) -> list[str]:
    """Return the command line of a process, as `ps` shows it to anybody; empty when it has ended."""
    return _strings(process / "cmdline")


def environ(process: Path) -> list[str]:
    """Return the variables of a process."""
    return _strings(process / "environ")


def _strings(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split("\0")
    except OSError:
        return []


@pytest.fixture
def desk(cluster, site, tmp_path):
    """A user's folder: slurm/ as it is in the project, its site's file with what this test's servers need, secrets by file."""
    folder = tmp_path / "desk"
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    (tmp_path / "node").mkdir()
    for name, text in {
        "database-url": site.database_url,
        "credentials": "[default]\n"
        f"aws_access_key_id = {site.environ['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {site.environ['AWS_SECRET_ACCESS_KEY']}\n",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    desk = Desk(cluster, site, folder)
    desk.add(
        f"VENV={sys.prefix}",
        "TASK_OPTIONS=(--gres=gpu:1 --mem=100 --time=10)",
        "CPU_OPTIONS=(--mem=100 --time=10)",
        f"SCRATCH={tmp_path / 'node'}",
        "export JOB_DATABASE_URL_FILE=$PWD/database-url AWS_SHARED_CREDENTIALS_FILE=$PWD/credentials",
        f"export JOB_STORE_URL={site.store_url} AWS_ENDPOINT_URL_S3={site.environ['AWS_ENDPOINT_URL_S3']}",
        "export JOB_CHECKPOINT_S=0.2",
        *(
            f"export AWS_CA_BUNDLE={os.environ['AWS_CA_BUNDLE']}"
            for _ in range("AWS_CA_BUNDLE" in os.environ)
        ),
    )
    yield desk
    cluster.run("scancel", "--user=root", check=False)
    wait_for(lambda: not cluster.queue(), 60)
