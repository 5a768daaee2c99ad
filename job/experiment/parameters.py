# pyright: strict, reportUnknownVariableType=false
"""Hyperparameters: what each model has, which values are valid, and what a search may choose.

One rule: a number or string is fixed, a list is a choice, `{low, high, log, step}` is a range.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeGuard

from job.errors import Invalid
from job.experiment.backbones import BACKBONES
from job.sentences import nearest, show

# A table of a TOML file, or the same from JSON.
Table = dict[str, Any]
# A value that a list of choices may hold.
Plain = bool | int | float | str
WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    dict: "a table",
    bool: "true or false",
}


def is_table(value: object) -> TypeGuard[Table]:
    """Tell whether a value read from TOML or JSON is a table: its keys are always strings."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a value read from TOML or JSON is a list."""
    return isinstance(value, list)


@dataclass(frozen=True)
class Choice:
    """One of `values`, in the order of the file."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; whole if both ends are whole.

    `log`: search its logarithm. `step`: only low, low + step, ...
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Tell whether the range holds whole numbers only."""
        return all(isinstance(v, int) for v in (self.low, self.high, self.step) if v is not None)


Space = Choice | Range


@dataclass(frozen=True)
class Kind:
    """What one hyperparameter may be: type, bounds, default, and whether a search may choose it.

    A default of `...` makes the key required; with `None` the key is left out.
    """

    type: type
    default: Any
    low: float = -math.inf
    high: float = math.inf
    options: tuple[str, ...] = ()
    tunable: bool = True

    def check(self, value: Any, where: str) -> Any:
        """Return `value` in this kind's type. Raises: Invalid, naming `where` and the value."""
        value = self._widened(value)
        if self._has_type(value) and self._is_allowed(value):
            return value
        unknown_option = self.options and self._has_type(value)
        hint = nearest(value, self.options) if unknown_option else ""
        raise Invalid(f"{where} = {show(value)}{hint}: expected {self.expected()}")

    def expected(self) -> str:
        """Return the valid values in words."""
        if self.options:
            return "one of " + ", ".join(self.options)
        word = WORDS[self.type]
        if self.low == -math.inf and self.high == math.inf:
            return word
        if self.high == math.inf:
            return f"{word} of at least {self.low:g}"
        return f"{word} from {self.low:g} to {self.high:,.12g}"

    def _widened(self, value: Any) -> Any:
        """Return a whole number as a float where a number is expected and it fits into one."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if self.type is float and is_whole and abs(value) < 1 << 1023:
            return float(value)
        return value

    def _has_type(self, value: Any) -> bool:
        # In Python a bool is an int too.
        return isinstance(value, self.type) and isinstance(value, bool) == (self.type is bool)

    def _is_allowed(self, value: Any) -> bool:
        if self.options and value not in self.options:
            return False
        return self.type not in (int, float) or self.low <= value <= self.high


# The defaults were chosen on validation parts only (docs/measured/defaults.md).
COMMON = {
    "learning_rate": Kind(float, Range(1e-4, 1e-2, log=True), low=1e-8, high=10),
    "batch_size": Kind(int, Choice((32, 64, 128)), low=1, high=65536),
    "epochs": Kind(int, 10, low=1, high=100_000, tunable=False),
    "schedule": Kind(str, "cosine", options=("constant", "cosine")),
    "dropout": Kind(float, 0.3, low=0, high=0.95),
    "weight_decay": Kind(float, 0.0, low=0, high=10),
    "label_smoothing": Kind(float, 0.0, low=0, high=0.9),
    "class_weights": Kind(str, "none", options=("none", "balanced")),
    "dtype": Kind(str, "float32", options=("float32", "mixed_bfloat16"), tunable=False),
}
AUGMENTED = {"augment": Kind(dict, {}, tunable=False)}
CNN = (
    COMMON
    | {
        "blocks": Kind(int, 3, low=1, high=8),
        "width": Kind(int, 32, low=1, high=1024),
        "units": Kind(int, 128, low=0, high=65536),
    }
    | AUGMENTED
)
TRANSFER = COMMON | {
    "input_size": Kind(int, 96, low=32, high=1024, tunable=False),
    "units": Kind(int, 0, low=0, high=65536),
    "unfreeze": Kind(int, None, low=0, high=10_000, tunable=False),
}
MODELS = {"cnn": CNN} | {
    name: TRANSFER | {"input_size": replace(TRANSFER["input_size"], low=backbone.least)}
    for name, backbone in BACKBONES.items()
}
MODELS["mobilenetv2"]["alpha"] = Kind(float, 1.0, low=0.35, high=1.4, tunable=False)
# A custom model: its factory gets all of these except the first two, and every other key of the
# model's table.
CUSTOM = (
    {"factory": Kind(str, ..., tunable=False), "source": Kind(str, None, tunable=False)}
    | COMMON
    | {"dropout": replace(COMMON["dropout"], default=None)}
    | AUGMENTED
)
AUGMENT = {
    "shift": Kind(float, 0.0, low=0, high=0.9),
    "flip": Kind(bool, False),
    "rotation": Kind(float, 0.0, low=0, high=180),
    "zoom": Kind(float, 0.0, low=0, high=0.9),
    "shear": Kind(float, 0.0, low=0, high=0.9),
}


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


def to_json(value: Any) -> Any:
    """Return the TOML and JSON form of a parameter, from which `read_parameter` restores it."""
    if isinstance(value, Choice):
        return list(value.values)
    if isinstance(value, Range):
        table = {"low": value.low, "high": value.high, "log": value.log, "step": value.step}
        return {key: end for key, end in table.items() if end is not None}
    return value


def contains(space: Space, candidate: Plain) -> bool:
    """Tell whether a search space holds a value."""
    if isinstance(space, Choice):
        # True == 1 in Python, but not in a choice.
        same_type = isinstance(candidate, bool) == isinstance(space.values[0], bool)
        return candidate in space.values and same_type
    if isinstance(candidate, (bool, str)) or not space.low <= candidate <= space.high:
        return False
    if space.step is None:
        return True
    return math.isclose((candidate - space.low) / space.step % 1, 0, abs_tol=1e-9)
