"""The class folders of a data set: their images, their names, and what is wrong with them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from job import errors
from job.data import names
from job.data.decoding import CONVERT, SUFFIXES
from job.data.formats import foreign
from job.data.formats.tree import Parts, Tree

LAYOUT = "train/<class>/<image> and perhaps test/<class>/<image>, or <class>/<image>"
# Files that may hold labels, and how to use them.
AS_CSV = "save it as CSV, and name that in data.labels"
TABLES: dict[str, str] = dict.fromkeys((".csv", ".tsv", ".jsonl"), "name it in data.labels")
TABLES |= dict.fromkeys((".json", ".xlsx"), AS_CSV)


def refuse_table(listing: Tree) -> None:
    """Raise Invalid if a table lies beside images that are in no class folders."""
    for parts, name in sorted(listing.files.items()):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in TABLES and not listing.is_groups(name):
            raise errors.Invalid(
                f"{listing.path} has no class folders but {parts[-1]!r}: if that has the labels,"
                f" {TABLES[suffix]}, else put the images into class folders, {LAYOUT}"
            )


def classes_below(listing: Tree, prefix: Parts, join: bool = False) -> dict[str, list[str]]:
    """Return the images of each class folder: {folder's name: sorted members}.

    Args:
        listing: all names.
        prefix: the folder that the class folders are in.
        join: a class is called after all folders above its images, joined by "/".

    Raises:
        errors.Invalid: folders within class folders, unless joined; a class folder without an
            image; no class folder.
    """
    images: dict[str, list[str]] = {}
    n = len(prefix)
    for parts in listing.images(prefix):
        depth = len(parts) - n
        if depth > 2 and not join:
            raise _too_deep(listing, prefix, parts)
        if depth >= 2:
            _check_texts(listing, parts)
            images.setdefault("/".join(parts[n:-1]), []).append(listing.files[parts])
    if () not in listing.depths:
        _refuse_foreign(listing)
    folders = listing.subfolders(prefix)
    if not folders:
        raise _no_class_folder(listing, prefix)
    for name in folders:
        if not listing.depths.get((*prefix, name)):
            raise _no_image(listing, (*prefix, name))
    return images


def _check_texts(listing: Tree, parts: Parts) -> None:
    *folders, image = parts
    for name in folders:
        names.check_text(name, f"a folder of {listing.path}")
    names.check_text(image, f"an image of {listing.path}")


def _too_deep(listing: Tree, prefix: Parts, parts: Parts) -> errors.Invalid:
    n = len(prefix)
    excess = len(parts) - n - 2
    levels = "one level" if excess == 1 else f"{excess} levels"
    inner = "/".join(parts[n:-2])
    return errors.Invalid(
        f"image {names.quote(listing.files[parts])} of {listing.path} is {levels} too deep: "
        f"expected {LAYOUT}; if {parts[-2]!r} is the class, move what is in {inner!r} up, "
        'or name that folder as the data; data.nested = "join" would call the class '
        f"{'/'.join(parts[n:-1])!r}"
    )


def _refuse_foreign(listing: Tree) -> None:
    """Raise Invalid if there is no image and the names are those of another form of data."""
    if hint := foreign.looks_like(listing.files.values()):
        raise errors.Invalid(f"{listing.path} has no image, {hint}")


def _no_class_folder(listing: Tree, prefix: Parts) -> errors.Invalid:
    if prefix in listing.depths:
        refuse_table(listing)
    where = f" in {'/'.join(prefix)}/" if prefix else ""
    return errors.Invalid(
        f"{listing.path} has no class folder{where}: expected {LAYOUT}; {_content(listing, prefix)}"
    )


def _no_image(listing: Tree, folder: Parts) -> errors.Invalid:
    return errors.Invalid(
        f"class folder {'/'.join(folder)!r} of {listing.path} has no image "
        f"({' '.join(SUFFIXES)}), {_content(listing, folder)}: {_advice(listing.below(folder))}"
    )


def _content(listing: Tree, prefix: Parts) -> str:
    """Return a clause that says what is in a folder."""
    files = listing.below(prefix)
    folders = listing.subfolders(prefix)
    if not files:
        only = f"only folders without a file: {names.list_some(folders)}"
        return only if folders else "it is empty"
    suffixes = (PurePosixPath(parts[-1]).suffix.lower() for parts in files)
    kinds = Counter(suffix or "without a suffix" for suffix in suffixes)
    return f"it holds {', '.join(f'{n} {kind}' for kind, n in kinds.most_common(5))}"


def _advice(files: list[Parts]) -> str:
    """Return a clause that says how to turn these files into images."""
    advice = dict(CONVERT)
    for suffix, use in TABLES.items():
        advice[suffix] = f"if it has the labels, {use}"
    suffixes = sorted({PurePosixPath(parts[-1]).suffix.lower() for parts in files})
    known = [advice[suffix] for suffix in suffixes if suffix in advice]
    return known[0] if known else "remove it or add images"


def spellings(folders: Iterable[str]) -> dict[str, list[str]]:
    """Return the folders' names by what they look like."""
    spellings: dict[str, list[str]] = {}
    for name in sorted(folders):
        spellings.setdefault(names.normalize(name), []).append(name)
    return spellings


def class_names(folders: Iterable[str]) -> dict[str, str]:
    """Return the class of each normalized name: its only spelling, of several the normalized."""
    return {
        key: key if len(spellings) > 1 else spellings[0]
        for key, spellings in spellings(folders).items()
    }
