# pyright: strict, reportUnknownVariableType=false
"""The specification of an experiment: a TOML file, read and checked to the last key."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from job.errors import Invalid
from job.experiment.consistency import notes, refuse_contradictions
from job.experiment.enqueue import read_enqueue
from job.experiment.experiment import IMPLIED, Experiment
from job.experiment.keys import SECTIONS
from job.experiment.kinds import Kind, Table, is_list
from job.experiment.models import NAME, expect_table, read_models
from job.experiment.parameters import MODELS
from job.experiment.sections import Data, Features, Final, Folds, Search
from job.sentences import expect, nearest, show
from job.settings import HARMLESS

REFERENCE = ("accuracy", "precision", "recall", "f1", "roc_auc")
SCORE = Kind(float, None, low=0, high=1)


def load(path: str | Path) -> Experiment:
    """Read and check an experiment file. Raises: Invalid, naming file, key and value."""
    text = _read_text(path)
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise Invalid(f"{path} is not TOML: {exc}") from exc
    try:
        experiment = parse(tree)
        _refuse_secrets("source", experiment.data.source)
        _refuse_secrets("groups", experiment.data.groups or "")
        _refuse_secrets("labels", experiment.data.labels or "")
    except Invalid as exc:
        raise Invalid(f"{path}: {exc}") from exc
    return experiment


def _read_text(path: str | Path) -> str:
    expected = "expected an experiment file like examples/quick.toml"
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise Invalid(f"{path}: no such file; {expected}") from exc
    except OSError as exc:
        raise Invalid(f"{path}: cannot be read ({exc.strerror}); {expected}") from exc
    except UnicodeDecodeError as exc:
        raise Invalid(
            f"{path} is not UTF-8 text ({exc.reason} at byte {exc.start}): save it as UTF-8"
        ) from exc


def _refuse_secrets(key: str, value: str) -> None:
    """Refuse a URL with a password or a query.

    The file goes into the database, the report and the model card as it is.
    """
    scheme, separator, rest = value.partition("://")
    place, _, query = rest.partition("?")
    # An "@" anywhere before the query counts: a raw "/" in a password hides where it ends.
    if not separator or ("@" not in place and HARMLESS.fullmatch(query)):
        return
    instead = {
        "source": "pass the whole URL with --data or JOB_DATA",
        "groups": "put the file into the data or beside it",
        "labels": "put the file into the data or beside it",
    }
    raise Invalid(
        f"data.{key} is a URL ({scheme}://) with a password or a query that may be a secret,"
        f" and the experiment file is stored and shown: {instead[key]}"
    )


def from_stored(spec: Table) -> Experiment:
    """Return the experiment of a canonical form (`Experiment.spec`) from the database.

    Raises: Invalid.
    """
    return parse(IMPLIED | spec)


def parse(tree: Table) -> Experiment:
    """Return the experiment of a tree as read from TOML, with the defaults filled in.

    Without a method it gets the newest one.

    Raises: Invalid, naming key and value.
    """
    rest = dict(tree)
    shared = rest.pop("parameters", {})
    model_tables = rest.pop("models", None)
    rows = rest.pop("reference", [])
    rest["search"] = dict(expect_table(rest.get("search", {}), "[search]"))
    points = rest["search"].pop("enqueue", [])
    sections = _read_sections(rest)
    top = sections.pop("")
    name = top["name"]
    expect(bool(NAME.fullmatch(name)), f"name = {show(name)}: expected 1 to 40 of a-z, 0-9 and '-'")
    models = read_models(model_tables, expect_table(shared, "[parameters]"))
    expect(is_list(rows), f"reference = {show(rows)}: expected [[reference]] tables")
    experiment = Experiment(
        name=name,
        seed=top["seed"],
        threads=top["threads"],
        method=top["method"],
        data=Data(**sections["data"]),
        search=Search(**sections["search"]),
        features=Features(**sections["features"]),
        folds=Folds(**sections["folds"]),
        final=Final(**sections["final"]),
        enqueue=read_enqueue(points, models),
        models=models,
        references=tuple(_read_reference(row, i, models) for i, row in enumerate(rows)),
        says_method="method" in tree,
    )
    refuse_contradictions(experiment)
    return replace(experiment, notes=notes(experiment))


def _read_sections(tree: Table) -> dict[str, Table]:
    """Return every section with its defaults; "" is the top level. Raises: Invalid."""
    top = {key: value for key, value in tree.items() if key not in SECTIONS}
    known = [*SECTIONS[""], *filter(None, SECTIONS), "parameters", "models", "reference"]
    for key in top:
        expect(key in known, f"unknown key '{key}'{nearest(key, known)}")
    # The search comes last: so does its error.
    order = ["", "data", "features", "folds", "final", "search"]
    tables = {"": top} | {section: tree.get(section, {}) for section in order[1:]}
    return {section: _read_section(section, tables[section]) for section in order}


def _read_section(section: str, table: Any) -> Table:
    """Check one section against its table of keys."""
    kinds = SECTIONS[section]
    prefix = f"{section}." if section else ""
    values = expect_table(table, f"[{section}]")
    for key in values:
        expect(
            key in kinds,
            f"unknown key '{prefix}{key}'{nearest(key, kinds)};"
            f" [{section or 'top level'}] accepts {', '.join(kinds)}",
        )
    for key, kind in kinds.items():
        expect(
            kind.default is not ... or key in values,
            f"`{prefix}{key}` is missing: expected {kind.expected()}",
        )
    checked = {
        key: kind.check(values[key], prefix + key) if key in values else kind.default
        for key, kind in kinds.items()
    }
    return {key: None if v == kinds[key].implied else v for key, v in checked.items()}


def _read_reference(row: Any, i: int, models: dict[str, Table]) -> Table:
    """Return one [[reference]] table, checked. Raises: Invalid."""
    where = f"reference[{i}]"
    table = expect_table(row, where)
    keys = ("name", "model", *REFERENCE)
    for key in table:
        expect(key in keys, f"unknown key '{where}.{key}'{nearest(key, keys)}")
    for key in ("name", "model"):
        value = table.get(key)
        expect(isinstance(value, str), f"{where}.{key} = {show(value)}: expected a string")
    model = table["model"]
    known = list(dict.fromkeys([*models, *MODELS]))
    expect(model in known, f"{where}.model = {show(model)}: expected one of {', '.join(known)}")
    return {
        key: SCORE.check(value, f"{where}.{key}") if key in REFERENCE else value
        for key, value in table.items()
    }
