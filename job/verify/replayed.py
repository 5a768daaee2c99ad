"""How a decided task came out when it was trained again: what replay tells verify."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Replayed:
    """The outcome of a replay, and why it is not the same."""

    outcome: Literal["same", "differs", "not comparable"]
    why: str = ""
