# pyright: strict
"""Types of the values in report.json and result.json, with what JSON Schema says of each.

A key of a format is declared as `Annotated[type, "what it means"]`; docs/schemas.py reads both.
"""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Limits:
    """What a value must be beside its type.

    Attributes:
        minimum: of a number.
        maximum: of a number.
        length: of a list.
        pattern: a regular expression that a string matches.
        values: the only ones a string has.
    """

    minimum: float | None = None
    maximum: float | None = None
    length: int | None = None
    pattern: str | None = None
    values: tuple[str, ...] = ()


def one_of(*values: str) -> Limits:
    """Return the limits of a string that has one of a few values."""
    return Limits(values=values)


Index = Annotated[int, Limits(minimum=0)]
Count = Annotated[int, Limits(minimum=0)]
Seconds = Annotated[float, Limits(minimum=0)]
Share = Annotated[float, Limits(minimum=0, maximum=1)]
Interval = Annotated[list[float], Limits(length=2)]
Sha256 = Annotated[str, Limits(pattern="^[0-9a-f]{64}$")]
