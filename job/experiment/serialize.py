# pyright: strict
"""How to repeat an experiment: its file, written from its stored specification."""

import json
from typing import Any

from job.experiment.experiment import IMPLIED
from job.experiment.kinds import Table, is_list, is_table


def toml(spec: Table, says_method: bool = True) -> str:
    """Return a file from which `specification.parse` makes the same specification.

    Args:
        spec: the canonical form, `Experiment.spec`.
        says_method: write the method, including method 1, which a specification leaves out.
            False: leave the method to the program that reads the file.
    """
    spec = {"name": spec["name"]} | IMPLIED | spec
    if not says_method:
        del spec["method"]
    lines = [f"{key} = {_value(value)}" for key, value in spec.items() if _is_plain(value)]
    for section in ("data", "search", "features", "folds", "final"):
        lines += _table(f"[{section}]", spec[section])
    for model, parameters in spec["models"].items():
        lines += _table(f"[models.{model}]", parameters)
    for row in spec["reference"]:
        lines += _table("[[reference]]", row)
    return "\n".join(lines) + "\n"


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _table(head: str, values: Table) -> list[str]:
    keys = [f"{key} = {_value(value)}" for key, value in values.items() if value is not None]
    return ["", head, *keys]


def _value(value: Any) -> str:
    """Return a value as TOML; strings, whole numbers and booleans are written as in JSON."""
    if is_table(value):
        inner = ", ".join(f"{k} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if is_list(value):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")
    return json.dumps(value)
