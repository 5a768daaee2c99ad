# pyright: strict
"""Text from elsewhere on its way out: names of classes and files, and sentences that hold them.

Data stays as it is. In output, whatever a terminal or a spreadsheet would obey becomes visible.
"""

import json
import re

# The beginning of a cell that a spreadsheet computes; -1 is a name like 1.
FORMULA = re.compile(r"[=@]|[+-](?!\d+(\.\d+)?$)")


def printable(text: str) -> str:
    r"""Return text on one line, with every unprintable character escaped.

    Escapes are Python's: \n, \x1b or \u202e (right to left).
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return printable text of several lines, each but the first indented.

    So no line looks like a log record or a sentence of its own.
    """
    return "\n    ".join(printable(line) for line in text.split("\n"))


def cell(text: str) -> str:
    """Return text as a cell of a CSV file: printable, with a quote before a formula."""
    shown = printable(text)
    return f"'{shown}" if FORMULA.match(shown) else shown


def json_line(value: object) -> str:
    """Return JSON on one line: letters of any script unescaped, unprintable characters escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
