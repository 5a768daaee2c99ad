"""The probe's process, started: one request in, one answer out."""

import json
import signal
import subprocess
import tempfile
from typing import IO, Any

from job.child import command
from job.errors import JobError
from job.interrupt import INTERRUPT

POLL_S = 0.05


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a separate process, see `probe.answer`.

    Raises: JobError if the process dies; Interrupted.
    """
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        stdin.write(json.dumps(request))
        stdin.seek(0)
        code = _run(stdin, stdout, stderr)
        stdout.seek(0)
        stderr.seek(0)
        if code == 0:
            return json.loads(stdout.read().splitlines()[-1])
        if code == -signal.SIGKILL:
            raise JobError(
                "killed, apparently out of memory:"
                " give it more, or search smaller batches and networks"
            )
        lines = stderr.read().strip().splitlines() or ["no output"]
        raise JobError(f"its process ended with {code}: {lines[-1]}")


def _run(stdin: IO[str], stdout: IO[str], stderr: IO[str]) -> int:
    """Run the probe to its end and return its exit code; an interrupt kills it."""
    arguments = command(module="job.preflight.probe")
    child = subprocess.Popen(arguments, stdin=stdin, stdout=stdout, stderr=stderr)
    try:
        while child.poll() is None:
            INTERRUPT.sleep(POLL_S)
    finally:
        child.kill()
        code = child.wait()
    return code
