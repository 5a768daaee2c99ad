# pyright: strict, reportUnknownVariableType=false
"""Hyperparameters: which ones each model has, each declared once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from job.experiment.backbones import BACKBONES
from job.experiment.kinds import Choice, Kind, Range, Space, Table

# The defaults were chosen on validation parts only (docs/measured/defaults.md).
COMMON = {
    "learning_rate": Kind(
        float, Range(1e-4, 1e-2, log=True), "the highest rate of the schedule", low=1e-8, high=10
    ),
    "batch_size": Kind(int, Choice((32, 64, 128)), "images per step", low=1, high=65536),
    "epochs": Kind(
        int,
        10,
        "passes over the training rows; every task trains all of them",
        low=1,
        high=100_000,
        tunable=False,
    ),
    "schedule": Kind(
        str,
        "cosine",
        "the rate stays, or falls to 0 along half a cosine or a line",
        options=("constant", "cosine", "linear"),
    ),
    "warmup": Kind(
        float,
        0.0,
        "fraction of all steps in which the rate rises from 0",
        low=0,
        high=0.9,
        implied=0.0,
    ),
    "optimizer": Kind(
        str,
        "adam",
        "`adamw` is another name for `adam`: weight decay is decoupled in every optimizer",
        options=("adam", "adamw", "sgd", "muon"),
        implied="adam",
    ),
    # Without an implied value: a factory of an older experiment may have a key of this name.
    "momentum": Kind(
        float,
        None,
        "Nesterov's, of `sgd` and `muon`; without it 0.9 and 0.95",
        low=0,
        high=1,
    ),
    "dropout": Kind(
        float, 0.3, "fraction of the last hidden units that a step ignores", low=0, high=0.95
    ),
    "weight_decay": Kind(
        float, 0.0, "of kernels and embeddings; other variables do not decay", low=0, high=10
    ),
    "clip_norm": Kind(
        float,
        0.0,
        "the largest norm of all gradients together; larger ones are scaled down; 0 for none",
        low=0,
        high=1e6,
        implied=0.0,
    ),
    "label_smoothing": Kind(
        float, 0.0, "fraction of each label that is spread over all classes", low=0, high=0.9
    ),
    "mixup": Kind(
        float,
        0.0,
        "alpha: each image is mixed with another of its batch, and so is its label; 0 for none",
        low=0,
        high=10,
        implied=0.0,
    ),
    "ema": Kind(
        float,
        0.0,
        "decay per step of moving averages of the weights, which are scored and published;"
        " 0 for none",
        low=0,
        high=0.99999,
        implied=0.0,
    ),
    "views": Kind(
        str,
        "none",
        "`mirror`: the prediction is the mean over an image and its mirror image, also in the"
        " published model; the features of a frozen base are computed for both",
        options=("none", "mirror"),
        tunable=False,
        implied="none",
    ),
    "class_weights": Kind(
        str,
        "none",
        "`balanced`: each class weighs the same in the loss, by the rows a split trains on;"
        " then use `balanced_accuracy` as metric",
        options=("none", "balanced"),
        implied="none",
    ),
    "dtype": Kind(
        str,
        "float32",
        "[precision](../guides/recipe.md#precision) in training",
        options=("float32", "mixed_bfloat16"),
        tunable=False,
        implied="float32",
    ),
}
AUGMENTED = {
    "augment": Kind(
        dict,
        {},
        "how training images are warped, see below; also for a base with `unfreeze`",
        tunable=False,
    ),
    "cutmix": Kind(
        float,
        0.0,
        "alpha: each image gets a rectangle of another of its batch, and that part of its label;"
        " 0 for none; also for a base with `unfreeze`",
        low=0,
        high=10,
        implied=0.0,
    ),
}
# Of a base with `unfreeze`, beside what all models have.
UNFROZEN = AUGMENTED | {
    "base_rate": Kind(
        float,
        1.0,
        "with `unfreeze`: the learning rate of the base, as a fraction of that of the head",
        low=0,
        high=1,
        implied=1.0,
    )
}
CNN = (
    COMMON
    | AUGMENTED
    | {
        "blocks": Kind(int, 3, "blocks of two convolutions and a pool", low=1, high=8),
        "width": Kind(
            int,
            32,
            "filters of the first block; each further block has twice as many",
            low=1,
            high=1024,
        ),
        "units": Kind(int, 128, "units of a hidden dense layer; 0 for none", low=0, high=65536),
    }
)


def _with_defaults(kinds: dict[str, Kind], defaults: Table) -> dict[str, Kind]:
    """Return kinds with other defaults. Their values are never left out of a specification."""
    changed = {key: replace(kinds[key], default=v, implied=None) for key, v in defaults.items()}
    return kinds | changed


WHITENET = _with_defaults(
    COMMON | AUGMENTED,
    {
        "learning_rate": Range(0.03, 0.3, log=True),
        "optimizer": "sgd",
        "schedule": "linear",
        "warmup": 0.2,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "dropout": 0.0,
    },
) | {
    "blocks": replace(
        CNN["blocks"],
        default=None,
        help="blocks of two convolutions and a pool; `whitenet` has by default as many as leave a"
        " map of at most 7 pixels per side: 3 for images of up to 64 px, 5 for 224 px",
    ),
    "width": replace(CNN["width"], default=48),
}
TRANSFER = COMMON | {
    "units": replace(CNN["units"], default=0),
    "input_size": Kind(
        int,
        96,
        "side in pixels of what the base sees; `inceptionv3` from 75, `xception` from 71",
        low=32,
        high=1024,
        tunable=False,
    ),
    "depths": Kind(
        int,
        None,
        "how many maps of a frozen base the features are means of: its last one and, side by side,"
        " those of earlier stages; without it 5 for `mobilenetv2` and `vgg16`, else 1",
        low=1,
        high=5,
        tunable=False,
    ),
    "unfreeze": Kind(
        int,
        None,
        "how many of the base's last layers are trained too",
        low=0,
        high=10_000,
        tunable=False,
        implied=0,
    ),
}
MODELS = {"whitenet": WHITENET, "cnn": CNN} | {
    name: TRANSFER
    | {
        "input_size": replace(TRANSFER["input_size"], low=backbone.least),
        "depths": replace(TRANSFER["depths"], high=1 + len(backbone.earlier)),
    }
    for name, backbone in BACKBONES.items()
}
MODELS["mobilenetv2"]["alpha"] = Kind(
    float,
    1.0,
    "width of the base",
    options=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    tunable=False,
)
# A custom model: its factory gets all of these except the first two, and every other key of the
# model's table.
CUSTOM = (
    {
        "factory": Kind(
            str, ..., "the function that builds the net: `package.module:function`", tunable=False
        ),
        "source": Kind(
            str, None, "hash of the factory's source; `prepare` fills it in", tunable=False
        ),
    }
    | COMMON
    | {"dropout": replace(COMMON["dropout"], default=None)}
    | AUGMENTED
)
AUGMENT = {
    "shift": Kind(float, 0.0, "fraction of height and width", low=0, high=0.9),
    "flip": Kind(bool, False, "mirror half of the images horizontally"),
    "rotation": Kind(float, 0.0, "degrees to either side", low=0, high=180),
    "zoom": Kind(float, 0.0, "fraction, in or out", low=0, high=0.9),
    "shear": Kind(float, 0.0, "fraction", low=0, high=0.9),
    "crop": Kind(
        int, 0, "whole pixels to either side, as padding and a random crop do", low=0, high=1024
    ),
    "brightness": Kind(float, 0.0, "fraction of the pixels' values, up or down", low=0, high=0.9),
    "contrast": Kind(
        float, 0.0, "fraction of the distance to the mean gray, up or down", low=0, high=0.9
    ),
    "randaugment": Kind(
        float,
        0.0,
        "strength of two operations that each image draws from RandAugment's 14; 0 for none",
        low=0,
        high=1,
    ),
    "cutout": Kind(
        float,
        0.0,
        "sides of a rectangle of the mean color, as a fraction of the image's",
        low=0,
        high=0.9,
    ),
}


def with_implied(parameters: Table) -> Table:
    """Return a model's parameters with those that a specification leaves out."""
    kinds = COMMON | AUGMENTED
    implied = {key: kind.implied for key, kind in kinds.items() if kind.implied is not None}
    return implied | parameters


class Searched(Protocol):
    """The part of an experiment that `corner` needs."""

    def fixed(self, model: str) -> Table:
        """Return the values that the file gives for a model."""
        ...

    def space(self, model: str) -> dict[str, Space]:
        """Return what the search chooses for a model."""
        ...


def corner(experiment: Searched, model: str, of: Callable[[tuple[Any, ...]], Any] = min) -> Table:
    """Return one point of a model's search.

    It takes the smallest number of every range and list (`of=max`: the largest), and the first
    value of every other list. The learning rate is always the smallest: a point that is only
    measured must not diverge.
    """
    point = experiment.fixed(model)
    for key, space in experiment.space(model).items():
        values = (space.low, space.high) if isinstance(space, Range) else space.values
        if isinstance(values[0], (str, bool)):
            point[key] = values[0]
        else:
            point[key] = min(values) if key == "learning_rate" else of(values)
    return point
