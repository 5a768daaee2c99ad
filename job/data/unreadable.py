"""An image file that cannot be read, and why in two or three words."""

from job.errors import Invalid

EMPTY = "empty"
DAMAGED = "damaged or cut short"
NO_IMAGE = "of another format"
TOO_LARGE = "too large"
VALUES = "of unsupported values"


class Unreadable(Invalid):
    """An image file cannot be read.

    Attributes:
        kind: one of the words above, by which many such files are counted.
    """

    def __init__(self, sentence: str, kind: str):
        super().__init__(sentence)
        self.kind = kind
