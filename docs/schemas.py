"""JSON Schemas and tables of the formats that the code declares as TypedDicts.

A key of a format is a type, perhaps with `Limits`, and a sentence (see job/json_types.py).
pydantic's TypeAdapter would make the same schemas, but not the tables, and would bring three more
packages into the lock.
"""

import re
from collections.abc import Callable, Iterator
from types import UnionType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from job.json_types import Limits

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
MAP = "\\*"  # in a path: any name


class Field(NamedTuple):
    """A key of a format. `kind` is its type, still with limits."""

    name: str
    kind: Any
    meaning: str
    required: bool


def schema(root: type, title: str) -> dict[str, Any]:
    """Return the JSON Schema of a format. Args: root: its TypedDict. title: its file's name."""
    below = sorted((kind for kind in places(root) if kind is not root), key=lambda k: k.__name__)
    return {
        "$schema": DIALECT,
        "title": title,
        **_object(root),
        "$defs": {kind.__name__: _object(kind) for kind in below},
    }


def fields(kind: type) -> Iterator[Field]:
    """Yield each key of a TypedDict, inherited ones first."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is NotRequired:
            (hint,) = get_args(hint)
        (meaning,) = (extra for extra in hint.__metadata__ if isinstance(extra, str))
        yield Field(name, hint, meaning, name in kind.__required_keys__)


def places(root: type) -> dict[type, str]:
    """Return where each TypedDict of a format first occurs, as `models.*.fold.folds[]`.

    Where one of several stands in the same place, its name follows.
    """
    found = {root: ""}

    def look(kind: type, path: str) -> None:
        for field in fields(kind):
            below = list(_dicts(field.kind, f"{path}.{field.name}".lstrip(".")))
            for inner, place in below:
                if inner not in found:
                    found[inner] = place if len(below) == 1 else f"{place}: {inner.__name__}"
                    look(inner, place)

    look(root, "")
    return found


def _dicts(hint: Any, path: str) -> Iterator[tuple[type, str]]:
    """Yield each TypedDict within a type, with its path."""
    bare, _ = _bare(hint)
    if is_typeddict(bare):
        yield bare, path
    mark = {list: "[]", dict: f".{MAP}"}.get(get_origin(bare), "")
    for inner in get_args(bare):
        yield from _dicts(inner, path + mark)


def _bare(hint: Any) -> tuple[Any, list[Limits]]:
    """Return a type without its annotations, and the limits among them."""
    if get_origin(hint) is not Annotated:
        return hint, []
    return hint.__origin__, [extra for extra in hint.__metadata__ if isinstance(extra, Limits)]


def _object(kind: type) -> dict[str, Any]:
    known = list(fields(kind))
    return {
        "description": sentence(kind),
        "type": "object",
        "properties": {f.name: {**_value(f.kind), "description": f.meaning} for f in known},
        "required": [f.name for f in known if f.required],
        "additionalProperties": False,
    }


def sentence(kind: type) -> str:
    """Return the docstring of a TypedDict as one line."""
    return " ".join((kind.__doc__ or "").split())


def _value(hint: Any) -> dict[str, Any]:
    """Return the schema of a value."""
    bare, limits = _bare(hint)
    made = _type(bare)
    for limit in limits:
        said = {
            "minimum": limit.minimum,
            "maximum": limit.maximum,
            "minItems": limit.length,
            "maxItems": limit.length,
            "pattern": limit.pattern,
            "enum": list(limit.values) or None,
        }
        made |= {key: value for key, value in said.items() if value is not None}
    return made


def _type(bare: Any) -> dict[str, Any]:
    if is_typeddict(bare):
        return {"$ref": f"#/$defs/{bare.__name__}"}
    if bare is Any:
        return {}
    origin = get_origin(bare)
    inner = get_args(bare)
    if origin in (Union, UnionType):
        return {"anyOf": [_value(option) for option in inner]}
    if origin is list:
        return {"type": "array", "items": _value(inner[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _value(inner[1])}
    return {"type": NAMES[bare]}


def tables(root: type, table: Callable[[str, list[tuple[str, ...]]], str]) -> str:
    """Return a table of each object of a format, each below the path where it first occurs."""
    where = places(root)
    parts = []
    for kind, path in where.items():
        if path:
            parts.append(f"### {path}\n")
        rows = []
        for field in fields(kind):
            absent = "" if field.required else ", or absent"
            rows.append((f"`{field.name}`", f"{_words(field.kind, where)}{absent}", field.meaning))
        parts.append(f"{sentence(kind)}\n\n{table('key|type|what', rows)}")
    return "\n".join(parts)


def _words(hint: Any, where: dict[type, str]) -> str:
    """Return a type in words; an object is a link to its table."""
    bare, limits = _bare(hint)
    said = _type_words(bare, where)
    for limit in limits:
        if limit.values:
            said = ", ".join(f"`{value}`" for value in limit.values)
        elif limit.length:
            said = f"[{', '.join([said[1:-1]] * limit.length)}]"
        elif limit.minimum is not None and limit.maximum is not None:
            said = f"{said} {limit.minimum:g} to {limit.maximum:g}"
    return said


def _type_words(bare: Any, where: dict[type, str]) -> str:
    if is_typeddict(bare):
        anchor = re.sub(r"[^\w -]", "", where[bare].lower()).replace(" ", "-")
        return f"[object](#{anchor})"
    if bare is Any:
        return "any"
    origin = get_origin(bare)
    inner = get_args(bare)
    if origin in (Union, UnionType):
        return " or ".join(_words(option, where) for option in inner)
    if origin is list:
        return f"[{_words(inner[0], where)}]"
    if origin is dict:
        return f"object of {_words(inner[1], where)}"
    return NAMES[bare]
