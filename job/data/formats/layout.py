"""Decide which files of a folder or an archive are images of which class, by their names alone."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from job import errors
from job.data import names
from job.data.decoding import SUFFIXES
from job.data.formats import class_folders, part_names, table_layout
from job.data.formats.class_folders import LAYOUT
from job.data.formats.part_names import VALIDATION
from job.data.formats.plan import Plan
from job.data.formats.tree import Parts, Tree
from job.sentences import nearest

# What a part may be misnamed, in any case -> its name.
ALIASES = {"train": "train", "training": "train", "test": "test", "testing": "test"}


def plan(listing: Tree, labels: str | None, cache: Path, join: bool = False) -> Plan:
    """Return which members of a folder or an archive are images of which class.

    Classes are sorted by name, and their images by name. Two spellings of a name that look the
    same are one class.

    Args:
        listing: the names in the folder or archive.
        labels: `data.labels`, a table that names the class of each image; None for class folders.
        cache: where downloads are kept.
        join: a class is all folders above an image; else folders within class folders are refused.

    Raises:
        errors.Invalid: another layout, with what there is and what is expected.
    """
    if labels:
        found = table_layout.read(labels, listing, cache)
        # `data.groups` comes before the groups of the table.
        groups = {} if listing.groups else found.groups
        return _plan(listing, found.members, found.notes, groups)
    top = _top(listing.files)
    prefixes, notes = _prefixes(listing, top)
    members = {
        part: class_folders.classes_below(listing, prefix, join)
        for part, prefix in prefixes.items()
    }
    if len(members["train"]) < 2:
        class_folders.refuse_table(listing)
    used = {name for of in members.values() for folder in of.values() for name in folder}
    notes += _unused(listing, used)
    return _plan(listing, members, notes, {})


def _plan(
    listing: Tree,
    members: dict[str, dict[str, list[str]]],
    notes: list[str],
    groups: dict[str, str],
) -> Plan:
    """Return the plan for the images of each class of each part."""
    class_of = class_folders.class_names(members["train"])
    classes = tuple(sorted(class_of.values()))
    for part in ("test", "validation"):
        _check_classes(listing.path, members.get(part, {}), class_of, part)
    labels = {
        part: _labels(members[part], class_of, classes)
        for part in part_names.PARTS
        if part in members
    }
    notes = [*notes, *_alike(members, classes)]
    return Plan(listing.path, classes, labels, notes, groups, listing.members, listing.version)


# --- parts ---


def _top(files: Iterable[Parts]) -> Parts:
    """Return the one folder that all classes are in, as archives have it, or nothing."""
    tops = {parts[0] for parts in files if len(parts) > 1}
    is_deeper = any(len(parts) > 2 for parts in files)
    return tuple(tops) if len(tops) == 1 and is_deeper and not tops & {"train", "test"} else ()


def _prefixes(listing: Tree, top: Parts) -> tuple[dict[str, Parts], list[str]]:
    """Return the folder of each part, and a note if `train` is not a part but a class.

    Raises: Invalid.
    """
    folders = listing.subfolders(top)
    depths = {name: listing.depths.get((*top, name), set()) for name in folders}
    _check_part_names(listing, top, depths)
    if "train" not in folders:
        _check_no_lone_part(listing, depths)
        return {"train": top}, []
    if depths["train"] != {1}:
        return _parts(listing, top, depths), []
    reserved = ("train", "test", *VALIDATION)
    beside = [name for name in folders if name.lower() not in reserved and depths[name] == {1}]
    if not beside:
        class_folders.refuse_table(listing)
        n = len(listing.images((*top, "train")))
        raise errors.Invalid(
            f"{listing.path} has no class folder in train/, it holds {n} images itself: "
            f"expected {LAYOUT}; if `train` is a class, put all class folders into a folder "
            "called train"
        )
    note = (
        "train/ is read as a class called 'train', since it holds images itself, "
        f"as {names.list_some(beside)} do"
    )
    return {"train": top}, [note]


def _parts(listing: Tree, top: Parts, depths: dict[str, set[int]]) -> dict[str, Parts]:
    """Return the folder of each part. Raises: Invalid."""
    parts = {"train": (*top, "train")}
    if "test" in depths:
        parts["test"] = (*top, "test")
    # A part that holds images itself, in no class folder, is not used, with a note.
    called = [
        n for n, below in depths.items() if n.lower() in VALIDATION and max(below, default=0) > 1
    ]
    if len(called) > 1:
        raise errors.Invalid(
            f"{listing.path} has {names.list_some(called)}, which all mean a validation part: keep"
            " one of them"
        )
    for name in called:
        parts["validation"] = (*top, name)
    return parts


def _check_part_names(listing: Tree, top: Parts, depths: dict[str, set[int]]) -> None:
    for name, below in depths.items():
        part = ALIASES.get(name.lower())
        if name not in ALIASES.values() and part and max(below, default=0) > 1:
            raise errors.Invalid(
                f"folder {'/'.join((*top, name))!r} of {listing.path} is misnamed: "
                f"rename it to {part!r}; expected {LAYOUT}"
            )


def _check_no_lone_part(listing: Tree, depths: dict[str, set[int]]) -> None:
    for name, below in depths.items():
        if name.lower() in ("test", *VALIDATION) and 2 in below:
            raise errors.Invalid(
                f"{listing.path} has class folders in {name}/ but no train/: expected {LAYOUT}"
            )


def _check_classes(path: Path, folders: Iterable[str], class_of: dict[str, str], part: str) -> None:
    unknown = {names.normalize(folder) for folder in folders}.difference(class_of)
    if unknown:
        hint = nearest(min(unknown), sorted(class_of.values()))
        raise errors.Invalid(
            f"{path} has {names.list_some(unknown)} in the {part} part but not in the training part"
            f"{hint}: expected the same classes"
        )


def _labels(
    members: dict[str, list[str]], class_of: dict[str, str], classes: tuple[str, ...]
) -> dict[str, int]:
    """Return the label of each image of a part, in the order of classes and names."""
    images: dict[int, list[str]] = {}
    for folder, of in sorted(members.items()):
        label = classes.index(class_of[names.normalize(folder)])
        images.setdefault(label, []).extend(of)
    return {member: label for label in sorted(images) for member in images[label]}


# --- notes ---


def _unused(listing: Tree, used: set[str]) -> list[str]:
    """Return a note of the files that are not used."""
    unused = [
        name for name in listing.files.values() if name not in used and not listing.is_groups(name)
    ]
    if not unused:
        return []
    return [
        f"{len(unused)} files are not used, as they have no suffix of an image "
        f"({' '.join(SUFFIXES)}) or lie outside of {LAYOUT}: {names.list_some(unused)}"
    ]


def _alike(members: dict[str, dict[str, list[str]]], classes: tuple[str, ...]) -> list[str]:
    """Return notes of names that look the same, or nearly."""
    notes = [
        f"{len(spellings)} folders look like {key!r} (accents are written in two ways): "
        "they are one class"
        for folders in members.values()
        for key, spellings in class_folders.spellings(folders).items()
        if len(spellings) > 1
    ]
    folded = Counter(name.casefold() for name in classes)
    alike = [name for name in classes if folded[name.casefold()] > 1]
    if alike:
        notes.append(f"classes differ in upper and lower case only: {names.list_some(alike)}")
    return notes
