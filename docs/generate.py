"""Write the tables and schemas of docs/reference that the code knows: `make docs`.

With `--check` nothing is written, and a stale file is an error. A page holds a table between
`<!-- NAME: generated -->` and `<!-- end -->`. A `*.schema.json` is generated as a whole.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click
import schemas

from job.cli.cli import GROUPS, job
from job.coordination.schema import SCHEMA_VERSION
from job.errors import EXIT_CODES
from job.experiment.keys import SECTIONS
from job.experiment.kinds import Choice, Kind, Range
from job.experiment.parameters import AUGMENT, CUSTOM, MODELS, UNFROZEN
from job.learning.result_format import SealedResult
from job.report.report_format import Report
from job.settings import SETTINGS

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
BLOCK = re.compile(r"<!-- (\w+): generated -->\n.*?<!-- end -->", re.S)

COLUMN = re.compile(
    r"\s*(?P<name>\w+) (?P<type>int|text|jsonb|timestamptz|boolean|double precision)\b"
    r"[^-]*(?:-- (?P<comment>.*))?"
)


def table(heads: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table. Args: heads: column names, separated by `|`."""
    names = heads.split("|")
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(names)} |", "|---" * len(names) + "|", *lines, ""])


def settings() -> str:
    """Return the settings: variable, meaning, default."""
    rows = []
    for setting in SETTINGS.values():
        variable = f"`{setting.variable}`"
        if setting.secret:
            variable += f", `{setting.variable}_FILE`"
        rows.append(
            (variable, setting.help, _default_of_setting(setting.variable, setting.default))
        )
    return table("variable|meaning|default", rows)


def _default_of_setting(variable: str, default: object) -> str:
    if variable == "JOB_CACHE_DIR":
        return "`job-cache-UID` in the temporary folder"
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else f"{default}"


def exit_codes() -> str:
    """Return the exit codes and their meanings."""
    rows = [(str(code), meaning) for code, meaning in EXIT_CODES.items()]
    return table("exit code|meaning", [*rows, ("128+n", "the second signal n")])


def commands() -> str:
    """Return a section per group of commands: usage, what the command does, its options."""
    context = click.Context(job, info_name="job")
    parts = []
    for group, names in GROUPS.items():
        parts.append(f"## {group}\n")
        for name in names:
            command = job.commands[name]
            inner = click.Context(command, info_name=name, parent=context)
            usage = " ".join(["job", name, *command.collect_usage_pieces(inner)])
            parts.append(f"### job {name}\n\n```\n{usage}\n```\n\n{_paragraphs(command)}\n")
            options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
            if options:
                parts.append(table("option|meaning", map(_option, options)))
    return "\n".join(parts)


def _paragraphs(command: click.Command) -> str:
    """Return a command's help as Markdown: each example becomes code."""
    paragraphs = re.split(r"\n\s*\n", (command.help or "").replace("\b\n", "").strip())
    plain = [" ".join(paragraph.split()) for paragraph in paragraphs]
    return "\n\n".join(re.sub(r"^Example: (.*)$", r"Example: `\1`", text) for text in plain)


def _option(option: click.Option) -> tuple[str, str]:
    names = ", ".join(option.opts)
    value = option.metavar if option.metavar is not None else option.type.name.upper()
    shown = names if option.is_flag or not value else f"{names} {value}"
    meaning = re.sub(
        r"\S*/job-cache-\d+", "job-cache-UID in the temporary folder", option.help or ""
    )
    if isinstance(option.type, click.Choice):
        shown = names
        meaning += f": {', '.join(option.type.choices)}"
    if option.required:
        meaning += "; required"
    elif isinstance(option.default, (str, int, float)) and not option.is_flag:
        meaning += f"; default {option.default}"
    return f"`{shown}`", meaning.replace("|", "\\|")


def sections() -> str:
    """Return the keys of an experiment file outside its models."""
    kinds = {
        f"{section}.{key}".lstrip("."): kind
        for section, keys in SECTIONS.items()
        for key, kind in keys.items()
    }
    return _keys(kinds)


def models() -> str:
    """Return the keys of a model's table, and which models have each."""
    families = {"whitenet": MODELS["whitenet"], "cnn": MODELS["cnn"]}
    families |= {"frozen bases": MODELS["vgg16"], "custom models": CUSTOM}
    families["bases with unfreeze"] = {"base_rate": UNFROZEN["base_rate"]}
    families["mobilenetv2"] = {"alpha": MODELS["mobilenetv2"]["alpha"]}
    rows = []
    for key in dict.fromkeys(key for keys in families.values() for key in keys):
        kinds = {family: keys[key] for family, keys in families.items() if key in keys}
        defaults = {family: _default_of_key(kind) for family, kind in kinds.items()}
        having = "all" if len(kinds) == 4 else ", ".join(kinds)
        kind = next(iter(kinds.values()))
        rows.append((f"`{key}`", having, kind.help, kind.expected(), _defaults(defaults)))
    return table("key|models|meaning|value|default", rows)


def _defaults(values: dict[str, str]) -> str:
    """Return the default that most families have, if any, then each other one with its family."""
    usual, n = Counter(values.values()).most_common(1)[0]
    if n == len(values):
        return usual
    common = [usual or "none"] if n > 1 else []
    others = {family: value for family, value in values.items() if n == 1 or value != usual}
    return "; ".join([*common, *(f"{value or 'none'} ({f})" for f, value in others.items())])


def augment() -> str:
    """Return the keys of `augment`."""
    return _keys(AUGMENT)


def tables() -> str:
    """Return the tables of the database: columns, types, and what the schema says of them."""
    schema = (ROOT / "job" / "coordination" / "sql" / "schema.sql").read_text()
    parts = [f"Schema version {SCHEMA_VERSION}.\n"]
    for name, body in re.findall(r"^create table (\w+) \((.*?)\);$", schema, re.M | re.S):
        parts.append(f"### {name}\n")
        parts.append(table("column|type|meaning", _columns(body)))
    return "\n".join(parts)


def _columns(body: str) -> Iterable[tuple[str, str, str]]:
    """Yield name, type and meaning of each column: its comment, the one above, or its values."""
    above = ""
    for line in body.splitlines():
        column = COLUMN.match(line)
        if comment := re.fullmatch(r"\s*-- (.*)", line):
            above = f"{above} {comment[1]}".strip()
        elif column and column["name"] not in ("primary", "foreign"):
            values = re.search(r" in \((.*?)\)\)", line)
            listed = values[1].replace("'", "`") if values else ""
            yield f"`{column['name']}`", column["type"], column["comment"] or above or listed
            above = ""


def report_keys() -> str:
    """Return the objects of report.json with their keys."""
    return schemas.tables(Report, table)


def result_keys() -> str:
    """Return the objects of result.json with their keys."""
    return schemas.tables(SealedResult, table)


def _keys(kinds: dict[str, Kind]) -> str:
    """Return a table of keys."""
    rows = [
        (f"`{key}`", kind.help, kind.expected(), _default_of_key(kind))
        for key, kind in kinds.items()
    ]
    return table("key|meaning|value|default", rows)


def _default_of_key(kind: Kind) -> str:
    match kind.default:
        case default if default is ...:
            return "required"
        case Range(low, high, log):
            return f"searched: {low:g} to {high:g}" + (", log" if log else "")
        case Choice(values):
            return f"searched: {', '.join(map(str, values))}"
        case None | {}:
            return ""
        case value:
            return str(value).lower() if isinstance(value, bool) else f"{value}"


BLOCKS = {
    "settings": settings,
    "codes": exit_codes,
    "commands": commands,
    "sections": sections,
    "models": models,
    "augment": augment,
    "tables": tables,
    "report": report_keys,
    "result": result_keys,
}
FORMATS = {"report": Report, "result": SealedResult}


def render(text: str) -> str:
    """Return a page with its tables made anew."""

    def made(match: re.Match[str]) -> str:
        return f"<!-- {match[1]}: generated -->\n\n{BLOCKS[match[1]]()}\n<!-- end -->"

    return BLOCK.sub(made, text)


def generated() -> Iterable[tuple[Path, str]]:
    """Yield each file of docs/reference with the content it should have."""
    for page in sorted(REFERENCE.glob("*.md")):
        yield page, render(page.read_text())
    for name, root in FORMATS.items():
        text = json.dumps(schemas.schema(root, f"{name}.json"), indent=2, ensure_ascii=False)
        yield REFERENCE / f"{name}.schema.json", f"{text}\n"


def main(check: bool) -> int:
    """Write each file, or with `check` name those that are stale. Returns: 1 if one is."""
    stale = []
    for path, text in generated():
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if not check:
                path.write_text(text)
    if check and stale:
        print(f"stale: {', '.join(stale)}; run `make docs`")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
