"""What the parts of a data set are called: in folders, file names, tables and arrays."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from job.data import names
from job.errors import Invalid

PARTS = ("train", "validation", "test")
# In lower case. A part of this name that is shipped for validation joins training, with a flag.
VALIDATION = ("val", "valid", "validation", "dev")
PART_OF: dict[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(VALIDATION, "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def by_part(files: Iterable[str], where: str) -> dict[str, list[str]]:
    """Return the files of each part, in order, by a word in their names or their folders' names.

    `train-00000-of-00002.parquet` and `shards/val/0.tar` say their part. If no file does, all are
    of the training part.

    Args:
        files: paths, separated by "/".
        where: what they are in, for errors.

    Raises:
        Invalid: some files say a part and others none, or none is of the training part.
    """
    files = sorted(files)
    part_of = {name: _part_in(name) for name in files}
    if not any(part_of.values()):
        return {"train": files}
    unknown = [name for name in files if part_of[name] is None]
    if unknown:
        raise Invalid(
            f"{where}: {names.list_some(unknown)} name no part, other files do: put train,"
            " validation or test into the name of each file, or of its folder"
        )
    found = {part: [name for name in files if part_of[name] == part] for part in PARTS}
    if not found["train"]:
        raise Invalid(
            f"{where} has no file of the training part, only {names.list_some(files)}: expected"
            " one with train in its name"
        )
    return {part: of for part, of in found.items() if of}


def _part_in(name: str) -> str | None:
    """Return the part that a path says, the file's name before its folders; None for none."""
    path = PurePosixPath(name.lower())
    for piece in (path.name, *(parent.name for parent in path.parents)):
        for word in re.split(r"[^a-z]+", piece):
            if word in PART_OF:
                return PART_OF[word]
    return None
