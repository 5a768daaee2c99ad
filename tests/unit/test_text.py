"""Text from data is shown in full, and no terminal, spreadsheet or page obeys it."""

import ast
import csv
import html
import io
import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from job import logs, text
from job.cli.options import say
from job.data.describe import lines
from job.data.names import list_some, quote
from job.export.card import card
from job.export.predict import Answer, write
from job.report.summary import summarize
from tests.support.made_reports import make

PACKAGE = Path(__file__).parents[2] / "job"
ESCAPE = "\x1b]0;owned\x07"  # a terminal's title
TURNED = "cat\u202egnp.exe"  # what follows the mark reads from right to left
NASTY = [
    ESCAPE,
    TURNED,
    "two\nlines",
    "a\rb",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "<img src=x onerror=alert(1)>",
    "*a*|b`c`",
    "\x9b2J",
    "\ud800",
]


@pytest.mark.parametrize("name", NASTY)
def test_what_is_printed_shows(name):
    """A name becomes one printable line with letters intact; JSON keeps the exact name."""
    for form in (text.printable(name), quote(name), list_some([name]), text.cell(name)):
        assert form.isprintable()
        assert form.encode()
    assert text.printable("naïve 猫") == "naïve 猫"
    assert json.loads(text.json_line([name])) == [name]
    assert text.json_line([name]).isprintable()


def test_a_name_cannot_forge_a_log_record():
    """No name in the log looks like a record; the further lines of a message are indented."""
    fields = {"msg": "class %s", "args": (f"a\n12:00:00 WARNING {ESCAPE}\rb",)}
    record = logging.makeLogRecord(fields | {"levelname": "INFO"})
    line = logs.Lines("%(levelname)s %(message)s").format(record)
    assert line == "INFO class a\n    12:00:00 WARNING \\x1b]0;owned\\x07\\rb"


def test_a_line_stays_a_line(capsys):
    """What a command prints has exactly the lines it was given."""
    say("ok", f"no object x\nok {ESCAPE}")
    assert capsys.readouterr().out == "ok\nno object x\\nok \\x1b]0;owned\\x07\n"


def test_what_prints_makes_text_safe():
    """Each file that prints imports `job.text`."""
    prints = ("print", "click.echo", "click.secho", "sys.stdout.write")
    printing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in prints:
                printing.add(path)
    printing -= {PACKAGE / "preflight" / "probe.py"}  # JSON, which another process reads
    assert PACKAGE / "cli" / "options.py" in printing
    for path in sorted(printing):
        assert "from job.text import" in path.read_text(), path.name


def test_names_of_classes_in_a_description():
    """A class is one row of the table, and the columns are aligned."""
    classes = [{"class": name, "train": 3, "test": 1} for name in NASTY]
    parts = {"train": 9, "validation": 2, "folds": [4, 5], "test": 3}
    counts = {"experiment": "x", "source": TURNED, "found": {"train": 9, "test": 3}} | parts
    more = {"sizes": [], "image_shape": [4, 4, 3], "bytes": 0, "groups": None, "conflicts": 0}
    more |= {"duplicates": {"train": 0, "train_test": 0}, "classes": classes, "notes": []}
    table = [line for line in lines(counts | more) if line.endswith(" 3          1")]
    assert len(table) == len(NASTY)
    assert len({len(row) for row in table}) == 1
    assert all(row.isprintable() for row in table)


def test_a_spreadsheet_computes_nothing():
    """In the CSV of `predict` a formula becomes text, and each image is one row; numbers stay."""
    answers = [Answer(Path(f"-{i}.png"), (name,), (0.5,)) for i, name in enumerate(NASTY)]
    out = io.StringIO()
    write(iter(answers), "csv", 1, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(rows) == len(NASTY) == out.getvalue().count("\n") - 1
    cells = [cell for row in rows for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == ["+1", "-1"]
    assert {row["probability"] for row in rows} == {"0.5"}
    assert rows[4]["class"] == "'=HYPERLINK(1)"
    safe = {"-1": "-1", "+2.5": "+2.5", "-1+1": "'-1+1", "=5": "'=5"}
    assert {name: text.cell(name) for name in safe} == safe


def test_names_in_a_model_card_are_no_markup():
    """A class or a source may hold HTML, Markdown or a newline: the card shows it."""
    names = ["<img src=x onerror=alert(1)>", "[a](http://b)|*c*`d`", "e\n# f", "&lt;"]
    collected = make(names)
    collected.data = replace(collected.data, source=names[0])
    about = {"format": "keras", "sha256": "0" * 64, "factory": None}
    made = card(collected, summarize(collected), "cnn", about)
    table = made.partition("| class |")[2].splitlines()[2:6]
    assert "<img" not in made
    assert made.count("&lt;img src=x onerror=alert(1)&gt;") == 3
    first_cells = [re.split(r"(?<!\\)\|", row)[1].strip() for row in table]
    cells = [html.unescape(re.sub(r"\\([\\`*_\[\]|~])", r"\1", cell)) for cell in first_cells]
    assert cells == [names[0], names[1], r"e\n# f", names[3]]
