"""One model, measured in a separate process.

`python -m job.preflight.probe` reads a request (JSON) and prints what it measured. This way an
out-of-memory kill names its model, and the other models are still measured.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from job.errors import OUT_OF_MEMORY, Infeasible, Interrupted, JobError
from job.experiment.experiment import Experiment
from job.experiment.kinds import Range, Space
from job.experiment.parameters import corner, with_implied
from job.experiment.specification import from_stored
from job.learning import provenance
from job.sentences import machine_error

if TYPE_CHECKING:
    import numpy as np

# Seconds of training for one batch size.
TIMED_S = 5.0
# For one batch size: the first step traces, at least one more is timed.
MOST_STEPS = 9
NOT_THE_NET = ("learning_rate", "batch_size", "schedule", "weight_decay", "label_smoothing")
Result = TypeVar("Result")


def measure(
    experiment: Experiment,
    model: str,
    image_shape: tuple[int, int, int],
    classes: int,
    weights: Path | None,
) -> dict[str, Any]:
    """Train a model for a few steps on random images, at the costliest point of its search.

    Args:
        experiment: the experiment.
        model: one of its models.
        image_shape: height, width and channels of the images.
        classes: number of classes.
        weights: file with the weights of a pretrained base.

    Returns:
        parameters: number of parameters, the frozen base included.
        point: the measured values of the keys that change the network.
        step_s: seconds per training step, by batch size (the largest and the smallest).
        predict_s: seconds to predict a batch of predict_batch images.
        features_s: seconds of the same batch through a frozen base, else 0.
        memory_bytes: peak memory.
        device: name of the device.

    Raises: Invalid, JobError.
    """
    import numpy as np

    from job.learning.models.build import build
    from job.learning.train import PREDICT_BATCH, predict, set_up
    from job.learning.views import averaged

    set_up(experiment.threads)
    if model in experiment.factories():
        from job.learning import custom_check

        custom_check.prove(experiment, model, image_shape, classes)
    space = experiment.space(model)
    point = costliest(experiment, model, image_shape, classes)
    images = np.random.default_rng(0).integers(0, 256, (PREDICT_BATCH, *image_shape), np.uint8)
    inputs, features_s, base = _through_base(experiment, model, images, weights)

    def time_batch(batch: int) -> tuple[Any, float]:
        chosen = point | {"batch_size": batch, "epochs": 1}
        keys = [*_searched(point, space), "batch_size"]
        with _memory_suffices({key: chosen[key] for key in keys}):
            net = build(experiment, model, point, inputs.shape[1:], classes, weights)
            return net, _time_step(net, chosen, inputs, classes, experiment.method)

    largest = point["batch_size"]
    smallest = least(space["batch_size"]) if "batch_size" in space else largest
    net, seconds = time_batch(largest)
    step_s = {largest: seconds}
    scored = averaged(net, with_implied(point))
    _, predict_s = _time_second(partial(predict, scored, inputs))
    memory = provenance.peak_memory()
    parameters = net.count_params()
    if base is not None:
        parameters += base.count_params()
    # The second network may need the memory of the first.
    del net, scored
    if smallest != largest:
        _, step_s[smallest] = time_batch(smallest)
    return {
        "parameters": parameters,
        "point": {key: point[key] for key in _searched(point, space)},
        "step_s": step_s,
        "predict_s": predict_s,
        "predict_batch": PREDICT_BATCH,
        "features_s": features_s,
        "memory_bytes": memory,
        "device": provenance.device(),
    }


def _searched(point: dict[str, Any], space: dict[str, Space]) -> list[str]:
    """Return the keys of a point that are searched and change the net."""
    return [key for key in point if key in space and key not in NOT_THE_NET]


@contextmanager
def _memory_suffices(point: dict[str, Any]) -> Iterator[None]:
    """Raise `Infeasible` where a net or its step does not fit into the memory, naming the point."""
    from job.learning.train import out_of_memory

    try:
        yield
    except Exception as exc:
        if not out_of_memory(exc):
            raise
        values = ", ".join(f"{key} {value}" for key, value in point.items())
        raise Infeasible(
            f"{OUT_OF_MEMORY} at the costliest point ({values}): a trial like it ends as"
            " infeasible, a fold or final would fail;"
            " give the process more, or search smaller batches and nets"
        ) from exc


def costliest(
    experiment: Experiment, model: str, image_shape: tuple[int, int, int], classes: int
) -> dict[str, Any]:
    """Return the point of a search that is measured.

    It takes the largest of every number. For each key of a custom model, one after the other, it
    takes the listed value or end of a range with the most parameters.
    """
    point = corner(experiment, model, max)
    if model not in experiment.factories():
        return point
    from job.learning.models import custom

    for key, space in experiment.space(model).items():
        if key in NOT_THE_NET:
            continue
        values = (space.low, space.high) if isinstance(space, Range) else space.values
        counts = {
            v: custom.build(point | {key: v}, image_shape, classes).count_params() for v in values
        }
        point[key] = max(counts, key=lambda v: counts[v])
    return point


def least(batch_sizes: Space) -> int:
    """Return the smallest batch size of a search."""
    if isinstance(batch_sizes, Range):
        return int(batch_sizes.low)
    return min(batch_sizes.values)


def _through_base(
    experiment: Experiment,
    model: str,
    images: "np.ndarray",
    weights: Path | None,
) -> tuple["np.ndarray", float, Any]:
    """Return the features of the images, their seconds, and the frozen base.

    Without a frozen base these are the images, 0 and None.
    """
    from job.learning.models.build import build_base
    from job.learning.train import predict

    if not experiment.frozen(model):
        return images, 0.0, None
    base = build_base(experiment, model, images.shape[1:], weights)
    features, seconds = _time_second(partial(predict, base, images))
    return features, seconds, base


def _time_step(
    net: Any, parameters: dict[str, Any], inputs: "np.ndarray", classes: int, method: int
) -> float:
    """Return the seconds of a training step, as the mean of those after the first."""
    import numpy as np

    from job.learning.train import Examples, Hooks, train

    ends: list[float] = []

    def offer(_take: object) -> None:
        ends.append(time.monotonic())
        if len(ends) > 1 and ends[-1] - ends[0] > TIMED_S:
            raise Interrupted("timed")

    rows = np.arange(parameters["batch_size"] * MOST_STEPS) % len(inputs)
    examples = Examples(inputs, np.arange(len(inputs)) % classes, rows)
    with suppress(Interrupted):
        train(net, parameters, examples, None, 0, Hooks(offer), method=method)
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def _time_second(call: Callable[[], Result]) -> tuple[Result, float]:
    """Return the result of a second call and its seconds: the first call traces."""
    call()
    started = time.monotonic()
    return call(), time.monotonic() - started


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the measurement of a model, or `error` and `code`; without a model, the device."""
    try:
        if request["model"] is None:
            return {"machine": provenance.machine()}
        weights = Path(request["weights"]) if request["weights"] else None
        experiment = from_stored(request["spec"])
        shape = tuple(request["image_shape"])
        return measure(experiment, request["model"], shape, request["classes"], weights)
    except JobError as exc:
        return {"error": str(exc), "code": exc.exit_code}
    except Exception as exc:
        if known := machine_error(exc):
            return {"error": str(known), "code": known.exit_code}
        return {"error": _describe(exc), "code": 1}


def _describe(exc: Exception) -> str:
    # TensorFlow comes with this import.
    from job.learning.train import out_of_memory

    if out_of_memory(exc):
        return "out of memory"
    first_line = str(exc).splitlines()[0] if str(exc) else ""
    return f"{type(exc).__name__}: {first_line}"


if __name__ == "__main__":
    print("\n" + json.dumps(answer(json.load(sys.stdin))))
