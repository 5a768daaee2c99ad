"""How to do it again: the experiment's file, written from its stored specification."""

import json

from job.experiment.experiment import UNSAID


def toml(spec: dict, says_method: bool = True) -> str:
    """Return a file from which `specification.parse` makes the same specification.

    Args: says_method: write it, the first one too, which a specification leaves out but no file does; False: leave it to whoever reads the file.
    """
    spec = {"name": spec["name"]} | UNSAID | spec
    if not says_method:
        del spec["method"]
    lines = [
        f"{key} = {_value(value)}"
        for key, value in spec.items()
        if not isinstance(value, (dict, list))
    ]
    for section in ("data", "search", "features", "folds", "final"):
        lines += _table(f"[{section}]", spec[section])
    for model, parameters in spec["models"].items():
        lines += _table(f"[models.{model}]", parameters)
    for row in spec["reference"]:
        lines += _table("[[reference]]", row)
    return "\n".join(lines) + "\n"


def _table(head: str, values: dict) -> list[str]:
    return [
        "",
        head,
        *(f"{key} = {_value(value)}" for key, value in values.items() if value is not None),
    ]


def _value(value) -> str:
    """Return a value as TOML; its strings, whole numbers and booleans are JSON's."""
    if isinstance(value, dict):
        inner = ", ".join(f"{k} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")
    return json.dumps(value)
