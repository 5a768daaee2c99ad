"""WebDataset: tars with samples, each an image and its label in members of one name.

Source: github.com/webdataset/webdataset, "The WebDataset Format". `a/0001.jpg` and `a/0001.cls`
are one sample; the label may also be a field of `a/0001.json`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from job.data import archives, names
from job.data.archives import Member
from job.data.decoding import SUFFIXES
from job.data.formats import part_names, plan
from job.data.formats.plan import Plan, Record, Records
from job.data.formats.tree import Tree
from job.errors import Invalid
from job.sentences import show

CLASS = ".cls"
JSON = ".json"
SHARD = re.compile(r"\.(tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
EXPECTED = (
    "expected an image and its label in members of one name up to the first dot, as 0001.jpg and"
    " 0001.cls"
)


def is_shard(name: str) -> bool:
    """Tell whether a file is called as a tar is."""
    return SHARD.search(name) is not None


def has_samples(listing: Tree) -> bool:
    """Tell whether at least half of the images of an archive have a label in a member."""
    there = [name.lower() for name in listing.files.values()]
    images = sum(map(_is_image, there))
    return 2 * sum(name.endswith(CLASS) for name in there) >= images > 0


def has_described_samples(listing: Tree) -> bool:
    """Tell whether each image of an archive has a JSON beside it."""
    there = {name.lower() for name in listing.files.values()}
    images = [name for name in there if _is_image(name)]
    return bool(images) and all(f"{_key(name)}{JSON}" in there for name in images)


def read(path: Path, shards: list[str] | None, field: str | None) -> Plan:
    """Return the plan of one tar, or of all tars in a folder.

    Args:
        path: the tar, or the folder.
        shards: the tars in the folder; None if `path` is the tar.
        field: `data.labels`: the field of the JSON with the label; None for `.cls`.

    Raises:
        Invalid: damaged or unsafe; an image without a label, or a label without an image.
    """
    by_part = part_names.by_part(shards, str(path)) if shards else {"train": [""]}
    every = [shard for of in by_part.values() for shard in of]
    records = Records(
        path,
        {
            part: [r for shard in of for r in _records(path, shard, field)]
            for part, of in by_part.items()
        },
        label_name=f"the field {field!r}" if field else f"the labels ({CLASS})",
        members=partial(_members, path, every),
        version=plan.version_of(path, every),
    )
    return plan.of_records(records)


def _members(path: Path, shards: list[str]) -> Iterator[Member]:
    """Yield the members of all shards, each named after its shard."""
    for shard in shards:
        for member in archives.members(path / shard):
            yield member._replace(name=f"{shard}/{member.name}" if shard else member.name)


def _records(path: Path, shard: str, field: str | None) -> list[Record]:
    """Return the samples of a shard. Raises: Invalid."""
    where = path / shard
    images: dict[str, list[str]] = defaultdict(list)
    labels: dict[str, str | int] = {}
    fields: set[str] = set()
    wanted = JSON if field else CLASS
    for member in archives.members(where):
        if member.is_folder:
            continue
        key = _key(member.name)
        suffix = member.name.removeprefix(key).lower()
        if _is_image(member.name):
            images[key].append(member.name)
        elif suffix == wanted:
            if key in labels:
                raise Invalid(f"{where} has {member.name!r} twice: pack it again")
            labels[key] = _label(member, where, field)
        elif suffix == JSON and not fields:
            fields.update(_fields(member))
    _check_pairs(where, images, labels, wanted, fields)
    prefix = f"{shard}/" if shard else ""
    records = []
    for key, found in images.items():
        name = _one_of(found, where)
        order = (*PurePosixPath(name).parts, shard)
        records.append(Record(f"{prefix}{name}", labels[key], order))
    return records


def _check_pairs(
    where: Path,
    images: dict[str, list[str]],
    labels: dict[str, str | int],
    wanted: str,
    fields: set[str],
) -> None:
    """Check that each sample has an image and a label. Raises: Invalid."""
    for has, lacks, what in ((images, labels, f"label ({wanted})"), (labels, images, "image")):
        alone = sorted(set(has).difference(lacks))
        if alone:
            advice = EXPECTED
            if fields and wanted == CLASS:
                advice = (
                    f"name the field of its JSON in data.labels, one of {', '.join(sorted(fields))}"
                )
            raise Invalid(
                f"{where}: sample {alone[0]!r} has no {what}, {len(alone)} of"
                f" {len({*images, *labels})} samples lack it: {advice}"
            )
    if not images:
        raise Invalid(f"{where} has no sample: {EXPECTED}")


def _one_of(found: list[str], where: Path) -> str:
    """Return the image of a sample: of several the only one of a plain suffix. Raises: Invalid."""
    plain = [name for name in found if name.removeprefix(_key(name)).count(".") == 1]
    if len(found) == 1:
        return found[0]
    if len(plain) == 1:  # beside masks, such as 0001.seg.png
        return plain[0]
    raise Invalid(
        f"{where} has the images {names.list_some(found)} in one sample, whose name ends at the"
        " first dot: keep one of them"
    )


def _fields(member: Member) -> list[str]:
    """Return the fields of a JSON member, none if it is no JSON."""
    try:
        found = json.loads(member.read())
    except (ValueError, RecursionError):
        return []
    return sorted(found) if isinstance(found, dict) else []


def _label(member: Member, shard: Path, field: str | None) -> int | str:
    """Return the label of a sample. Raises: Invalid."""
    what = f"{member.name!r} of {shard}"
    try:
        text = member.read().decode("utf-8-sig").strip()
        if field is None:
            return plan.number_or_text(text, what)
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Invalid(f"{what} is not UTF-8 {'JSON' if field else 'text'}: {EXPECTED}") from exc
    if not isinstance(found, dict) or field not in found:
        has = ", ".join(map(str, found)) if isinstance(found, dict) else show(found)
        raise Invalid(f"data.labels = {field!r}: {what} has no such field, it has {has}")
    return plan.number_or_text(found[field], what)


def _key(name: str) -> str:
    """Return what all members of a sample share: the path up to the first dot of its last piece."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
