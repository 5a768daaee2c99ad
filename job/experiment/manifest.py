# pyright: strict
"""The manifest: what the staged data of an experiment is.

It is written in `data` and read in every room above, from the store or from the database. So it
lives here, where all of them may look. The values are those of its JSON, except for the shape.
"""

from dataclasses import dataclass, field
from typing import Any, Self

from job.experiment.kinds import Table

# Of the pixels of 16-bit images.
ALL_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A staged data set, as `manifest.json` in the store describes it.

    Attributes:
        id: the first 16 hex digits of a sha256 over classes and files.
        source: the name that the source has for people.
        classes: the names of the labels 0, 1, ...
        image_shape: height and width of every image, in pixels, and channels.
        train: images of the training part, the validation part included.
        test: images of the test part.
        train_counts: images of the training part per class.
        test_counts: images of the test part per class.
        duplicates: `train`: images of the training part that repeat another one of it;
            `train_test`: test images that are in the training part too.
        files: name -> sha256, and size in bytes.
        notes: what the owner of the data should know, a sentence each.
        bits: how many of their 16 bits the 16-bit images use.
        groups: number of named groups in `train` and in `test`; None without any.
        damaged: names of image files that cannot be read and were left out.
    """

    id: str
    source: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    train: int
    test: int
    train_counts: list[int]
    test_counts: list[int]
    duplicates: dict[str, int]
    files: dict[str, Table]
    notes: list[str] = field(default_factory=list[str])
    bits: int = ALL_BITS
    groups: dict[str, int] | None = None
    damaged: list[str] = field(default_factory=list[str])

    @classmethod
    def from_stored(cls, table: Table) -> Self:
        """Return the manifest of its JSON; that of an older version lacks the later keys.

        Raises: KeyError if one lacks what every version writes.
        """
        return cls(**_fields(table))

    def stored(self) -> Table:
        """Return the JSON, from which `from_stored` makes an equal manifest."""
        table: Table = {
            "id": self.id,
            "source": self.source,
            "classes": self.classes,
            "image_shape": list(self.image_shape),
            "train": self.train,
            "test": self.test,
            "train_counts": self.train_counts,
            "test_counts": self.test_counts,
            "duplicates": self.duplicates,
            "files": self.files,
            "notes": self.notes,
        }
        if self.bits != ALL_BITS:
            table["bits"] = self.bits
        if self.groups is not None:
            table["groups"] = self.groups
        if self.damaged:
            table["damaged"] = self.damaged
        return table


@dataclass(frozen=True, kw_only=True)
class Prepared(Manifest):
    """The data that an experiment was prepared with, as the database keeps it.

    Attributes:
        validation: images of the training part on which trials are compared.
        objects: key in the store -> sha256, size and etag, as of the last upload or check; empty
            in rows of the first versions.
        notice: something that the report must show prominently.
    """

    validation: int
    objects: dict[str, Table] = field(default_factory=dict[str, Table])
    notice: str | None = None

    @classmethod
    def from_stored(cls, table: Table) -> Self:
        """Return the data of a row; one of an older version lacks the later keys.

        Raises: KeyError if it lacks what every version writes.
        """
        return cls(
            **_fields(table),
            validation=table["validation"],
            objects=table.get("stored", {}),
            notice=table.get("notice"),
        )

    def stored(self) -> Table:
        """Return the JSON of the row, from which `from_stored` makes equal data."""
        own = {"validation": self.validation, "stored": self.objects, "notice": self.notice}
        return super().stored() | own


def _fields(table: Table) -> dict[str, Any]:
    """Return the fields of a manifest by name, with the types that they have here."""
    return {
        "id": table["id"],
        "source": table["source"],
        "classes": table["classes"],
        "image_shape": tuple(table["image_shape"]),
        "train": table["train"],
        "test": table["test"],
        "train_counts": table["train_counts"],
        "test_counts": table["test_counts"],
        "duplicates": table["duplicates"],
        "files": table["files"],
        "notes": table.get("notes", []),
        "bits": table.get("bits", ALL_BITS),
        "groups": table.get("groups"),
        "damaged": table.get("damaged", []),
    }
