"""Where a result comes from: versions, commit, device, layers; and the files that record it."""

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

from job.learning import processor
from job.learning.checkpoint import Damaged
from job.learning.result_format import Layer, Machine, Result, SealedResult
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
    command = ["git", "-C", str(top), "rev-parse", "HEAD"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def image_digest() -> str | None:
    """Return JOB_IMAGE_DIGEST, which the command that starts the container may set, else None."""
    return os.environ.get("JOB_IMAGE_DIGEST") or None


def sha256(content: bytes) -> str:
    """Return the sha256 of bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def peak_memory() -> int:
    """Return the most memory this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device() -> str:
    """Return the name of the GPU TensorFlow sees, or "cpu"."""
    from job.learning.backend import tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu")


@cache
def machine() -> Machine:
    """Return what may change a result's bits beside the experiment.

    That is the processor ("cpu"), the build of TensorFlow and the device. The build says so where
    we turned oneDNN on: results of our first versions on such a processor have other bits.
    """
    build = versions()["tensorflow"] + (" with oneDNN" if processor.adds_onednn() else "")
    return {"cpu": processor.cpu_model(), "tensorflow": build, "device": device()}


def is_exact(machines: list[Machine]) -> bool:
    """Return whether these machines are one and the same CPU, whose results repeat bit for bit."""
    return all(m == machines[0] and m["device"] == "cpu" for m in machines)


def layers(net) -> list[Layer]:
    """Return the name, type, output_shape and number of parameters of each layer of a net.

    output_shape leaves out the batch. It is empty for a layer without exactly one known shape. Of a
    net or base that answers for several views, its own layers are named, each once.
    """
    own = {net.name, f"{net.name}_features"}
    found = []
    for layer in net.layers:
        is_own = layer.name in own and hasattr(layer, "layers")
        found += layer.layers[1:] if is_own else [layer]
    return [
        {
            "name": layer.name,
            "type": type(layer).__name__,
            "output_shape": _output_shape(layer),
            "parameters": int(layer.count_params()),
        }
        for layer in found
    ]


def _output_shape(layer) -> list[int]:
    try:
        return [int(s) for s in layer.output.shape[1:]]
    except (AttributeError, ValueError, TypeError):
        # A layer of a custom model may have several outputs or an unknown size.
        return []


def history_csv(history: list[dict]) -> bytes:
    """Return the epochs as CSV, without times, so that equal trainings give equal bytes."""
    text = io.StringIO()
    columns = list(history[0]) if history else ["epoch"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: repr(v) if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue().encode()


def history_of(content: bytes) -> list[dict]:
    """Return the epochs of a history.csv with exactly the numbers that were written.

    Raises:
        Damaged: it is not such a CSV.
    """
    try:
        rows = csv.DictReader(io.StringIO(content.decode()))
        return [{k: int(v) if k == "epoch" else float(v) for k, v in row.items()} for row in rows]
    except UNREADABLE as exc:
        raise Damaged(f"it is not a history: {exc}") from exc


def seal(result: Result) -> bytes:
    """Return a result as JSON, with one sha256 over its whole content."""
    sealed: SealedResult = {**result, "sha256": _digest(result)}
    return json.dumps(sealed, indent=1).encode()


def unseal(content: bytes) -> Result:
    """Return the result of a sealed JSON, without its sha256.

    Raises:
        Damaged: its hash does not match, or it is not a sealed result.
    """
    try:
        result = json.loads(content)
        digest = result.pop("sha256")
    except UNREADABLE as exc:
        raise Damaged(f"it is not a sealed result: {exc}") from exc
    if digest != _digest(result):
        raise Damaged("its hash does not match its content")
    return result


def _digest(result: Result) -> str:
    return sha256(json.dumps(result, sort_keys=True).encode())
