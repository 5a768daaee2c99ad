"""The folder of a Slurm user, the commands typed there, and the processes they lead to."""

import os
import shutil
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.support.site import Site
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Desk:
    """The folder with slurm/, and the commands that a user types there."""

    cluster: Cluster
    site: Site
    folder: Path

    def submit(self, *arguments, check: bool = True) -> str:
        """Run slurm/submit.sh; return its output."""
        script = self.folder / "slurm" / "submit.sh"
        return self.cluster.run(script, *arguments, check=check, cwd=self.folder)

    def type(self, script: str, *arguments) -> str:
        """Run a script of slurm/, options of sbatch first; return the id of its job."""
        path = self.folder / "slurm" / script
        return self.cluster.run(path, "--parsable", *arguments, cwd=self.folder).strip()

    def array(self, *arguments) -> str:
        """Submit task.sbatch as an array of three; return the last element's id.

        The last one is the trap: its SLURM_JOB_ID is the array's number, which means all three.
        """
        return self.type("task.sbatch", "--array=0-2", *arguments) + "_2"

    @contextmanager
    def bystanders(self, element: str):
        """Pause the other two elements, check that nothing reached them, and cancel them."""
        others = [element.replace("_2", f"_{index}") for index in (0, 1)]
        wait_for(lambda: all(self.processes(other) for other in others))
        pids = [self.process(other) for other in others]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
            for other in others:
                job = self.cluster.job(other)
                state = (job["JobState"], job["Restarts"])
                assert state == ("RUNNING", "0"), f"{other} beside {element}"
                assert "asked to leave" not in self.log(other)
        finally:
            self.cluster.run("scancel", *others)
            for other, pid in zip(others, pids, strict=True):
                self.until(other, "asked to leave")  # killed earlier, it would restart
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def log(self, element: str) -> str:
        """Return the log of an element, of all its runs."""
        files = list(self.folder.rglob(f"*-{element}.log"))
        return files[0].read_text(errors="replace") if files else ""

    def until(self, element: str, words: str, times: int = 1, seconds: float = 150) -> None:
        """Wait until the log of an element has these words `times` times."""
        wait_for(lambda: self.log(element).count(words) >= times, seconds)

    def processes(self, element: str) -> list[int]:
        """Return the pids of an element's `job` processes: one while it is running."""
        mine = {
            f"SLURM_JOB_ID={self.cluster.job(element)['JobId']}",
            f"SLURM_SUBMIT_DIR={self.folder}",
        }
        jobs = [p for p in processes() if any(w.endswith("/bin/job") for w in words(p)[:2])]
        return [int(p.name) for p in jobs if mine <= set(environ(p))]

    def process(self, element: str) -> int:
        """Return the pid of the `job` of a running element."""
        (pid,) = self.processes(element)
        return pid

    @contextmanager
    def held(self, element: str):
        """Pause a trial that has saved until it is asked to leave.

        Otherwise it could end first.
        """
        self.until(element, "saved at step")
        pid = self.process(element)
        os.kill(pid, signal.SIGSTOP)
        asked = self.log(element).count("asked to leave")
        yield
        self.until(element, "asked to leave", asked + 1)
        os.kill(pid, signal.SIGCONT)

    def pyxis(self) -> list[str]:
        """Make RUNTIME=pyxis work without pyxis; return the site's lines for it.

        A wrapper drops the options that pyxis adds to srun, and `job` is the host's.
        """
        bin = self.folder / "bin"
        bin.mkdir()
        (bin / "srun").write_text(
            "#!/usr/bin/env bash\n"
            "for word; do\n"
            '  case $word in --container-* | --no-container-*) ;; *) words+=("$word") ;; esac\n'
            "done\n"
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
    """Return the command line of a process, which all users can see; empty after its end."""
    return _strings(process / "cmdline")


def environ(process: Path) -> list[str]:
    """Return the variables of a process."""
    return _strings(process / "environ")


def _strings(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split("\0")
    except OSError:
        return []
