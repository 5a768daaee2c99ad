# pyright: strict, reportUnknownVariableType=false
"""One parameter, read: a fixed value, a choice or a range, and the keys of a custom model."""

import difflib
import re
from typing import Any

from job.errors import Invalid
from job.experiment.kinds import Choice, Kind, Range, Table, is_list, is_table
from job.experiment.parameters import AUGMENT, CUSTOM
from job.sentences import expect, nearest, show

CUSTOM_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
# A number in a custom model's table; JSON returns larger ones in another type.
LARGEST_NUMBER = 1e15
# From this similarity on (ratio of difflib), a custom key counts as a misspelled known one.
MISSPELLED = 0.8
RANGE_KEYS = ("low", "high", "log", "step")


def read_parameter(kind: Kind, value: Any, where: str) -> Any:
    """Return a fixed value, a `Choice` or a `Range`. Raises: Invalid for anything else."""
    if isinstance(value, Choice):
        return _read_choice(kind, value, list(value.values), where)
    if is_list(value):
        return _read_choice(kind, value, value, where)
    if kind.type is dict:
        return read_augment(kind.check(value, where), where)
    if is_table(value) or isinstance(value, Range):
        _expect_tunable(kind, value, where)
        return read_range(kind, value, where)
    return kind.check(value, where)


def _expect_tunable(kind: Kind, value: Any, where: str) -> None:
    expect(
        kind.tunable,
        f"{where} = {show(value)}: this parameter is fixed, not searched; give one value",
    )


def _read_choice(kind: Kind, value: Any, values: list[Any], where: str) -> Choice:
    _expect_tunable(kind, value, where)
    expect(bool(values), f"{where} = []: expected at least one value to choose from")
    expect(
        not any(isinstance(v, (list, dict)) for v in values),
        f"{where} = {show(value)}: a choice lists plain values",
    )
    checked = tuple(kind.check(v, where) for v in values)
    expect(
        len(set(checked)) == len(checked),
        f"{where} = {show(value)}: a value is listed twice",
    )
    return Choice(checked)


def read_range(kind: Kind, value: Table | Range, where: str) -> Range:
    """Return the range that a table describes. Raises: Invalid, naming the wrong key."""
    if isinstance(value, Range):
        value = {"low": value.low, "high": value.high, "log": value.log, "step": value.step}
    expect(
        kind.type in (int, float),
        f"{where} = {show(value)}: only a number can have a range; give a list",
    )
    for key in value:
        expect(
            key in RANGE_KEYS,
            f"{where}.{key}{nearest(key, RANGE_KEYS)}: a range has low, high, log, step",
        )
    for key in ("low", "high"):
        expect(key in value, f"{where} = {show(value)}: a range needs `{key}`")
    low = kind.check(value["low"], f"{where}.low")
    high = kind.check(value["high"], f"{where}.high")
    expect(
        low < high,
        f"{where} = {show(value)}: low ({low:g}) must be below high ({high:g}); swap them",
    )
    log = value.get("log", False)
    step = value.get("step")
    expect(isinstance(log, bool), f"{where}.log = {show(log)}: expected true or false")
    expect(not log or low > 0, f"{where}.low = {low:g}: a logarithmic range starts above 0")
    expect(not (log and step is not None), f"{where}: give either log or step, not both")
    if step is not None:
        step = _read_step(kind, step, high - low, f"{where}.step")
    return Range(low, high, log, step)


def _read_step(kind: Kind, value: Any, width: float, where: str) -> float:
    step = Kind(kind.type, None).check(value, where)
    expect(
        0 < step <= width,
        f"{where} = {step:g}: expected above 0 and at most high - low = {width:g}",
    )
    return step


def read_augment(value: Table, where: str) -> Table:
    """Return an augmentation table with every amount checked. Raises: Invalid."""
    for key in value:
        expect(
            key in AUGMENT,
            f"{where}.{key}{nearest(key, AUGMENT)}: augment accepts {', '.join(AUGMENT)}",
        )
    return {key: AUGMENT[key].check(v, f"{where}.{key}") for key, v in value.items()}


def custom_kinds(table: Table, where: str) -> dict[str, Kind]:
    """Return what each key of a custom model's table may be.

    The known keys come first. The type of the value decides about every other key.
    Raises: Invalid.
    """
    factory = table["factory"]
    expect(
        isinstance(factory, str) and bool(FACTORY.fullmatch(factory)),
        f'{where}.factory = {show(factory)}: expected "package.module:function"',
    )
    kinds = dict(CUSTOM)
    for key in table:
        if key not in CUSTOM:
            kinds[key] = _custom_kind(key, table[key], where)
    return kinds


def _custom_kind(key: str, value: Any, where: str) -> Kind:
    """Return the kind of a key that only the custom model has."""
    similar = difflib.get_close_matches(key, CUSTOM, n=1, cutoff=MISSPELLED)
    expect(
        not similar,
        f"unknown key '{where}.{key}'{nearest(key, CUSTOM)};"
        " if it is meant for your factory, give it a less similar name",
    )
    expect(
        bool(CUSTOM_KEY.fullmatch(key)),
        f"{where}: key {show(key)}: expected 1 to 40 letters, digits and '_', a letter first",
    )
    return _kind_of(value, f"{where}.{key}")


def _kind_of(value: Any, where: str) -> Kind:
    """Return the kind of a value, of all that a list holds, or of the ends of a range."""
    types: set[type] = {type(v) for v in _examples(value)}
    if types in ({int}, {float}, {int, float}):
        number = int if types == {int} else float
        return Kind(number, ..., low=-LARGEST_NUMBER, high=LARGEST_NUMBER)
    if types == {bool}:
        return Kind(bool, ...)
    if types == {str}:
        return Kind(str, ...)
    raise Invalid(
        f"{where} = {show(value)}: expected a number, a string, true or false,"
        " a list of one of these, or a range with low and high"
    )


def _examples(value: Any) -> list[Any]:
    if is_list(value):
        return value
    if is_table(value):
        return [value.get("low"), value.get("high")]
    return [value]
