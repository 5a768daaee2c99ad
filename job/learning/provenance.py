"""What a result says about where it came from: versions, commit, device, net."""

import csv
import hashlib
import io
import json
import os
import platform
import resource
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from job.learning.checkpoint import Damaged
from job.sentences import UNREADABLE

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "optuna", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of Python, this program and the libraries a result depends on."""
    from job import __version__

    found = {"python": platform.python_version(), "image-tuning-job": __version__}
    for package in PACKAGES:
        try:
            found[package.removesuffix("-cpu")] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return JOB_GIT_COMMIT (set in the image), else the checkout's commit, else None."""
    if os.environ.get("JOB_GIT_COMMIT"):
        return os.environ["JOB_GIT_COMMIT"]
    top = Path(__file__).parents[2]
    if not (top / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "-C", str(top), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def image_digest() -> str | None:
    """Return JOB_IMAGE_DIGEST, which whoever starts the container may set, else None."""
    return os.environ.get("JOB_IMAGE_DIGEST") or None


def sha256(content: bytes) -> str:
    """Return the sha256 of bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def cpu_model() -> str:
    """Return the processor's name: a CPU result is bit for bit only on the same one."""
    for line in (
        Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory() -> int:
    """Return the most memory this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device() -> str:
    """Return the name of the GPU TensorFlow sees, or "cpu"."""
    from job.learning.backend import tf

    gpus = tf.config.list_physical_devices("GPU")
    return (
        tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu")
        if gpus
        else "cpu"
    )


@cache
def machine() -> dict[str, str]:
    """Return what may change a result's bits and is not the experiment's: processor, TensorFlow build and device."""
    return {"cpu": cpu_model(), "tensorflow": versions()["tensorflow"], "device": device()}


def exact(machines: list[dict]) -> bool:
    """Tell whether these machines computed numbers that come out the same again, bit for bit: all on one CPU."""
    return all(m == machines[0] and m["device"] == "cpu" for m in machines)


def layers(net) -> list[dict]:
    """Return a net's layers: name, type, output_shape (without the batch; empty if it has not one) and number of parameters."""
    return [
        {
            "name": layer.name,
            "type": type(layer).__name__,
            "output_shape": _output_shape(layer),
            "parameters": int(layer.count_params()),
        }
        for layer in net.layers
    ]


def _output_shape(layer) -> list[int]:
    try:
        return [int(s) for s in layer.output.shape[1:]]
    except (
        AttributeError,
        ValueError,
        TypeError,
    ):  # of an own model: a layer with several outputs, or of unknown size
        return []


def history_csv(history: list[dict]) -> bytes:
    """Return the epochs as CSV: no clock columns, so that equal runs have equal bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(history[0]) if history else ["epoch"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(
        {k: repr(v) if isinstance(v, float) else v for k, v in row.items()} for row in history
    )
    return text.getvalue().encode()


def history_of(content: bytes) -> list[dict]:
    """Return the epochs of a history.csv, number for number. Raises: Damaged."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode()))
        return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in rows]
    except UNREADABLE as exc:
        raise Damaged(f"it is no history: {exc}") from exc


def seal(result: dict) -> bytes:
    """Return a result as JSON with one sha256 over everything in it."""
    return json.dumps(result | {"sha256": _digest(result)}, indent=1).encode()


def unseal(content: bytes) -> dict:
    """Return a sealed result. Raises: Damaged."""
    try:
        result = json.loads(content)
        digest = result.pop("sha256")
    except UNREADABLE as exc:
        raise Damaged(f"it is no sealed result: {exc}") from exc
    if digest != _digest(result):
        raise Damaged("its hash does not match its content")
    return result


def _digest(result: dict) -> str:
    return sha256(json.dumps(result, sort_keys=True).encode())
