"""Hyperparameters: what each model knows, what a file may say of them, what a search may choose.

One rule: a number or string is fixed, a list is a choice, `{low, high, log, step}` is a range.
"""

import difflib
import math
import re
from dataclasses import dataclass, replace

from job.errors import Invalid
from job.experiment.backbones import BACKBONES
from job.sentences import expect, nearest, show


@dataclass(frozen=True)
class Choice:
    """One of `values`, in the order of the file."""

    values: tuple


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
        return all(isinstance(v, int) for v in (self.low, self.high, self.step) if v is not None)


@dataclass(frozen=True)
class Kind:
    """What one hyperparameter may be: type, bounds, default, and whether a search may choose it."""

    type: type
    default: object
    low: float = -math.inf
    high: float = math.inf
    options: tuple[str, ...] = ()
    tunable: bool = True

    def check(self, value, where: str):
        """Return `value` in this kind's type, or raise `Invalid`."""
        if (
            self.type is float
            and isinstance(value, int)
            and not isinstance(value, bool)
            and abs(value) < 1 << 1023
        ):
            value = float(value)
        if not isinstance(value, self.type) or isinstance(value, bool) != (self.type is bool):
            raise Invalid(f"{where} = {show(value)}: expected {self.expected()}")
        if self.options and value not in self.options:
            raise Invalid(
                f"{where} = {show(value)}{nearest(value, self.options)}: expected {self.expected()}"
            )
        if self.type in (int, float) and not self.low <= value <= self.high:
            raise Invalid(f"{where} = {show(value)}: expected {self.expected()}")
        return value

    def expected(self) -> str:
        if self.options:
            return "one of " + ", ".join(self.options)
        word = {
            int: "a whole number",
            float: "a number",
            str: "a string",
            dict: "a table",
            bool: "true or false",
        }[self.type]
        if self.low == -math.inf and self.high == math.inf:
            return word
        if self.high == math.inf:
            return f"{word} of at least {self.low:g}"
        return f"{word} from {self.low:g} to {self.high:,.12g}"


# Defaults were chosen on validation parts only (docs/measured/defaults.md).
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
CNN = COMMON | {
    "blocks": Kind(int, 3, low=1, high=8),
    "width": Kind(int, 32, low=1, high=1024),
    "units": Kind(int, 128, low=0, high=65536),
    "augment": Kind(dict, {}, tunable=False),
}
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
# An own model: its factory gets all of these but the first two, and every other key of its table.
OWN = {"factory": Kind(str, ..., tunable=False), "source": Kind(str, None, tunable=False)} | COMMON
OWN |= {
    "dropout": replace(COMMON["dropout"], default=None),
    "augment": Kind(dict, {}, tunable=False),
}
OWN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
OWN_LARGEST = 1e15  # an own number; larger ones come back from JSON in another type
MISSPELT = (
    0.8  # so alike (difflib's ratio), an own key is taken for a known one with a slip of the pen
)

AUGMENT = {
    "shift": Kind(float, 0.0, low=0, high=0.9),
    "flip": Kind(bool, False),
    "rotation": Kind(float, 0.0, low=0, high=180),
    "zoom": Kind(float, 0.0, low=0, high=0.9),
    "shear": Kind(float, 0.0, low=0, high=0.9),
}


def read_parameter(kind: Kind, value, where: str):
    """Return a fixed value, a `Choice` or a `Range`; raise `Invalid` for anything else."""
    if isinstance(value, (list, Choice)):
        values = value if isinstance(value, list) else list(value.values)
        expect(
            kind.tunable,
            f"{where} = {show(value)}: this parameter is fixed, not searched; give one value",
        )
        expect(bool(values), f"{where} = []: expected at least one value to choose from")
        expect(
            not any(isinstance(v, (list, dict)) for v in values),
            f"{where} = {show(value)}: a choice lists plain values",
        )
        checked = tuple(kind.check(v, where) for v in values)
        expect(
            len(set(checked)) == len(checked),
            f"{where} = {show(value)}: a value stands there twice",
        )
        return Choice(checked)
    if kind.type is dict:
        return read_augment(kind.check(value, where), where)
    if isinstance(value, (dict, Range)):
        expect(
            kind.tunable,
            f"{where} = {show(value)}: this parameter is fixed, not searched; give one value",
        )
        return read_range(kind, value, where)
    return kind.check(value, where)


def read_range(kind: Kind, value, where: str) -> Range:
    if isinstance(value, Range):
        value = {"low": value.low, "high": value.high, "log": value.log, "step": value.step}
    expect(
        kind.type in (int, float),
        f"{where} = {show(value)}: only a number can have a range; give a list",
    )
    for key in value:
        expect(
            key in ("low", "high", "log", "step"),
            f"{where}.{key}{nearest(key, ('low', 'high', 'log', 'step'))}: a range has low, high, log, step",
        )
    for key in ("low", "high"):
        expect(key in value, f"{where} = {show(value)}: a range needs `{key}`")
    low, high = kind.check(value["low"], f"{where}.low"), kind.check(value["high"], f"{where}.high")
    expect(
        low < high,
        f"{where} = {show(value)}: low ({low:g}) must be below high ({high:g}); turn them round",
    )
    log, step = value.get("log", False), value.get("step")
    expect(isinstance(log, bool), f"{where}.log = {show(log)}: expected true or false")
    expect(not log or low > 0, f"{where}.low = {low:g}: a logarithmic range starts above 0")
    expect(not (log and step is not None), f"{where}: give either log or step, not both")
    if step is not None:
        step = Kind(kind.type, None).check(step, f"{where}.step")
        expect(
            0 < step <= high - low,
            f"{where}.step = {step:g}: expected above 0 and at most high - low = {high - low:g}",
        )
    return Range(low, high, log, step)


def own_kinds(own: dict, where: str) -> dict[str, Kind]:
    """Return what the keys of an own model's table may be: the known ones, and its own by what stands there. Raises: Invalid."""
    expect(
        isinstance(own["factory"], str) and bool(FACTORY.fullmatch(own["factory"])),
        f'{where}.factory = {show(own["factory"])}: expected "package.module:function"',
    )
    kinds = dict(OWN)
    for key in own.keys() - OWN.keys():
        alike = difflib.get_close_matches(key, OWN, n=1, cutoff=MISSPELT)
        expect(
            not alike,
            f"unknown key '{where}.{key}'{nearest(key, OWN)}; if it is meant for your factory, give it a name less like that",
        )
        expect(
            bool(OWN_KEY.fullmatch(key)),
            f"{where}: key {show(key)}: expected 1 to 40 letters, digits and '_', a letter first",
        )
        kinds[key] = _own_kind(own[key], f"{where}.{key}")
    return {key: kinds[key] for key in [*OWN, *(k for k in own if k not in OWN)]}


def _own_kind(value, where: str) -> Kind:
    """Return the kind of an own parameter: that of its value, of all it lists, or of the ends of its range."""
    values = (
        value
        if isinstance(value, list)
        else [value.get("low"), value.get("high")]
        if isinstance(value, dict)
        else [value]
    )
    types = {type(v) for v in values}
    kind = float if types == {int, float} else next(iter(types)) if len(types) == 1 else None
    expect(
        kind in (bool, int, float, str),
        f"{where} = {show(value)}: expected a number, a string, true or false, a list of one of these, or a range with low and high",
    )
    return Kind(kind, ..., *((-OWN_LARGEST, OWN_LARGEST) if kind in (int, float) else ()))


def read_augment(value: dict, where: str) -> dict:
    for key in value:
        expect(
            key in AUGMENT,
            f"{where}.{key}{nearest(key, AUGMENT)}: augment knows {', '.join(AUGMENT)}",
        )
    return {key: AUGMENT[key].check(v, f"{where}.{key}") for key, v in value.items()}


def corner(experiment, model: str, of=min) -> dict:
    """Return one point of a model's search: the least (`of=max`: the largest) number of every range and list, the first of other lists.

    The learning rate is the least in any case: what is only measured must not diverge.
    """
    point = experiment.fixed(model)
    for key, space in experiment.space(model).items():
        numbers = (space.low, space.high) if isinstance(space, Range) else space.values
        plain = not isinstance(numbers[0], (str, bool))
        point[key] = (
            min(numbers) if key == "learning_rate" else of(numbers) if plain else numbers[0]
        )
    return point


def to_json(value):
    """Return the TOML/JSON form of a parameter, from which `read_parameter` makes the same again."""
    if isinstance(value, Choice):
        return list(value.values)
    if isinstance(value, Range):
        return {
            k: v
            for k, v in (
                ("low", value.low),
                ("high", value.high),
                ("log", value.log),
                ("step", value.step),
            )
            if v is not None
        }
    return value


def contains(value, candidate) -> bool:
    """Tell whether a search space holds `candidate`."""
    if isinstance(value, Choice):
        return candidate in value.values and isinstance(candidate, bool) == isinstance(
            value.values[0], bool
        )
    if (
        not isinstance(value, Range)
        or isinstance(candidate, (bool, str))
        or not value.low <= candidate <= value.high
    ):
        return False
    return value.step is None or math.isclose(
        (candidate - value.low) / value.step % 1, 0, abs_tol=1e-9
    )
