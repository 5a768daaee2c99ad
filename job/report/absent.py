"""What is not there, in every template: a number that is None or was never stored reads as a dash and stops nothing."""

from collections.abc import Callable

from jinja2 import ChainableUndefined, Environment, Undefined, UndefinedError
from jinja2.utils import missing

DASH = "–"


class Absent(ChainableUndefined):
    """A value that is not there: false, empty, a dash as text; what is read from it, or reckoned with it, is absent too.

    Source: the rules of SQL's NULL, and Jinja's ChainableUndefined, which stops at arithmetic.
    """

    __slots__ = ()

    def __init__(self, hint=None, obj=missing, name=None, exc=UndefinedError):
        super().__init__(hint, obj, name, exc)
        if (
            obj is missing and name is not None
        ):  # not a value that is missing: a variable that the template was never given
            self._fail_with_undefined_error()

    def __str__(self) -> str:
        return (
            "" if self._undefined_hint else DASH
        )  # only an inline `if` without `else` has a hint: it says nothing, on purpose

    __html__ = __str__

    def _absent(self, *_, **__) -> "Absent":
        return self

    def _false(self, _) -> bool:
        return False

    __call__ = __neg__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = (
        __truediv__
    ) = __rtruediv__ = _absent
    __lt__ = __le__ = __gt__ = __ge__ = _false


class Forgiving(Environment):
    """A Jinja environment in which None and what is missing are both `Absent`, wherever a template comes upon them."""

    def getattr(self, obj, attribute: str):
        return self._known(super().getattr(obj, attribute))

    def getitem(self, obj, argument):
        return self._known(super().getitem(obj, argument))

    def _known(self, value):
        return self.undefined() if value is None else value


def environment(filters: tuple[Callable, ...], **options) -> Environment:
    """Return the environment that templates of figures are rendered in; each filter goes by its function's name."""
    made = Forgiving(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=Absent,
        finalize=lambda value: DASH if value is None else value,
        **options,
    )
    made.filters |= {f.__name__: f for f in filters}
    made.tests["none"] = is_absent
    return made


def is_absent(value) -> bool:
    """Tell whether a value is not there."""
    return value is None or isinstance(value, Undefined)


def at(value, *way):
    """Return what stands at the end of a way of keys and indices, or None where a step is not there."""
    for step in way:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return None if is_absent(value) else value


def pair_at(value, *way) -> tuple[float, float] | None:
    """Return the two ends of an interval or a range, or None unless both are there."""
    found = at(value, *way)
    return None if found is None or len(found) != 2 or None in found else tuple(found)


def total(values) -> float | None:
    """Return the sum, or None when any value is missing: what is not known is never counted as 0."""
    values = list(values)
    return None if None in values else sum(values)
