# pyright: strict, reportUnknownVariableType=false
"""The models of an experiment file: each table read with the shared parameters."""

import re
from typing import Any

from job.experiment.backbones import BACKBONES
from job.experiment.kinds import Kind, Table, is_table
from job.experiment.parameters import AUGMENTED, CUSTOM, MODELS, UNFROZEN
from job.experiment.reading import custom_kinds, read_parameter
from job.sentences import expect, nearest, show

NAME = re.compile(r"[a-z0-9-]{1,40}")


def expect_table(value: Any, where: str) -> Table:
    """Return a value that is a table. Raises: Invalid, naming `where` and the value."""
    expect(is_table(value), f"{where} = {show(value)}: expected a table")
    return value


def read_models(tables: Any, shared: Table) -> dict[str, Table]:
    """Return the parameters of each model: a fixed value, a `Choice` or a `Range` per key.

    Args:
        tables: the [models] of a file, by model.
        shared: its [parameters], which apply to every model that has them.

    Raises: Invalid.
    """
    expect(
        is_table(tables) and bool(tables),
        "`[models.<name>]` is missing: expected at least one of " + ", ".join(MODELS),
    )
    _check_shared(shared, tables)
    return {
        name: _read_model(name, expect_table(table, f"[models.{name}]"), shared)
        for name, table in tables.items()
    }


def _check_shared(shared: Table, tables: Table) -> None:
    known = {key for kinds in (UNFROZEN, *MODELS.values()) for key in kinds}
    had = {key for model in tables for key in MODELS.get(model, CUSTOM)}
    if any(is_table(t) and t.get("unfreeze", shared.get("unfreeze")) for t in tables.values()):
        had |= UNFROZEN.keys()
    for key in shared:
        expect(key in known, f"unknown key 'parameters.{key}'{nearest(key, known)}")
        expect(
            key in had,
            f"parameters.{key}: none of the models {', '.join(tables)} has it",
        )


def _read_model(name: str, table: Table, shared: Table) -> Table:
    """Return a model's parameters; its own table takes precedence over the shared ones."""
    parameters: Table = {}
    for key, kind in _kinds(name, table, shared).items():
        section = f"models.{name}" if key in table else "parameters"
        values = table if key in table else shared
        if key in values or kind.default is not None:
            value = read_parameter(kind, values.get(key, kind.default), f"{section}.{key}")
            if kind.implied is None or value != kind.implied:
                parameters[key] = value
    return parameters


def _kinds(name: str, table: Table, shared: Table) -> dict[str, Kind]:
    """Return what each key of a model may be. Raises: Invalid for an unknown model or key."""
    if name not in MODELS and "factory" in table:
        expect(
            bool(NAME.fullmatch(name)),
            f"[models.{name}]: expected a name of 1 to 40 of a-z, 0-9 and '-'",
        )
        return custom_kinds(table, f"models.{name}")
    expect(
        name in MODELS,
        f"unknown model '{name}' in [models.{name}]{nearest(name, MODELS)};"
        f" expected one of {', '.join(MODELS)}, or a custom model with"
        ' factory = "package.module:function"',
    )
    return _built_in_kinds(name, table, shared)


def _built_in_kinds(name: str, table: Table, shared: Table) -> dict[str, Kind]:
    has_base = name in BACKBONES
    frozen = has_base and not table.get("unfreeze", shared.get("unfreeze"))
    kinds = dict(MODELS[name])
    if has_base and not frozen:
        kinds |= UNFROZEN
        del kinds["depths"]
    for key in table:
        reason = _why_unknown(name, key, frozen)
        hint = "" if reason else nearest(key, kinds)
        expect(
            key in kinds,
            f"unknown key 'models.{name}.{key}'{hint}; {name} accepts {', '.join(kinds)}{reason}",
        )
    for key in AUGMENTED:
        expect(
            key not in shared or not frozen,
            f"parameters.{key} would apply to {name}: a frozen base sees clean images;"
            " move it to the models that train on images",
        )
    return kinds


def _why_unknown(name: str, key: str, frozen: bool) -> str:
    """Return why a model cannot have a key that others have, as the end of a sentence."""
    if key in AUGMENTED and frozen:
        return (
            "; a frozen base sees clean images once and its features are stored,"
            f" so {key} has no effect"
        )
    if key == "base_rate" and frozen:
        return "; only a base with unfreeze is trained"
    if key == "depths" and name in BACKBONES:
        return "; only a frozen base has depths: with unfreeze, its last map is trained"
    if key == "factory":
        return f"; {name} is a built-in model: give yours another name"
    return ""
