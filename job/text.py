"""Text from elsewhere on its way out: names of classes and files, and sentences that hold them.

As data they stay what they are; what a terminal or a spreadsheet would obey is written so that it is seen.
"""

import json
import re

FORMULA = re.compile(
    r"[=@]|[+-](?!\d+(\.\d+)?$)"
)  # how a cell begins that a spreadsheet computes; -1 is a name like 1


def printable(text: str) -> str:
    r"""Return text on one line, of characters that show: any other becomes its escape, as \n, \x1b or \u202e (right to left)."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return text of several lines, printable, each but the first indented: none looks like a record or a sentence of its own."""
    return "\n    ".join(map(printable, text.split("\n")))


def cell(text: str) -> str:
    """Return text as a cell of a CSV: printable, and no formula, as a quote before it says to a spreadsheet."""
    shown = printable(text)
    return f"'{shown}" if FORMULA.match(shown) else shown


def json_line(value) -> str:
    """Return JSON on one line in which letters of any script stand as they are, and what does not show is escaped."""
    return "".join(
        c if c.isprintable() else json.dumps(c)[1:-1] for c in json.dumps(value, ensure_ascii=False)
    )
