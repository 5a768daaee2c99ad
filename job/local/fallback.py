"""What `job local` does on a machine without the data or the weights: less, and it says so."""

import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from job.data.formats import cifar10
from job.errors import Invalid
from job.experiment.experiment import Experiment
from job.experiment.specification import from_stored
from job.learning import weights

PROBE_BYTES = 1 << 20
PROBE_S = 10.0
WHOLE_S = 180.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feasible:
    """The experiment this machine can run, and what was left out, one sentence each."""

    experiment: Experiment
    notices: tuple[str, ...]


def fit_to_machine(
    experiment: Experiment, location: str | None, weights_place: str | None, cache_dir: Path
) -> Feasible:
    """Return the experiment as it is, or on digits, or with fewer models.

    Args:
        experiment: What the file asks for.
        location: Path or URL of the data, if one is given; then it is never replaced.
        weights_place: Folder or URL of the weights, if one is given.
        cache_dir: Where earlier downloads are.

    Raises: Invalid when no model is left.
    """
    spec = experiment.spec
    notices = _leave_models_out(spec, experiment, weights_place, cache_dir)
    if not spec["models"]:
        raise Invalid(f"none of the models of {experiment.name} can run here: {' '.join(notices)}")
    if _lacks_data(experiment, location, cache_dir):
        notices.insert(0, _use_digits(spec, experiment))
    if not notices:
        return Feasible(experiment, ())
    known = {key for parameters in spec["models"].values() for key in parameters}
    spec["search"]["enqueue"] = [
        {key: value for key, value in point.items() if key in known}
        for point in spec["search"]["enqueue"]
    ]
    reduced = replace(from_stored(spec), says_method=experiment.says_method)
    return Feasible(reduced, tuple(notices))


def _leave_models_out(
    spec: dict, experiment: Experiment, weights_place: str | None, cache_dir: Path
) -> list[str]:
    """Remove the models without weights from a specification; return a sentence for each."""
    notices = []
    for model in experiment.pretrained():
        parameters = experiment.fixed(model)
        found = weights.find(model, parameters, weights_place, cache_dir)
        if found is not None or is_reachable(weights.url(model, parameters)):
            continue
        del spec["models"][model]
        spec["reference"] = [entry for entry in spec["reference"] if entry["model"] != model]
        name = weights.names(model, parameters)[0]
        notices.append(
            f"{model} is LEFT OUT: its ImageNet weights cannot be downloaded from this machine."
            f" With a file: make local WEIGHTS=<folder with {name}>"
        )
    return notices


def _lacks_data(experiment: Experiment, location: str | None, cache_dir: Path) -> bool:
    """Return whether CIFAR-10 is needed, and is neither given, cached nor reachable."""
    return (
        experiment.data.source == "cifar10"
        and location is None
        and cifar10.cached(cache_dir) is None
        and not is_reachable(cifar10.URL)
    )


def _use_digits(spec: dict, experiment: Experiment) -> str:
    """Replace the data of a specification by scikit-learn's digits; return a sentence about it."""
    spec["name"] = f"{experiment.name}-digits"[:40]
    data = {key: value for key, value in spec["data"].items() if key not in ("train", "test")}
    spec["data"] = data | {"source": "digits"}
    return (
        "This is NOT CIFAR-10: it could not be downloaded in reasonable time,"
        f" so {spec['name']} runs on scikit-learn's digits."
        " With the downloaded file: make local DATA=<path of cifar-10-python.tar.gz>"
    )


def is_reachable(url: str) -> bool:
    """Return whether a download is feasible.

    The first megabyte must arrive within 10 s, at a rate that ends within 3 minutes.
    """
    started = time.monotonic()
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=PROBE_S) as response:
            total = int(response.headers.get("Content-Length") or 0)
            wanted = min(PROBE_BYTES, total or PROBE_BYTES)
            while received < wanted and time.monotonic() - started < PROBE_S:
                block = response.read(1 << 16)
                if not block:
                    break
                received += len(block)
    except (OSError, urllib.error.URLError, ValueError) as exc:
        log.info("%s: %s", url, exc)
        return False
    elapsed = time.monotonic() - started
    is_fast = total * elapsed / max(received, 1) < WHOLE_S
    return received >= wanted and elapsed < PROBE_S and is_fast
