"""Values that are missing, in every template.

A number that is None or was never stored appears as a dash and stops nothing.
"""

from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import ChainableUndefined, Environment, Undefined, UndefinedError
from jinja2.utils import missing

DASH = "–"


class Absent(ChainableUndefined):
    """A missing value: false, empty, and a dash as text.

    Whatever is read from it or computed with it is absent too.
    Source: the rules of SQL's NULL, and Jinja's ChainableUndefined, which fails at arithmetic.
    """

    __slots__ = ()

    def __init__(self, hint=None, obj=missing, name=None, exc=UndefinedError):
        super().__init__(hint, obj, name, exc)
        # A name without an object is no missing value but a variable the template never received.
        if obj is missing and name is not None:
            self._fail_with_undefined_error()

    def __str__(self) -> str:
        # Only an inline `if` without `else` has a hint. It prints nothing, on purpose.
        return "" if self._undefined_hint else DASH

    def _absent(self, *_, **__) -> "Absent":
        return self

    def _false(self, _) -> bool:
        return False

    __html__ = __str__
    __call__ = _absent
    __neg__ = _absent
    __add__ = _absent
    __radd__ = _absent
    __sub__ = _absent
    __rsub__ = _absent
    __mul__ = _absent
    __rmul__ = _absent
    __truediv__ = _absent
    __rtruediv__ = _absent
    __lt__ = _false
    __le__ = _false
    __gt__ = _false
    __ge__ = _false


class ForgivingEnvironment(Environment):
    """A Jinja environment in which None and a missing value are both `Absent`."""

    def getattr(self, obj, attribute: str):
        """Return an attribute or item, or `Absent`."""
        return self._or_absent(super().getattr(obj, attribute))

    def getitem(self, obj, argument):
        """Return an item or attribute, or `Absent`."""
        return self._or_absent(super().getitem(obj, argument))

    def _or_absent(self, value):
        return self.undefined() if value is None else value


def environment(filters: tuple[Callable, ...], **options) -> Environment:
    """Return the environment in which templates of figures are rendered.

    Args:
        filters: each is called by its function's name.
        options: of the Jinja environment.
    """
    jinja = ForgivingEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=Absent,
        finalize=_dash_for_none,
        **options,
    )
    jinja.filters |= {function.__name__: function for function in filters}
    jinja.tests["none"] = is_absent
    return jinja


def _dash_for_none(value):
    return DASH if value is None else value


def is_absent(value) -> bool:
    """Tell whether a value is None or missing from what a template received."""
    return value is None or isinstance(value, Undefined)


def at(value, *path) -> Any:
    """Return the value at the end of a path of keys and indices, or None if a step is missing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return None if is_absent(value) else value


def pair_at(value, *path) -> tuple[float, float] | None:
    """Return the two ends of an interval or a range, or None unless both are there."""
    pair = at(value, *path)
    if pair is None or len(pair) != 2 or None in pair:
        return None
    low, high = pair
    return low, high


def total(values: Iterable[float | None]) -> float | None:
    """Return the sum, or None when any value is missing: an unknown value never counts as 0."""
    known = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    return sum(known)
