"""An image file that cannot be read, and why in two or three words."""

from dataclasses import dataclass

from job.errors import Invalid

EMPTY = "empty"
DAMAGED = "damaged or cut short"
NO_IMAGE = "of another format"
TOO_LARGE = "too large"
VALUES = "of unsupported values"


@dataclass(frozen=True)
class Refused:
    """Why an image file cannot be read: an exception would keep its bytes and pixels alive."""

    sentence: str
    kind: str
    is_damage: bool  # of the file; else the file is not accessible


def refused(error: Invalid) -> Refused:
    """Return what an error says."""
    if isinstance(error, Unreadable):
        return Refused(str(error), error.kind, True)
    return Refused(str(error), "not accessible", False)


class Unreadable(Invalid):
    """An image file cannot be read.

    Attributes:
        kind: one of the words above, by which many such files are counted.
    """

    def __init__(self, sentence: str, kind: str):
        super().__init__(sentence)
        self.kind = kind
