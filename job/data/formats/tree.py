"""The names in a folder or an archive, as a tree."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from job.data import archives
from job.data.archives import Member
from job.data.decoding import SUFFIXES
from job.errors import Invalid

Parts = tuple[str, ...]  # a path, cut at "/"


@dataclass(frozen=True)
class Tree:
    """The names in a folder or an archive."""

    path: Path
    files: dict[Parts, str]  # -> the member's name
    folders: set[Parts]
    depths: dict[Parts, set[int]]  # folder -> how deep below it images are; 1 is directly in it
    groups: str | None  # `data.groups`: a file of this name is expected beside the images
    members: Callable[[], Iterable[Member]]  # goes through all members anew
    version: list[object]  # JSON, equal only for files that did not change

    def below(self, prefix: Parts) -> list[Parts]:
        """Return the files below a folder, at any depth, sorted."""
        n = len(prefix)
        return sorted(parts for parts in self.files if parts[:n] == prefix and len(parts) > n)

    def images(self, prefix: Parts) -> list[Parts]:
        """Return the images below a folder, at any depth, sorted."""
        return [parts for parts in self.below(prefix) if is_image(parts[-1])]

    def subfolders(self, prefix: Parts) -> list[str]:
        """Return the names of the folders directly in a folder, sorted."""
        n = len(prefix)
        inside = [parts for parts in self.folders if len(parts) == n + 1 and parts[:n] == prefix]
        return sorted(parts[n] for parts in inside)

    def is_groups(self, name: str) -> bool:
        """Tell whether a member is the file of `data.groups`."""
        return self.groups in (name, name.partition("/")[2])


def is_image(name: str) -> bool:
    """Tell whether a name has the suffix of a supported image format."""
    return name.lower().endswith(SUFFIXES)


def read(path: Path, groups: str | None) -> Tree:
    """Read the names in a folder or an archive.

    Args:
        path: the folder or archive.
        groups: `data.groups`.

    Raises:
        errors.Invalid: damaged or unsafe, as `archives.members`.
    """
    files: dict[Parts, str] = {}
    folders: set[Parts] = set()
    versions: dict[str, object] = {}
    members = partial(archives.members, path)
    if path.is_dir():
        listed = [*members()]
        members = listed.copy
    for member in members():
        parts = PurePosixPath(member.name).parts
        if member.is_folder:
            folders.add(parts)
        elif parts in files:
            raise Invalid(
                f"{path} has {member.name!r} twice, perhaps with other content: pack it again"
            )
        else:
            files[parts] = member.name
            versions[member.name] = member.version
    # An archive need not list its folders.
    folders |= {parts[:n] for parts in files for n in range(1, len(parts))}
    state = path.stat()
    version: list[object] = [state.st_size, state.st_mtime_ns]
    if path.is_dir():
        version = [*versions.items()]
    return Tree(path, files, folders, _depths(files), groups, members, version)


def _depths(files: dict[Parts, str]) -> dict[Parts, set[int]]:
    depths: defaultdict[Parts, set[int]] = defaultdict(set)
    for parts in files:
        if is_image(parts[-1]):
            for n in range(len(parts)):
                depths[parts[:n]].add(len(parts) - n)
    return depths
