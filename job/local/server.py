"""One server process with a folder of its own: started, ended, and found again when its parent was killed.

- It runs in a session of its own: Ctrl-C at the terminal does not reach it.
- A lock in the folder says whether the process that started it is alive; the kernel releases it however that one ends.
- No server runs without a pid file, which holds its start time too: no process that got its number later is ended.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from job.errors import Invalid, JobError, NotReady
from job.files import write_whole

START_S = 60
# Another process took the port, or one that was killed a moment ago still holds the data. Both pass.
BUSY = re.compile(
    r"address already in use|lock file .* already exists|pre-existing shared memory", re.IGNORECASE
)


class Server:
    """A server with a folder of its own for its lock, pid, ports, log, secrets and data.

    A kind of server gives the three values below, `_prepare` (make what it needs in its folder), `_command`, `_answers`
    (does it serve yet, and is it ours?) and, if a killed one leaves something behind, `_forget`.
    """

    name: str
    port_count: int
    endings: tuple  # (signal, seconds to wait for its effect), one after the other

    def __init__(self, folder: Path, host: str = "127.0.0.1"):
        """Args:
        folder: where its own folder is, or is made.
        host: the address it listens on, by which others find it.
        """
        self.folder, self.host = Path(folder).absolute() / self.name, host
        self.ports: list[int] = []
        self._process: subprocess.Popen | None = None
        self._lock = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; first end what a killed run left behind.

        A running server is left alone; one that died is started again. The ports are those of the last time if they
        are still free, so that clients which wait out a restart find it.

        Raises:
            NotReady: Another process runs its server in this folder.
            Invalid: A package or program is missing, or the folder is not ours or not complete.
            JobError: The server ended or did not answer within 60 s; with the last lines of its log.
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
        """End the server a killed run left in the folder; return what it was, None if none was running.

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

    def _own_folder(self) -> None:
        """Make the folder and take its lock, which the kernel releases however this process ends."""
        if self._lock:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (owner := self.folder.stat().st_uid) != os.geteuid():
            raise Invalid(
                f"{self.folder} belongs to user {owner}, this is user {os.geteuid()}: choose another folder"
            )
        with ExitStack() as stack:
            lock = stack.enter_context(open(self.folder / "lock", "w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                message = f"another process runs its servers in {self.folder}: wait for its end or choose another folder"
                raise NotReady(message) from exc
            stack.pop_all()
        self._lock = lock

    def _end(self) -> str | None:
        """End the process the pid file names, ours or a left one; return what it was, None if none was running."""
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
        log, ports = self.folder / "log", self.folder / "ports"
        self.ports = free_ports(
            json.loads(ports.read_text()) if ports.exists() else [], self.port_count, self.host
        )
        # Before the start: by them a later run finds what a killed server left.
        write_private(ports, json.dumps(self.ports))
        begin = log.stat().st_size if log.exists() else 0
        self._spawn(log)
        while True:
            code = self._process.poll()
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

    def _spawn(self, log: Path) -> None:
        """Start the process in its own session.

        A shell waits for a line before it becomes the server: if this process is killed before the pid file is
        written, it reads the end of the pipe and leaves, so no server ever runs without a pid file.
        """
        shell = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh"]
        with open(log, "ab") as out:
            self._process = subprocess.Popen(
                [*shell, *self._command()], stdin=subprocess.PIPE, stdout=out, stderr=out,
                cwd=self.folder, env=self._environment(), start_new_session=True,
            )  # fmt: skip
        write_private(self.folder / "pid", f"{self._process.pid} {born(self._process.pid)}")
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(b"go\n")

    def _environment(self, **more: str) -> dict[str, str]:
        """Return what the programs see: no variable of the caller (PGOPTIONS, AWS_..., TZ) changes what they do."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LC_ALL": "C",
            "TZ": "UTC",
            **more,
        }

    def _failure(self, what: str, output: str) -> JobError:
        last = "\n".join(output.splitlines()[-15:])
        return JobError(
            f"the embedded {self.name} server {what}; the last lines of {self.folder / 'log'}:\n{last}"
        )

    def _forget(self) -> None:
        """Remove what a killed server leaves behind; called when its process is gone."""


def free_ports(last: list[int], count: int, host: str = "127.0.0.1") -> list[int]:
    """Return the ports of the last time if all are free, else as many others the kernel calls free."""
    for wanted in [last] * (len(last) == count) + [[0] * count] * 20:
        with ExitStack() as stack, suppress(OSError):
            ports = [_bind(stack, host, port) for port in wanted]
            if not any(path.exists() for port in ports for path in grpc_sockets(port)):
                return ports
    raise JobError(f"found no {count} free ports on {host}: it must be an address of this machine")


def _bind(stack: ExitStack, host: str, port: int) -> int:
    """Bind a port (0: any) until the stack ends, and return its number."""
    tcp = stack.enter_context(socket.socket())
    # Connections of the last server that are still closing do not keep its port; a listener does.
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(port != 0))
    tcp.bind((host, port))
    return tcp.getsockname()[1]


def grpc_sockets(port: int) -> list[Path]:
    """Name the sockets weed makes for a gRPC port, in /tmp whatever TMPDIR says, and leaves there when it is killed."""
    return [
        Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock")
        for part in ("master", "volume", "filer", "s3")
    ]


def born(pid: int) -> str | None:
    """Return a process' start time (proc(5), field 22), which tells it from a later one; None if it runs no more.

    A killed one runs, and holds its sockets, until the last of its threads (field 20) has left.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" and int(fields[17]) <= 1 else fields[19]


def end_process(pid: int, birth: str, endings: tuple) -> bool:
    """Send the signals, each if the one before had no effect in time; return whether the process was running.

    Args:
        birth: what `born` said of it; a process of another birth is a stranger with its number, and left alone.
        endings: (signal, seconds to wait for its effect), one after the other.
    """
    was_running = born(pid) == birth
    for number, wait_s in endings:
        deadline = time.monotonic() + wait_s
        with suppress(ProcessLookupError):
            if born(pid) == birth:
                os.kill(pid, number)
        while born(pid) == birth and time.monotonic() < deadline:
            time.sleep(0.02)
    return was_running


def write_private(path: Path, text: str) -> None:
    """Write a small file at once or not at all, readable by us alone (mode 0600)."""
    write_whole(path, text.encode(), 0o600)
