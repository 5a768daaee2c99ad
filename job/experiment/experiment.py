# pyright: strict, reportUnknownVariableType=false
"""The experiment: what is searched, trained and compared, and on which data."""

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from job.experiment.backbones import BACKBONES, DEPTHS
from job.experiment.kinds import Choice, Range, Space, Table, is_table, to_json
from job.experiment.sections import Data, Features, Final, Folds, Search, to_table
from job.sentences import show

STAGES = ("features", "trial", "fold", "final")
METRICS = {
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "f1_macro": "maximize",
    "log_loss": "minimize",
}
TPE_STARTUP_TRIALS = 10
TOLERANCE = 1e-9  # of 1 / 0.1 and the like
# How an experiment computes. A number never changes its meaning: old experiments keep their bits.
METHODS = {
    1: "the computation of the first versions, without the changes of method 2",
    2: "a base that takes smaller images gets them shrunk with antialiasing;"
    " the validation loss has the label smoothing of the training loss;"
    " weight decay skips biases and normalization parameters (variables of rank 0 and 1);"
    " macro averages skip a class that is neither present nor predicted;"
    " hyperband counts its brackets in whole numbers",
    3: "a frozen mobilenetv2 or vgg16 gives features from five depths",
}
NEWEST = max(METHODS)
# What a stored specification implies by leaving it out: the first versions had no such key.
IMPLIED = {"method": 1}


@dataclass(frozen=True)
class Experiment:
    """A checked experiment; `spec` is its canonical form, with every default filled in."""

    name: str
    seed: int
    threads: int
    # One of METHODS.
    method: int
    data: Data
    search: Search
    features: Features
    folds: Folds
    final: Final
    enqueue: tuple[Table, ...]
    # Model -> parameter -> fixed value, Choice or Range.
    models: dict[str, Table]
    references: tuple[Table, ...] = ()
    # False: the file leaves the method to the existing experiment, or to the newest method.
    says_method: bool = field(default=True, compare=False)
    # Settings without effect, which `prepare` reports.
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def spec(self) -> Table:
        """The canonical form: JSON-able; `specification.from_stored` makes an equal one of it."""
        method = {} if self.method == IMPLIED["method"] else {"method": self.method}
        models = {
            model: {key: to_json(value) for key, value in parameters.items()}
            for model, parameters in self.models.items()
        }
        return {
            "name": self.name,
            "seed": self.seed,
            "threads": self.threads,
            **method,
            "data": to_table(self.data),
            "search": to_table(self.search) | {"enqueue": list(self.enqueue)},
            "features": to_table(self.features),
            "folds": to_table(self.folds),
            "final": to_table(self.final),
            "models": models,
            "reference": list(self.references),
        }

    @property
    def fingerprint(self) -> str:
        """The sha256 of all that a result depends on.

        It leaves out what may grow (trials, seeds) and what no result depends on (references,
        shards).
        """
        spec = json.loads(json.dumps(self.spec))
        del spec["search"]["trials"]
        del spec["final"]["seeds"]
        del spec["reference"]
        del spec["features"]["shards"]
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()

    @property
    def direction(self) -> str:
        """The direction of the metric: `maximize` or `minimize`."""
        return METRICS[self.search.metric]

    @property
    def sign(self) -> int:
        """1 if a larger metric is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    @property
    def repeats(self) -> int:
        """How many trainings a trial has, each with another validation part."""
        return self.search.repeats or 1

    @property
    def most_repeats(self) -> int:
        """How many validation parts fit into the training part without a common image."""
        if isinstance(self.data.validation, str):  # shipped: there is one
            return 1
        return math.floor(1 / self.data.validation + TOLERANCE)

    def epochs(self, stage: str, model: str) -> int:
        """Return how many epochs a task trains for: a trial, those of all its repeats together."""
        if stage == "features":
            return 0
        return self.models[model]["epochs"] * (self.repeats if stage == "trial" else 1)

    def depths(self, model: str) -> int:
        """Return how many depths of a model's frozen base its features come from."""
        stated = self.models[model].get("depths")
        return stated or (DEPTHS.get(model, 1) if self.method >= 3 else 1)

    def space(self, model: str) -> dict[str, Space]:
        """Return what the search chooses for a model."""
        return {k: v for k, v in self.models[model].items() if isinstance(v, (Choice, Range))}

    def fixed(self, model: str) -> Table:
        """Return the values that the file or a default fixes for a model."""
        return {k: v for k, v in self.models[model].items() if not isinstance(v, (Choice, Range))}

    def frozen(self, model: str) -> bool:
        """Tell whether a model trains a head on stored features of a frozen base."""
        return model in BACKBONES and not self.models[model].get("unfreeze")

    def pretrained(self) -> list[str]:
        """Return the models that start from ImageNet weights."""
        return [m for m in self.models if m in BACKBONES]

    def factories(self) -> dict[str, Table]:
        """Return the table of each custom model, by model."""
        return {m: p for m, p in self.models.items() if "factory" in p}

    def task_counts(self, stage: str) -> dict[str, int]:
        """Return the number of tasks of a stage, by model in the order of the file."""
        if stage == "features":
            return {m: self.features.shards for m in self.models if self.frozen(m)}
        number: dict[str, int] = {
            "trial": self.search.trials,
            "fold": self.folds.count,
            "final": self.final.seeds,
        }
        return dict.fromkeys(self.models, number[stage])

    def plan(self) -> dict[str, dict[str, int]]:
        """Return the number of tasks of every stage, by stage and model."""
        return {stage: self.task_counts(stage) for stage in STAGES}


def differences(old: Table, new: Table, where: str = "") -> list[str]:
    """Return one "key: old -> new" for each leaf in which two specs differ.

    Args:
        old: the one specification, in canonical form.
        new: the other one.
        where: the dotted path of both within their specifications.
    """
    changes: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        before = old.get(key)
        after = new.get(key)
        path = f"{where}.{key}".lstrip(".")
        if _is_section(before) and _is_section(after):
            changes += differences(before, after, path)
        elif before != after:
            changes.append(f"{path}: {_show_leaf(old, key)} -> {_show_leaf(new, key)}")
    return changes


def _is_section(value: Any) -> TypeGuard[Table]:
    """Tell whether a value is a table of keys, not the range of one parameter."""
    return is_table(value) and "low" not in value


def _show_leaf(table: Table, key: str) -> str:
    return show(table[key]) if key in table else "absent"
