# pyright: strict, reportUnknownVariableType=false
"""What a key of the experiment file may be: its kind, and what a search may choose from.

One rule: a number or string is fixed, a list is a choice, `{low, high, log, step}` is a range.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from job.errors import Invalid
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
    """What one key may be, declared once: the reading, the errors and the docs follow from it.

    A default of `...` makes the key required; with `None` the key is left out. At `implied` it is
    left out, too: the key is newer than some experiments in databases, and one that does not use
    it equals them.
    """

    type: type
    default: Any
    help: str = ""
    low: float = -math.inf
    high: float = math.inf
    options: tuple[Any, ...] = ()
    tunable: bool = True
    implied: Any = None

    def check(self, value: Any, where: str) -> Any:
        """Return `value` in this kind's type. Raises: Invalid, naming `where` and the value."""
        value = self._widened(value)
        if self._has_type(value) and self._is_allowed(value):
            return value
        hint = nearest(value, self.options) if self.options and isinstance(value, str) else ""
        raise Invalid(f"{where} = {show(value)}{hint}: expected {self.expected()}")

    def expected(self) -> str:
        """Return the valid values in words."""
        if self.options:
            return "one of " + ", ".join(map(str, self.options))
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
