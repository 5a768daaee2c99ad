# pyright: strict
"""The SQL of `sql/`, by file and name."""

import re
from functools import cache
from importlib import resources


@cache
def queries(file: str) -> dict[str, str]:
    """Return the statements of `sql/<file>.sql` by the name in their `-- name:` line."""
    parts = re.split(r"^-- name: (\w+).*\n", text(file), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def text(file: str) -> str:
    """Return all of `sql/<file>.sql`."""
    return resources.files("job.coordination").joinpath("sql", f"{file}.sql").read_text()
