"""The experiment: what is searched, trained and compared, and on which data."""

import hashlib
import json
from dataclasses import dataclass, field

from job.experiment.backbones import BACKBONES
from job.experiment.parameters import Choice, Range, to_json
from job.sentences import show

STAGES = ("features", "trial", "fold", "final")
METRICS = {
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "f1_macro": "maximize",
    "log_loss": "minimize",
}
TPE_STARTUP_TRIALS = 10
METHODS = {  # how an experiment computes; a number never changes its meaning, so that old experiments keep their bits
    1: "as the first versions did: none of what 2 changes",
    2: "images that a base takes smaller are shrunk with antialiasing; the validation loss has the label smoothing of the training loss;"
    " weight decay leaves out biases and what normalises (variables of rank 0 and 1); macro averages leave out a class that is neither"
    " there nor predicted; hyperband counts its brackets in whole numbers",
}
NEWEST = max(METHODS)
UNSAID = {
    "method": 1
}  # what a stored specification leaves out: those of the first versions have no such key


@dataclass(frozen=True)
class Experiment:
    """A checked experiment; `spec` is its canonical form, every default filled in."""

    name: str
    seed: int
    threads: int
    method: int  # one of METHODS
    data: dict
    search: dict
    features: dict
    folds: dict
    final: dict
    enqueue: tuple[dict, ...]
    models: dict[str, dict]  # model -> parameter -> fixed value, Choice or Range
    references: tuple[dict, ...] = ()
    says_method: bool = field(
        default=True, compare=False
    )  # False: a file leaves it to the experiment that exists, or to the newest
    notes: tuple[str, ...] = field(
        default=(), compare=False
    )  # settings without effect, for `prepare` to say

    @property
    def spec(self) -> dict:
        """The canonical form: JSON-able, and `specification.stored` of it gives this experiment again."""
        return {
            "name": self.name,
            "seed": self.seed,
            "threads": self.threads,
            **({} if self.method == UNSAID["method"] else {"method": self.method}),
            "data": _without_none(self.data),
            "search": self.search | {"enqueue": list(self.enqueue)},
            "features": self.features,
            "folds": self.folds,
            "final": self.final,
            "models": {m: {k: to_json(v) for k, v in p.items()} for m, p in self.models.items()},
            "reference": list(self.references),
        }

    @property
    def fingerprint(self) -> str:
        """sha256 over all that a result depends on: not over what may grow or only stands beside it."""
        spec = json.loads(json.dumps(self.spec))
        del (
            spec["search"]["trials"],
            spec["final"]["seeds"],
            spec["reference"],
            spec["features"]["shards"],
        )
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`, as the metric wants it."""
        return METRICS[self.search["metric"]]

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, else -1."""
        return 1 if self.direction == "maximize" else -1

    def space(self, model: str) -> dict[str, Choice | Range]:
        """What the search chooses for a model."""
        return {k: v for k, v in self.models[model].items() if isinstance(v, (Choice, Range))}

    def fixed(self, model: str) -> dict:
        """What is given for a model."""
        return {k: v for k, v in self.models[model].items() if not isinstance(v, (Choice, Range))}

    def frozen(self, model: str) -> bool:
        """Tell whether a model trains a head on stored features of a frozen base."""
        return model in BACKBONES and not self.models[model].get("unfreeze")

    def pretrained(self) -> list[str]:
        """Return the models that begin with ImageNet weights."""
        return [m for m in self.models if m in BACKBONES]

    def factories(self) -> dict[str, dict]:
        """Return the table of each model that comes from a user's own factory."""
        return {m: p for m, p in self.models.items() if "factory" in p}

    def tasks_of(self, stage: str) -> dict[str, int]:
        """How many tasks a stage has, by model in the order of the file."""
        number = {
            "trial": self.search["trials"],
            "fold": self.folds["count"],
            "final": self.final["seeds"],
        }
        if stage == "features":
            return {m: self.features["shards"] for m in self.models if self.frozen(m)}
        return dict.fromkeys(self.models, number[stage])

    def plan(self) -> dict[str, dict[str, int]]:
        """How many tasks each stage has, by model."""
        return {stage: self.tasks_of(stage) for stage in STAGES}


def differences(old: dict, new: dict, where: str = "") -> list[str]:
    """Return one "key: old -> new" for each leaf in which two specs differ."""
    found = []
    for key in dict.fromkeys([*old, *new]):
        a, b, path = old.get(key), new.get(key), f"{where}.{key}".lstrip(".")
        if isinstance(a, dict) and isinstance(b, dict) and "low" not in a and "low" not in b:
            found += differences(a, b, path)
        elif a != b:
            found.append(
                f"{path}: {show(a) if key in old else 'absent'} -> {show(b) if key in new else 'absent'}"
            )
    return found


def _without_none(values: dict) -> dict:
    return {k: v for k, v in values.items() if v is not None}
