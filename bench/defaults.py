"""How the defaults were chosen: the accuracy of nets and recipes on CIFAR-10, a row each.

Each seed draws images of the training part to train on, and others of it to score. The test part
is never read. A row is a model's table in an experiment file; what it leaves out has its default.

python -m bench.defaults --data cifar-10-python.tar.gz --weights FOLDER [--seeds 3] [--only ROW ...]
"""

import argparse
import json
import math
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bench.pairs import machine

TRAINED = 4000  # images
SCORED = 6000
AT_ONCE = 2  # trainings, of one thread each
AUGMENT = {"flip": True, "crop": 2}
CNN = {"learning_rate": 0.000875, "batch_size": 32, "epochs": 14}
WHITENET = {"learning_rate": 0.1, "batch_size": 64, "epochs": 8, "augment": AUGMENT}
ADAMW = {"optimizer": "adamw", "learning_rate": 0.003}
HEAD = {"learning_rate": 0.002, "batch_size": 64, "epochs": 10}
MOBILENET = HEAD | {"input_size": 96}
VGG = HEAD | {"input_size": 32}
# Name -> model, and its table.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn, as in original.toml": ("cnn", CNN | {"augment": {"shift": 0.1, "flip": True}}),
    "whitenet": ("whitenet", WHITENET),
    "whitenet, mirrored views": ("whitenet", WHITENET | {"views": "mirror"}),
    "whitenet, AdamW": ("whitenet", WHITENET | ADAMW),
    "whitenet, no augmentation": ("whitenet", WHITENET | {"augment": {}}),
    "whitenet, interpolated shift": (
        "whitenet",
        WHITENET | {"augment": {"flip": True, "shift": 0.0625}},
    ),
    "whitenet, cutout": ("whitenet", WHITENET | {"augment": AUGMENT | {"cutout": 0.25}}),
    "whitenet, mixup": ("whitenet", WHITENET | {"mixup": 0.2}),
    "whitenet, cutmix": ("whitenet", WHITENET | {"cutmix": 1.0}),
    "whitenet, averaged weights": ("whitenet", WHITENET | {"ema": 0.99}),
    "whitenet, cosine": ("whitenet", WHITENET | {"schedule": "cosine"}),
    "whitenet, no warm-up": ("whitenet", WHITENET | {"warmup": 0.0}),
    "whitenet, no label smoothing": ("whitenet", WHITENET | {"label_smoothing": 0.0}),
    "whitenet, no weight decay": ("whitenet", WHITENET | {"weight_decay": 0.0}),
    "whitenet, narrower, 16 epochs": ("whitenet", WHITENET | {"width": 32, "epochs": 16}),
    "mobilenetv2, one depth": ("mobilenetv2", MOBILENET | {"depths": 1}),
    "mobilenetv2, five depths": ("mobilenetv2", MOBILENET | {"depths": 5}),
    "mobilenetv2, five depths, mirrored views": (
        "mobilenetv2",
        MOBILENET | {"depths": 5, "views": "mirror"},
    ),
    "vgg16, one depth": ("vgg16", VGG | {"depths": 1}),
    "vgg16, five depths": ("vgg16", VGG | {"depths": 5}),
    "vgg16, five depths, mirrored views": ("vgg16", VGG | {"depths": 5, "views": "mirror"}),
}


def measure(name: str, seed: int, data: Path, weights: Path | None) -> tuple[float, float]:
    """Train one row once; return its accuracy on the scored images, and its CPU seconds.

    The seconds are those of the training, and of the features of all images.
    """
    from job.data.formats import cifar10
    from job.experiment.parameters import with_implied
    from job.experiment.specification import parse
    from job.learning.backend import keras
    from job.learning.interface import Examples, Hooks
    from job.learning.models.build import adapt, build, build_base
    from job.learning.train import predict, set_up, train
    from job.learning.views import averaged

    model, table = ROWS[name]
    tree = {"name": "defaults", "data": {"source": "cifar10"}, "models": {model: table}}
    experiment = parse(tree)
    parameters = experiment.fixed(model)
    set_up(1)
    _, part, _ = cifar10.read(data)
    rows = np.random.default_rng(seed).permutation(len(part.labels))[: TRAINED + SCORED]
    inputs = part.images[rows]
    labels = part.labels[rows].astype(np.int64)
    started = time.process_time()
    if experiment.frozen(model):
        file = f"{model}_1.0_224" if model == "mobilenetv2" else model
        if weights is None:
            raise SystemExit(f"{name}: expected --weights, a folder with {file}_no_top.weights.h5")
        path = weights / f"{file}_no_top.weights.h5"
        inputs = predict(build_base(experiment, model, inputs.shape[1:], path), inputs)
    training = Examples(inputs, labels, np.arange(TRAINED))
    keras.utils.set_random_seed(seed)
    net = build(experiment, model, parameters, inputs.shape[1:], 10, None)
    adapt(model, net, training, seed)
    train(net, parameters, training, None, seed, Hooks(), method=experiment.method)
    seconds = time.process_time() - started
    scored = averaged(net, with_implied(parameters))
    probabilities = predict(scored, inputs, np.arange(TRAINED, len(rows)))
    return float((probabilities.argmax(1) == labels[TRAINED:]).mean()), seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.defaults", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="cifar-10-python.tar.gz")
    parser.add_argument("--weights", type=Path, help="the folder with ImageNet weights")
    parser.add_argument("--seeds", type=int, default=3, help="trainings per row")
    parser.add_argument("--only", nargs="*", choices=ROWS, help="measure only these rows")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder for the JSON")
    return parser


def main() -> None:
    """Measure the rows; print a table as rows end, and write it as JSON."""
    chosen = _parser().parse_args()
    names = chosen.only or list(ROWS)
    chosen.out.mkdir(parents=True, exist_ok=True)
    measured = {}
    print(f"{date.today()}, {machine()}\n| row | accuracy | standard error | n | CPU s |")
    print("|---|---|---|---|---|")
    with ProcessPoolExecutor(AT_ONCE, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = {
            name: [
                pool.submit(measure, name, seed, chosen.data, chosen.weights)
                for seed in range(1, chosen.seeds + 1)
            ]
            for name in names
        }
        for name, runs in futures.items():
            results = [run.result() for run in runs]
            accuracies = [accuracy for accuracy, _ in results]
            error = "unknown"
            if len(runs) > 1:
                error = f"{statistics.stdev(accuracies) / math.sqrt(len(runs)):.4f}"
            seconds = statistics.mean(seconds for _, seconds in results)
            measured[name] = {"model": ROWS[name][0], "table": ROWS[name][1], "runs": results}
            row = f"{statistics.mean(accuracies):.4f} | {error} | {len(runs)} | {seconds:.0f}"
            print(f"| {name} | {row} |", flush=True)
    (chosen.out / "defaults.json").write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
