"""One model measured, in a process of its own: `python -m job.preflight.probe` reads a request (JSON) and prints what it found.

Like this an out-of-memory kill names its model, and the other models are measured all the same.
"""

import json
import sys
import time
from pathlib import Path

from job.errors import Interrupted, JobError
from job.experiment.experiment import Experiment
from job.experiment.parameters import Range, corner
from job.experiment.specification import stored
from job.learning import provenance
from job.sentences import outside

TIMED_S, MOST_STEPS = 5.0, 9  # of one batch size: the first step traces, at least one more is timed
NOT_THE_NET = ("learning_rate", "batch_size", "schedule", "weight_decay", "label_smoothing")


def measure(
    experiment: Experiment,
    model: str,
    image_shape: tuple[int, int, int],
    classes: int,
    weights: Path | None,
) -> dict:
    """Train a model a few steps on random images, at the costliest point of its search.

    Returns: parameters (count), point, step_s by batch size (the smallest and the largest), predict_s of a batch of predict_batch,
        features_s of a batch of the same size through a frozen base (else 0), memory_bytes (the most held), device.
    Raises: Invalid, JobError.
    """
    import numpy as np

    from job.learning.models import transfer
    from job.learning.models.build import build
    from job.learning.train import PREDICT_BATCH, predict, set_up

    set_up(experiment.threads)
    if model in experiment.factories():
        from job.learning import custom_check

        custom_check.prove(experiment, model, image_shape, classes)
    point, features_s = costliest(experiment, model, image_shape, classes), 0.0
    images = np.random.default_rng(0).integers(0, 256, (PREDICT_BATCH, *image_shape), np.uint8)
    inputs, parameters = images, 0
    if experiment.frozen(model):
        base = transfer.base(model, point, image_shape, weights, method=experiment.method)
        inputs, features_s = _second(lambda: predict(base, images))
        parameters = base.count_params()
    sizes = experiment.space(model).get("batch_size", point["batch_size"])
    step_s = {}
    for batch in dict.fromkeys((point["batch_size"], least(sizes))):
        net = build(experiment, model, point, inputs.shape[1:], classes, weights)
        step_s[batch] = _step_s(
            net, point | {"batch_size": batch, "epochs": 1}, inputs, classes, experiment.method
        )
        if batch == point["batch_size"]:
            predict_s = _second(lambda net=net: predict(net, inputs))[1]
            memory = provenance.peak_memory()
            parameters += net.count_params()
    return {
        "parameters": parameters,
        "point": {
            k: v for k, v in point.items() if k in experiment.space(model) and k not in NOT_THE_NET
        },
        "step_s": step_s,
        "predict_s": predict_s,
        "predict_batch": PREDICT_BATCH,
        "features_s": features_s,
        "memory_bytes": memory,
        "device": provenance.device(),
    }


def costliest(
    experiment: Experiment, model: str, image_shape: tuple[int, int, int], classes: int
) -> dict:
    """Return the point of a search that is measured: the largest of every number; of an own model's own keys, one after
    the other, the listed value or end of a range with the most parameters."""
    point = corner(experiment, model, max)
    if model not in experiment.factories():
        return point
    from job.learning.models import custom

    for key, space in experiment.space(model).items():
        if key not in NOT_THE_NET:
            values = (space.low, space.high) if isinstance(space, Range) else space.values
            counts = {
                v: custom.build(point | {key: v}, image_shape, classes).count_params()
                for v in values
            }
            point[key] = max(counts, key=counts.get)
    return point


def least(space) -> int:
    """Return the smallest batch size of a search, or the fixed one."""
    return space.low if isinstance(space, Range) else min(getattr(space, "values", (space,)))


def _step_s(net, parameters: dict, inputs, classes: int, method: int) -> float:
    """Return the seconds of a training step, the mean of those after the first."""
    import numpy as np

    from job.learning.train import Examples, Hooks, train

    ended = []

    def check():
        ended.append(time.monotonic())
        if len(ended) > 1 and ended[-1] - ended[0] > TIMED_S:
            raise Interrupted("timed")

    rows = np.arange(parameters["batch_size"] * MOST_STEPS) % len(inputs)
    examples = Examples(inputs, np.arange(len(inputs)) % classes, rows)
    try:
        train(net, parameters, examples, None, 0, Hooks(check=check), method=method)
    except Interrupted:
        pass
    return (ended[-1] - ended[0]) / (len(ended) - 1)


def _second(call):
    """Return what a call returns, and the seconds of its second time: the first one traces."""
    call()
    started = time.monotonic()
    return call(), time.monotonic() - started


def answer(request: dict) -> dict:
    """Return what was measured, or why it could not be; without a model, the device."""
    try:
        if request["model"] is None:
            return {"machine": provenance.machine()}
        weights = Path(request["weights"]) if request["weights"] else None
        experiment = stored(request["spec"])
        return measure(
            experiment, request["model"], tuple(request["image_shape"]), request["classes"], weights
        )
    except JobError as exc:
        return {"error": str(exc), "code": exc.exit_code}
    except Exception as exc:
        if known := outside(exc):
            return {"error": str(known), "code": known.exit_code}
        from job.learning.train import out_of_memory  # TensorFlow comes with it

        if out_of_memory(exc):
            return {"error": "out of memory", "code": 1}
        return {
            "error": f"{type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}",
            "code": 1,
        }


if __name__ == "__main__":
    print("\n" + json.dumps(answer(json.load(sys.stdin))))
