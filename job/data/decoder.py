"""Decode the image files of a data set on all cores, into the rows of a pixel file."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from job.data import decoding, depths, names
from job.data.formats.plan import Plan
from job.data.pixel_file import PixelFile
from job.data.progress import progress
from job.data.threads import on_all_cores
from job.data.unreadable import Refused, refused
from job.errors import Invalid

log = logging.getLogger(__name__)


class Decoder:
    """Decodes the image files of a data set into the rows of a pixel file.

    Attributes:
        bits: how many of their 16 bits the 16-bit images use, once all are decoded.
        damaged: row -> why its image cannot be read.
    """

    def __init__(
        self,
        plan: Plan,
        ordered: list[str],
        size: tuple[int, int] | None,
        fit: str,
        file: PixelFile,
    ):
        """Args: plan: of the data. ordered: the name of each row."""
        self.bits = 16
        self.damaged: dict[int, Refused] = {}
        self._plan = plan
        self._ordered = ordered
        self._size = size
        self._fit = fit
        self._file = file

    def decode_all(self, skip: bool) -> list[str]:
        """Decode every file; return notes for the user.

        Args:
            skip: leave out damaged images, instead of refusing them.

        Raises:
            errors.Invalid: damaged images, or images that differ in size.
            errors.Unreachable: the disk is full or broken.
        """
        facts = self._file.facts
        with decoding.bounded():
            self._decode(np.flatnonzero(~facts["is_done"]))
            notes = self._judge_damage(skip)
            if not self._size and len(sizes_of(facts)) > 1:
                raise Invalid(
                    f"images differ in size, {_list_sizes(facts, self._ordered)}: "
                    "set data.image_size, one side of a square or [height, width]"
                )
            deep = facts["is_done"] & (facts["largest"] >= 0)
            if not deep.any():
                return notes
            largest = int(facts["largest"][deep].max())
            self.bits = depths.smallest(largest)
            before = len(self.damaged)
            self._decode(np.flatnonzero(deep & (facts["bits"] != self.bits)))
            self._judge_damage(skip and len(self.damaged) == before)
        if self.bits < 16:
            notes.append(
                f"{deep.sum()} images of 16 bits use only {self.bits} of them (the largest value "
                f"is {largest}): 0..{2**self.bits - 1} became 0..255, as it will in images to "
                "predict"
            )
        return notes

    def _decode(self, rows: np.ndarray) -> None:
        """Decode the files of some rows, on all cores."""
        if not len(rows):
            return
        row_of = {self._ordered[row]: row for row in rows.tolist()}
        total = len(self._ordered)
        with progress("decoding", total, total - len(rows)) as advance:
            for _ in on_all_cores(self._jobs(row_of)):
                advance()

    def _judge_damage(self, skip: bool) -> list[str]:
        """Refuse damaged images, or return a note of those that are left out. Raises: Invalid."""
        if not self.damaged:
            return []
        rows = sorted(self.damaged)
        found = [self.damaged[row] for row in rows]
        counts = Counter(image.kind for image in found)
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
        unread = f"{len(rows)} of {len(self._ordered)} images cannot be read ({kinds})"
        listed = names.list_some(self._ordered[row] for row in rows)
        if len(rows) > 1:
            for image in found:
                log.warning("%s", image.sentence)
        is_damage = all(image.is_damage for image in found)
        if skip and is_damage and len(rows) < len(self._ordered):
            return [f"{unread} and are left out: {listed}"]
        sentence = found[0].sentence
        if len(rows) > 1:
            sentence += f"; in all, {unread}: {listed}; the log has the reason of each"
        if is_damage and not skip:
            sentence += '; data.damaged = "skip" would leave out what cannot be read'
        raise Invalid(sentence)

    def _jobs(self, row_of: dict[str, int]) -> Iterator[tuple[Callable[[], None], int]]:
        """Yield a call per file that decodes it, and the bytes that it holds until then."""
        for member in self._plan.members():
            row = row_of.get(member.name)
            if row is None:
                continue
            if member.version:
                size, _ = member.version
                yield partial(self._decode_one, row, member.name, member.read), size
                continue
            try:
                content = member.read()
            except Invalid as exc:
                self.damaged[row] = refused(exc)
                continue
            yield partial(self._decode_one, row, member.name, partial(bytes, content)), len(content)

    def _decode_one(self, row: int, name: str, content: Callable[[], bytes]) -> None:
        """Decode a file into its row, or note what is wrong with it."""
        what = f"image {name!r} of {self._plan.path}"
        try:
            decoded = decoding.decode(content(), what, self._size, self.bits, self._fit)
        except Invalid as exc:
            self.damaged[row] = refused(exc)
            return
        pixels = np.asarray(decoded.image)
        self._file.write(row, pixels, decoded.size, decoded.largest, self.bits)


def sizes_of(facts: np.ndarray) -> Counter[tuple[int, int]]:
    """Return the number of decoded images of each (width, height), as the files have them."""
    facts = facts[facts["is_done"]]
    return Counter(zip(facts["width"].tolist(), facts["height"].tolist(), strict=True))


def _list_sizes(facts: np.ndarray, ordered: list[str]) -> str:
    """Return the smallest, the largest and the most frequent size, each with an image of it."""
    sizes = sizes_of(facts)
    by_area = sorted(sizes, key=_area)
    most_frequent = sizes.most_common(1)[0][0]
    listed = dict.fromkeys((by_area[0], by_area[-1], most_frequent))
    examples = []
    for width, height in listed:
        has_size = (facts["width"] == width) & (facts["height"] == height)
        row = np.flatnonzero(facts["is_done"] & has_size)[0]
        n = sizes[width, height]
        examples.append(f"{width} x {height} ({n} images, {ordered[row]!r})")
    others = len(sizes) - len(listed)
    more = f" and {others} more sizes" if others else ""
    return f"{', '.join(examples)}{more} (width x height)"


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    width, height = size
    return width * height, size
