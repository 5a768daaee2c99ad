"""Each defense that SECURITY.md claims has a test."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_every_line_that_is_defended_has_its_test():
    """Each row of its tables names an existing test."""
    text = (TOP / "SECURITY.md").read_text()
    defended = text[text.index("## What is defended") : text.index("## What is not defended")]
    rows = [
        row for row in defended.splitlines() if row.startswith("| ") and row != "| line | test |"
    ]
    for row in rows:
        path, name = re.fullmatch(r"\| .+ \| `(tests/[\w/]+\.py)::(test_\w+)` \|", row).groups()
        assert re.search(rf"^def {name}\(", (TOP / path).read_text(), re.M), row
    assert len(rows) > 30
