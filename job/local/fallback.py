"""What `job local` does on a machine without the data or the weights: something smaller, said loudly."""

import logging
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from job.data import cifar10
from job.errors import Invalid
from job.experiment.experiment import Experiment
from job.experiment.specification import stored
from job.learning import weights

PROBE_BYTES, PROBE_S, WHOLE_S = 1 << 20, 10.0, 180.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Possible:
    """The experiment this machine can run, and what was left out, as sentences."""

    experiment: Experiment
    notices: tuple[str, ...]


def possible(
    experiment: Experiment, location: str | None, weights_place: str | None, cache_dir: Path
) -> Possible:
    """Return the experiment as it is, or on digits, or with fewer models. Raises: Invalid when nothing is left."""
    spec, notices = experiment.spec, []
    for model in experiment.pretrained():
        parameters = experiment.fixed(model)
        if weights.find(model, parameters, weights_place, cache_dir) is None and not reachable(
            weights.url(model, parameters)
        ):
            del spec["models"][model]
            spec["reference"] = [r for r in spec["reference"] if r["model"] != model]
            notices.append(
                f"{model} is LEFT OUT: its ImageNet weights cannot be had from here. With a file: make local WEIGHTS=<folder with {weights.names(model, parameters)[0]}>"
            )
    if not spec["models"]:
        raise Invalid(f"none of the models of {experiment.name} can run here: {' '.join(notices)}")
    if (
        experiment.data["source"] == "cifar10"
        and location is None
        and cifar10.cached(cache_dir) is None
        and not reachable(cifar10.URL)
    ):
        spec["name"] = f"{experiment.name}-digits"[:40]
        spec["data"] = {k: v for k, v in spec["data"].items() if k not in ("train", "test")} | {
            "source": "digits"
        }
        notices.insert(
            0,
            f"This is NOT CIFAR-10: it could not be downloaded in reasonable time, so {spec['name']} runs on scikit-learn's digits. With the downloaded file: make local DATA=<path of cifar-10-python.tar.gz>",
        )
    if not notices:
        return Possible(experiment, ())
    known = {key for parameters in spec["models"].values() for key in parameters}
    spec["search"]["enqueue"] = [
        {k: v for k, v in point.items() if k in known} for point in spec["search"]["enqueue"]
    ]
    return Possible(replace(stored(spec), says_method=experiment.says_method), tuple(notices))


def reachable(url: str) -> bool:
    """Tell whether the first megabyte arrives within 10 s, at a rate that ends within 3 minutes."""
    started, received = time.monotonic(), 0
    try:
        with urllib.request.urlopen(url, timeout=PROBE_S) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while (
                received < min(PROBE_BYTES, total or PROBE_BYTES)
                and time.monotonic() - started < PROBE_S
            ):
                block = response.read(1 << 16)
                if not block:
                    break
                received += len(block)
    except (OSError, urllib.error.URLError, ValueError) as exc:
        log.info("%s: %s", url, exc)
        return False
    elapsed = time.monotonic() - started
    return (
        received >= min(PROBE_BYTES, total or PROBE_BYTES)
        and elapsed < PROBE_S
        and total * elapsed / max(received, 1) < WHOLE_S
    )
