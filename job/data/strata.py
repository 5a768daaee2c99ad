"""Check that each class has enough images, or groups, to be split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from job.errors import Invalid


@dataclass(frozen=True)
class Context:
    """What errors say of a split."""

    what: str  # the key that asks for it
    classes: Sequence[str] | None  # the names of the labels
    test: np.ndarray | None  # labels of the test part, which is not among the rows


def check_enough(
    strata: np.ndarray, needed: int, context: Context, labels: np.ndarray | None
) -> None:
    """Check that each class has enough strata.

    Args:
        strata: the class of each distinct image; without `labels`, of each pair of class and
            named group.
        needed: how many strata each class needs.
        context: of the split.
        labels: of all rows; None for named groups.

    Raises:
        errors.Invalid: a class has too few; the error says where its other images are.
    """
    classes, counts = np.unique(strata, return_counts=True)
    if counts.min() >= needed:
        return
    fewest = classes[counts.argmin()]
    least = int(counts.min())
    kind = _count(least, "group" if labels is None else "distinct image")
    copies = 0 if labels is None else int((labels == fewest).sum()) - least
    held_out = 0 if context.test is None else int((context.test == fewest).sum())
    others = []
    if copies:
        others.append(_count(copies, "copy", "copies"))
    if held_out:
        others.append(f"{_count(held_out, 'image')} in the test part")
    besides = f", besides {' and '.join(others)}" if others else ""
    name = repr(context.classes[fewest]) if context.classes else fewest
    raise Invalid(
        f"{context.what}: class {name} has {kind}{besides}, too few to stratify; "
        f"it needs at least {needed}: add images or leave the class out"
    )


def _count(n: int, singular: str, plural: str | None = None) -> str:
    return f"{n} {singular if n == 1 else plural or f'{singular}s'}"
