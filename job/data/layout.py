"""Which files of a folder or an archive are images of which class: by their names alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from job import errors
from job.data import archives, foreign, names
from job.data.decoding import CONVERT, SUFFIXES
from job.sentences import nearest

PARTS = ("train", "test")
ALIKE = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
}  # in any case: what a part may be miscalled
LEFT_OUT = (
    "val",
    "valid",
    "validation",
    "dev",
)  # in any case: a part we make ourselves, of the training part
LAYOUT = "train/<class>/<image> and perhaps test/<class>/<image>, or <class>/<image>"
TABLES = {
    ".csv": "a CSV",
    ".tsv": "a TSV",
    ".json": "a JSON file",
    ".xlsx": "a spreadsheet",
}  # what labels may stand in
Parts = tuple[str, ...]  # a path, cut at "/"


@dataclass(frozen=True)
class Plan:
    """What is to be read."""

    classes: tuple[str, ...]
    labels: dict[str, dict[str, int]]  # part ("train", perhaps "test") -> member -> label, in order
    notes: list[str]


@dataclass(frozen=True)
class Tree:
    """The names in a folder or archive."""

    path: Path
    files: dict[Parts, str]  # -> the member's name
    folders: set[Parts]
    depths: dict[Parts, set[int]]  # folder -> how deep below it images stand; 1 is in it
    beside: str | None  # the name of a file that is no image and rightly there

    def below(self, prefix: Parts) -> list[Parts]:
        """Return the files below a folder, at any depth, sorted."""
        return sorted(
            parts
            for parts in self.files
            if parts[: len(prefix)] == prefix and len(parts) > len(prefix)
        )

    def images(self, prefix: Parts) -> list[Parts]:
        """Return the images below a folder, at any depth, sorted."""
        return [parts for parts in self.below(prefix) if is_image(parts[-1])]

    def subfolders(self, prefix: Parts) -> list[str]:
        """Return the names of the folders in a folder, sorted."""
        n = len(prefix)
        return sorted(
            parts[n] for parts in self.folders if len(parts) == n + 1 and parts[:n] == prefix
        )


def is_image(name: str) -> bool:
    """Tell whether a name has the suffix of an image that is read."""
    return name.lower().endswith(SUFFIXES)


def plan(path: Path, beside: str | None) -> Plan:
    """Return which members of a folder or archive are images of which class.

    Classes are sorted by name, their images by name. Two spellings of a name that look the same are one class.

    Args: beside: the name of a file that is no image and rightly there.
    Raises: Invalid, saying what was seen, what is expected.
    """
    tree = _tree(path, beside)
    top = _top(tree.files)
    prefixes, notes = _prefixes(tree, top)
    found = {part: _classes_below(tree, prefix) for part, prefix in prefixes.items()}
    spelt = {
        key: key if len(spellings) > 1 else spellings[0]
        for key, spellings in _spellings(found["train"]).items()
    }
    classes = tuple(sorted(spelt.values()))
    if len(classes) < 2:
        _refuse_labels_elsewhere(tree)
    if unknown := {names.same(folder) for folder in found.get("test", ())}.difference(spelt):
        hint = nearest(min(unknown), classes)
        raise errors.Invalid(
            f"{path} has {names.some(unknown)} in test/ but not in train/{hint}: expected the same classes"
        )
    labels = {part: _labels(tree, of, spelt, classes) for part, of in found.items()}
    notes += _unused(
        tree, top, {name for of in labels.values() for name in of}, split=prefixes["train"] != top
    )
    return Plan(classes, labels, [*notes, *_alike(found, classes)])


def _tree(path: Path, beside: str | None) -> Tree:
    files, folders = {}, set()
    for member in archives.members(path):
        parts = PurePosixPath(member.name).parts
        if member.is_folder:
            folders.add(parts)
        else:
            files[parts] = member.name
    folders |= {
        parts[:n] for parts in files for n in range(1, len(parts))
    }  # an archive need not name them
    depths = defaultdict(set)
    for parts in files:
        for n in range(len(parts) if is_image(parts[-1]) else 0):
            depths[parts[:n]].add(len(parts) - n)
    return Tree(path, files, folders, depths, beside)


def _top(files: Iterable[Parts]) -> Parts:
    """Return the one folder all classes are in, as archives have it, or nothing."""
    tops = {parts[0] for parts in files if len(parts) > 1}
    deeper = any(len(parts) > 2 for parts in files)
    return tuple(tops) if len(tops) == 1 and deeper and not tops & {*PARTS} else ()


def _prefixes(tree: Tree, top: Parts) -> tuple[dict[str, Parts], list[str]]:
    """Return the folder of each part, and a note when `train` is no part but a class. Raises: Invalid."""
    folders, depths = (
        tree.subfolders(top),
        {name: tree.depths.get((*top, name), set()) for name in tree.subfolders(top)},
    )
    for name in folders:
        if name not in PARTS and name.lower() in ALIKE and max(depths[name], default=0) > 1:
            meant = ALIKE[name.lower()]
            raise errors.Invalid(
                f"folder {'/'.join((*top, name))!r} of {tree.path} is miscalled: rename it to {meant!r}; expected {LAYOUT}"
            )
    if "train" not in folders:
        for name in folders:
            if name.lower() in ("test", *LEFT_OUT) and 2 in depths[name]:
                raise errors.Invalid(
                    f"{tree.path} has class folders in {name}/ but no train/: expected {LAYOUT}"
                )
        return {"train": top}, []
    beside = [
        name for name in folders if name.lower() not in (*PARTS, *LEFT_OUT) and depths[name] == {1}
    ]
    if depths["train"] != {1}:
        return {part: (*top, part) for part in PARTS if part in folders}, []
    if not beside:
        _refuse_labels_elsewhere(tree)
        raise errors.Invalid(
            f"{tree.path} has no class folder in train/, it holds {len(tree.images((*top, 'train')))} images itself: expected {LAYOUT}; "
            "if `train` is a class, put all class folders into a folder called train"
        )
    return {"train": top}, [
        f"train/ is taken for a class called 'train', as it holds images itself, as {names.some(beside)} do"
    ]


def _refuse_labels_elsewhere(tree: Tree) -> None:
    """Raise Invalid when images that are in no class folders have a table beside them."""
    for parts, name in sorted(tree.files.items()):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in TABLES and tree.beside not in (name, name.partition("/")[2]):
            raise errors.Invalid(
                f"{tree.path} has no class folders but {parts[-1]!r}: labels from {TABLES[suffix]} are not read yet; "
                f"put the images into class folders, {LAYOUT}"
            )


def _classes_below(tree: Tree, prefix: Parts) -> dict[str, list[str]]:
    """Return the images of each class folder below `prefix`: {folder's name: sorted members}. Raises: Invalid."""
    found = {name: [] for name in tree.subfolders(prefix)}
    for parts in tree.images(prefix):
        if len(parts) > len(prefix) + 2:
            raise _too_deep(tree, prefix, parts)
        if len(parts) == len(prefix) + 2:
            found[parts[-2]].append(_checked(tree, parts))
    if () not in tree.depths:
        _refuse_known(tree)
    if not found:
        if prefix in tree.depths:
            _refuse_labels_elsewhere(tree)
        where = f" in {'/'.join(prefix)}/" if prefix else ""
        raise errors.Invalid(
            f"{tree.path} has no class folder{where}: expected {LAYOUT}; {_content(tree, prefix)}"
        )
    for name in found:
        if not found[name]:
            folder = (*prefix, name)
            what, todo = _content(tree, folder), _advice(tree.below(folder))
            raise errors.Invalid(
                f"class folder {'/'.join(folder)!r} of {tree.path} has no image ({' '.join(SUFFIXES)}), {what}: {todo}"
            )
    return found


def _checked(tree: Tree, parts: Parts) -> str:
    """Return the member, all of whose names are text. Raises: Invalid."""
    for n, name in enumerate(parts, 1):
        names.checked(
            name, f"an image of {tree.path}" if n == len(parts) else f"a folder of {tree.path}"
        )
    return tree.files[parts]


def _too_deep(tree: Tree, prefix: Parts, parts: Parts) -> errors.Invalid:
    n = len(prefix)
    level = "one level" if len(parts) == n + 3 else f"{len(parts) - n - 2} levels"
    inner = "/".join(parts[n:-2])
    return errors.Invalid(
        f"image {names.shown(tree.files[parts])} of {tree.path} is {level} too deep: expected {LAYOUT}; "
        f"if {parts[-2]!r} is the class, move what is in {inner!r} up, or name that folder as the data"
    )


def _refuse_known(tree: Tree) -> None:
    """Raise Invalid when there is no image but the names are those of another form of data."""
    if said := foreign.looks_like(tree.files.values()):
        raise errors.Invalid(f"{tree.path} has no image, {said}")


def _content(tree: Tree, prefix: Parts) -> str:
    """Say what is in a folder."""
    files, folders = tree.below(prefix), tree.subfolders(prefix)
    if not files:
        return f"only folders without a file: {names.some(folders)}" if folders else "it is empty"
    kinds = Counter(
        PurePosixPath(parts[-1]).suffix.lower() or "without a suffix" for parts in files
    )
    return f"it holds {', '.join(f'{n} {kind}' for kind, n in kinds.most_common(5))}"


def _advice(files: list[Parts]) -> str:
    """Say how to get images out of what is there."""
    known = CONVERT | {
        suffix: f"labels from {what} are not read yet; put the images into class folders"
        for suffix, what in TABLES.items()
    }
    suffixes = {PurePosixPath(parts[-1]).suffix.lower() for parts in files}
    return next(
        (known[suffix] for suffix in sorted(suffixes) if suffix in known), "remove it or add some"
    )


def _spellings(folders: Iterable[str]) -> dict[str, list[str]]:
    """Return the folders' names by what they look like."""
    found = {}
    for name in sorted(folders):
        found.setdefault(names.same(name), []).append(name)
    return found


def _labels(
    tree: Tree, found: dict[str, list[str]], spelt: dict[str, str], classes: tuple[str, ...]
) -> dict[str, int]:
    """Return the label of each image of a part, in the order of classes and names."""
    of = {}
    for folder, members in sorted(found.items()):
        of.setdefault(classes.index(spelt[names.same(folder)]), []).extend(members)
    return {member: label for label in sorted(of) for member in of[label]}


def _unused(tree: Tree, top: Parts, used: set[str], split: bool) -> list[str]:
    """Return notes of a validation part, which is left out, and of other files that are not used."""
    notes, left = [], set()
    for name in tree.subfolders(top) if split else ():
        if name.lower() in LEFT_OUT and (images := tree.images((*top, name))):
            notes.append(
                f"{len(images)} images in {name}/ are left out: training and test are read; move them into train/ to use them"
            )
            left |= set(tree.below((*top, name)))
    ignored = [
        name
        for parts, name in tree.files.items()
        if name not in used
        and parts not in left
        and tree.beside not in (name, name.partition("/")[2])
    ]
    if ignored:
        kinds = f"no image by their suffix ({' '.join(SUFFIXES)}), or outside of {LAYOUT}"
        notes.append(f"{len(ignored)} files are not used: {kinds}: {names.some(ignored)}")
    return notes


def _alike(found: dict[str, dict[str, list[str]]], classes: tuple[str, ...]) -> list[str]:
    """Return notes of names that look the same, or nearly."""
    notes = [
        f"{len(spellings)} folders look like {key!r} (accents are written in two ways): they are one class"
        for of in found.values()
        for key, spellings in _spellings(of).items()
        if len(spellings) > 1
    ]
    folded = Counter(name.casefold() for name in classes)
    alike = [name for name in classes if folded[name.casefold()] > 1]
    return notes + (
        [f"classes differ in upper and lower case only: {names.some(alike)}"] if alike else []
    )
