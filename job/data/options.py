"""What an experiment says of how its data is read."""

from dataclasses import dataclass

from job.data import decoding


@dataclass(frozen=True)
class Options:
    """What an experiment says of its data.

    Attributes:
        groups: `data.groups`: a CSV in or beside image files; the name of arrays, a column or a
            feature; None for no groups.
        labels: `data.labels`: a table in or beside image files, a column, a feature, a field, or
            which labels of CIFAR-100; None: class folders, or the labels that a format has.
        skip: leave out images that cannot be read, instead of refusing them.
        fit: `data.fit`, how images get another shape.
        join: a class is all folders above an image (`data.nested`).
    """

    groups: str | None = None
    labels: str | None = None
    skip: bool = False
    fit: str = decoding.STRETCH
    join: bool = False
