"""One server process with a folder of its own: start it, end it, find it after its parent's death.

- It runs in a session of its own: Ctrl-C at the terminal does not reach it.
- A lock in the folder tells whether the process that started it is alive. The kernel releases the
  lock however that process ends.
- No server runs without a pid file. The file also holds the start time, so a later process with
  the same number is never ended.
"""

import fcntl
import json
import os
import re
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar, Self, TextIO

from job.errors import Invalid, JobError, NotReady
from job.files import write_whole
from job.local.ports import free_ports
from job.local.processes import Endings, birth_of, end_process

INSTALL = "run `pip install 'image-tuning-job[local]'`"
START_S = 60
# Another process took the port, or one that was just killed still holds the data. Both pass.
BUSY = re.compile(
    r"address already in use|lock file .* already exists|pre-existing shared memory", re.IGNORECASE
)


class Server(ABC):
    """A server with a folder of its own for its lock, pid, ports, log, secrets and data.

    A subclass gives the values below, `_prepare`, `_command`, `_answers` and, if a killed server
    leaves something behind, `_forget`.
    """

    name: ClassVar[str]
    what: ClassVar[str]  # for errors: what it holds
    variable: ClassVar[str]  # for errors: the setting that names another one
    port_count: ClassVar[int]
    endings: ClassVar[Endings]

    def __init__(self, folder: Path, host: str = "127.0.0.1"):
        """Describe the server without starting it.

        Args:
            folder: Where its own folder is, or is made.
            host: The address it listens on, by which others find it.
        """
        self.folder = Path(folder).absolute() / self.name
        self.host = host
        self.ports: list[int] = []
        self._process: subprocess.Popen | None = None
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; first end what a killed run left behind.

        A running server is left alone; one that died is started again. It gets its last ports if
        they are still free, so that clients which wait for a restart find it.

        Raises:
            NotReady: Another process runs its server in this folder.
            Invalid: A package or program is missing, or the folder is incomplete or another user's.
            JobError: The server ended or did not answer within 60 s; with the end of its log.
        """
        if self._process and self._process.poll() is None:
            return
        try:
            self._own_folder()
            self._end()
            self._prepare()
            deadline = time.monotonic() + START_S
            while not self._attempt(deadline):
                time.sleep(0.1)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, if this object started one, and let others use the folder."""
        if self._lock:
            self._end()
            self._lock.close()
            self._lock = None

    def clean_up(self) -> str | None:
        """End the server that a killed run left in the folder.

        Returns: Name and process of the server; None if none was running.

        Raises:
            NotReady: It is not left over: the process that started it is alive.
        """
        if not self.folder.is_dir():
            return None
        self._own_folder()
        try:
            return self._end()
        finally:
            self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the server needs in its folder."""

    @abstractmethod
    def _command(self) -> list:
        """Return the command line of the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Return whether the server answers yet, and is ours."""

    def _forget(self) -> None:  # noqa: B027 - most servers leave nothing
        """Remove what a killed server leaves behind; called once its process is gone."""

    def _own_folder(self) -> None:
        """Make the folder and take its lock; the kernel releases it however this process ends."""
        if self._lock:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (owner := self.folder.stat().st_uid) != os.geteuid():
            raise Invalid(
                f"{self.folder} belongs to user {owner}, but this is user {os.geteuid()}:"
                " choose another folder"
            )
        with ExitStack() as stack:
            lock = stack.enter_context(open(self.folder / "lock", "w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise NotReady(
                    f"another process runs its servers in {self.folder}:"
                    " wait until it ends, or choose another folder"
                ) from exc
            stack.pop_all()
        self._lock = lock

    def _end(self) -> str | None:
        """End the process that the pid file names, ours or a leftover; return what it was."""
        ended = None
        with suppress(FileNotFoundError):
            pid, birth = (self.folder / "pid").read_text().split()
            if end_process(int(pid), birth, self.endings):
                ended = f"{self.name} (process {pid})"
            self._forget()
            (self.folder / "pid").unlink()
        if self._process:
            self._process.wait()
            self._process = None
        return ended

    def _attempt(self, deadline: float) -> bool:
        """Start the server once; return False if something that will pass was in its way."""
        log = self.folder / "log"
        self.ports = free_ports(self._last_ports(), self.port_count, self.host)
        # Before the start: with them, a later run finds what a killed server left.
        write_private(self.folder / "ports", json.dumps(self.ports))
        begin = log.stat().st_size if log.exists() else 0
        process = self._spawn(log)
        while True:
            code = process.poll()
            output = log.read_bytes()[begin:].decode(errors="replace")
            if BUSY.search(output) and time.monotonic() < deadline:
                self._end()
                return False
            if code is not None:
                raise self._failure(f"ended with exit code {code}", output)
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {START_S} s", output)
            time.sleep(0.05)

    def _last_ports(self) -> list[int]:
        """Return the ports of the last start; empty before the first one."""
        ports = self.folder / "ports"
        return json.loads(ports.read_text()) if ports.exists() else []

    def _spawn(self, log: Path) -> subprocess.Popen:
        """Start the process in its own session.

        A shell waits for a line before it becomes the server. If this process is killed before it
        has written the pid file, the shell reads the end of the pipe and exits, so no server ever
        runs without a pid file.
        """
        shell = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh"]
        with open(log, "ab") as out:
            process = subprocess.Popen(
                [*shell, *self._command()],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env=self._environment(),
                start_new_session=True,
            )
        self._process = process
        write_private(self.folder / "pid", f"{process.pid} {birth_of(process.pid)}")
        pipe = process.stdin
        assert pipe is not None, "asked for above"
        with suppress(BrokenPipeError), pipe:
            pipe.write(b"go\n")
        return process

    def _environment(self, **more: str) -> dict[str, str]:
        """Return what the programs see: no variable of the caller (PGOPTIONS, TZ) changes them."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LC_ALL": "C",
            "TZ": "UTC",
            **more,
        }

    def _failure(self, what: str, output: str) -> JobError:
        last = "\n".join(output.splitlines()[-15:])
        log = self.folder / "log"
        return JobError(f"the embedded {self.name} server {what}; the last lines of {log}:\n{last}")


def write_private(path: Path, text: str) -> None:
    """Write a small file whole or not at all, readable by this user only (mode 0600)."""
    write_whole(path, text.encode(), 0o600)
