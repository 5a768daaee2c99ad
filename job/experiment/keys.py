# pyright: strict, reportUnknownVariableType=false
"""The keys of an experiment file outside its models, each declared once."""

from typing import Any

from job.experiment.experiment import METRICS, NEWEST
from job.experiment.kinds import Kind, is_list
from job.experiment.sections import SHIPPED


class Size(Kind):
    """A side of a square in pixels, or [height, width]."""

    def check(self, value: Any, where: str) -> Any:
        """Return one side, or height and width, each checked. Raises: Invalid."""
        check_side = super().check
        if is_list(value) and len(value) == 2:
            return (check_side(value[0], where), check_side(value[1], where))
        return check_side(value, where)

    def expected(self) -> str:
        """Return the valid values in words."""
        return f"{super().expected()}, the side of a square, or [height, width]"


class Fraction(Kind):
    """A fraction, or the word for a part that the source ships."""

    def check(self, value: Any, where: str) -> Any:
        """Return the fraction or the word, checked. Raises: Invalid."""
        return value if value == SHIPPED else super().check(value, where)

    def expected(self) -> str:
        """Return the valid values in words."""
        return f'{super().expected()}, or "{SHIPPED}"'


# Section -> key -> what it may be; "" is the top level.
SECTIONS: dict[str, dict[str, Kind]] = {
    "": {
        "name": Kind(str, ..., "1-40 of a-z, 0-9 and `-`"),
        "seed": Kind(int, 0, "of all random numbers", low=0, high=2**31 - 1),
        "threads": Kind(
            int, 2, "TensorFlow's threads per task; they change the bits", low=1, high=1024
        ),
        "method": Kind(
            int,
            NEWEST,
            "the [revision of the method](../explanation/method.md#revisions);"
            " an existing experiment keeps its own",
            low=1,
            high=NEWEST,
        ),
    },
    "data": {
        "source": Kind(
            str,
            ...,
            "`cifar10`, `digits`, or the path or URL of [your data](../guides/your-data.md);"
            " a path is relative to the working directory",
        ),
        "train": Kind(
            int,
            None,
            "images of a stratified slice of the training part; without it, all",
            low=2,
            high=10**9,
        ),
        "test": Kind(
            int,
            None,
            "images of a stratified slice of the test part; without it, all",
            low=1,
            high=10**9,
        ),
        "holdout": Kind(
            float,
            0.2,
            "fraction held out as test part where the source ships none",
            low=0.01,
            high=0.9,
        ),
        "validation": Fraction(
            float,
            0.2,
            "fraction of the training part on which trials are compared; `shipped`: the"
            " validation part that the source ships",
            low=0.01,
            high=0.9,
        ),
        "image_size": Size(
            int,
            None,
            "size to stage, in pixels; without it the native one, if all are equal",
            low=8,
            high=2048,
        ),
        "fit": Kind(
            str,
            "stretch",
            "how images get another shape: `stretch` them, `crop` to the middle, or `pad` with"
            " black",
            options=("stretch", "crop", "pad"),
            implied="stretch",
        ),
        "groups": Kind(
            str,
            None,
            "CSV `image,group` in or beside the data (of an `.npz` its arrays, of records their"
            " column); each group is on one side of every split",
        ),
        "labels": Kind(
            str,
            None,
            "CSV or JSON lines in or beside the data, with columns for file and label, instead of"
            " [class folders](../guides/your-data.md#labels-from-a-table); of"
            " [records](../guides/your-data.md#records) their column; of CIFAR-100 `fine` or"
            " `coarse`",
        ),
        "damaged": Kind(
            str,
            "refuse",
            "image files that cannot be read: `refuse` names them all, `skip` leaves them out",
            options=("refuse", "skip"),
            implied="refuse",
        ),
        "nested": Kind(
            str,
            "refuse",
            "folders within class folders: `refuse` them, or `join` their names to a class such as"
            " `animals/cat`",
            options=("refuse", "join"),
            implied="refuse",
        ),
    },
    "search": {
        "trials": Kind(int, 10, "trials per model", low=1, high=1_000_000),
        "metric": Kind(str, "accuracy", "the score that decides", options=tuple(METRICS)),
        "sampler": Kind(
            str,
            "tpe",
            "what draws the parameters; TPE starts after 10 trials",
            options=("tpe", "random"),
        ),
        "pruner": Kind(
            str, "none", "what ends weak trials early", options=("none", "median", "hyperband")
        ),
        "min_epochs": Kind(int, 1, "epochs before a trial is judged", low=1, high=100_000),
        "repeats": Kind(
            int,
            None,
            "trainings per trial, each scored on another validation part, all together as one;"
            " without it, 1",
            low=1,
            high=100,
            implied=1,
        ),
    },
    "features": {
        "shards": Kind(int, 1, "tasks of the features stage, per model", low=1, high=10_000)
    },
    "folds": {"count": Kind(int, 5, "folds, per model", low=2, high=1000)},
    "final": {
        "seeds": Kind(int, 1, "finals per model, each with a seed of its own", low=1, high=1000)
    },
}
