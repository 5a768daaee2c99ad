# pyright: strict
"""The sections of an experiment file, as `specification` checked them.

The fields are the keys of `keys.SECTIONS`, in its order: that of the canonical form.
"""

from dataclasses import dataclass

from job.experiment.kinds import Table

SHIPPED = "shipped"  # `data.validation`: the part that the source ships for it


@dataclass(frozen=True)
class Data:
    """[data]: which images, and how they are cut into parts.

    Attributes:
        source: a name of ours (`digits`, `cifar10`), a path or a URL.
        train: training images to keep, at least 2; None keeps all.
        test: test images to keep or to hold out, at least 1; None keeps all that are shipped.
        holdout: fraction of the images that becomes the test part where none is shipped.
        validation: fraction of the training part on which trials are compared, or `SHIPPED`.
        image_size: side of a square in pixels, or (height, width); None keeps the size.
        fit: `crop` or `pad` to keep proportions where images get another shape; None stretches.
        groups: what names the group of each image; None for no groups.
        labels: what names the class of each image; None for what the format has.
        damaged: `skip` to leave out image files that cannot be read; None to refuse them.
        nested: `join` to call a class after all folders above its images; None to refuse those.
    """

    source: str
    train: int | None
    test: int | None
    holdout: float
    validation: float | str
    image_size: int | tuple[int, int] | None
    fit: str | None
    groups: str | None
    labels: str | None
    damaged: str | None
    nested: str | None


@dataclass(frozen=True)
class Search:
    """[search]: how the parameters of each model are chosen.

    Attributes:
        trials: trials per model, at least 1; may grow.
        metric: one of `METRICS`, by which trials, selections and models are compared.
        sampler: `tpe` or `random`.
        pruner: `none`, `median` or `hyperband`.
        min_epochs: epochs that every trial trains before it can be pruned, at least 1.
        repeats: trainings per trial, each with another validation part; None for one.
    """

    trials: int
    metric: str
    sampler: str
    pruner: str
    min_epochs: int
    repeats: int | None


@dataclass(frozen=True)
class Features:
    """[features]: the stage that runs frozen bases once.

    Attributes:
        shards: tasks that share the images of a base, at least 1.
    """

    shards: int


@dataclass(frozen=True)
class Folds:
    """[folds]: cross-validation with the selected parameters.

    Attributes:
        count: folds per model, at least 2; each is left out once.
    """

    count: int


@dataclass(frozen=True)
class Final:
    """[final]: training on the whole training part.

    Attributes:
        seeds: finals per model, at least 1; the one of seed 0 is published. May grow.
    """

    seeds: int


def to_table(section: Data | Search | Features | Folds | Final) -> Table:
    """Return a section as TOML and JSON have it; what is not given is left out."""
    values: dict[str, int | float | str | tuple[int, int] | None] = vars(section)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value is not None
    }
