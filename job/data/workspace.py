"""What the reading of one data set keeps on the cache's disk, until it is staged."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from job import errors
from job.data.downloads import writing
from job.data.images import DIGEST_BYTES, Images, Stack, digest
from job.interrupt import INTERRUPT
from job.storage.cache_folder import CacheFolder


class Workspace:
    """Folders of this process on the cache's disk, made when they are first asked for.

    Attributes:
        folder: the cache; downloads are kept in it, too.
    """

    def __init__(self, folder: Path, scratch: ExitStack, unfinished: ExitStack):
        """Args: scratch, unfinished: what to enter these folders into."""
        self.folder = folder
        self._cache = CacheFolder(folder)
        self._scratch = scratch
        self._unfinished = unfinished

    @cached_property
    def scratch(self) -> Path:
        """An empty folder that ends with the workspace."""
        return self._scratch.enter_context(self._cache.scratch())

    def unfinished(self, name: str) -> Path:
        """Return a folder that also ends with the workspace, unless a signal ends the process.

        The next process that asks for this name gets it as it was left. While another one has
        it, this waits.
        """
        return self._unfinished.enter_context(self._cache.unfinished(name))

    def new_file(self) -> Path:
        """Return an empty file in `scratch`."""
        handle, path = tempfile.mkstemp(dir=self.scratch)
        os.close(handle)
        return Path(path)

    def write(self, blocks: Iterable[np.ndarray], shape: tuple[int, ...]) -> Images:
        """Write images to a file, block by block, and return them mapped.

        Args:
            blocks: uint8 [., height, width, 3] each.
            shape: of all together.

        Raises:
            Unreachable: the disk is full or broken.
        """
        n, height, width, channels = shape
        what = f"{n:,} images of {width} x {height} pixels"
        self.check_room(2 * n * height * width * channels, what)
        path = self.new_file()
        digests = []
        with writing(path), open(path, "wb") as file:
            for block in blocks:
                INTERRUPT.check()
                file.write(np.ascontiguousarray(block).data)
                digests += [digest(image) for image in block]
        array = np.memmap(path, np.uint8, "r", shape=(n, height, width, channels))
        return Images.of(Stack(array, np.array(digests, f"S{DIGEST_BYTES}")))

    def check_room(self, needed: int, what: str, way_out: str = "") -> None:
        """Raise `Unreachable` if the disk has less room than is needed.

        Args:
            needed: bytes that are still to be written.
            what: they are, for the error.
            way_out: another way out than a larger disk.
        """
        free = shutil.disk_usage(self.scratch).free
        if free < needed:
            raise errors.Unreachable(
                f"{what} need {needed / 1e9:.1f} GB in {self.folder}, whose disk has"
                f" {free / 1e9:.1f} GB left: free some, or set JOB_CACHE_DIR to a larger disk"
                f"{way_out}"
            )


@contextmanager
def workspace(folder: Path) -> Generator[Workspace]:
    """Yield a workspace on the disk of a cache, and remove what it made at the end of the block."""
    # An OSError of the block is not one of the scratch folder, which closing hides it from.
    with ExitStack() as unfinished, closing(ExitStack()) as scratch:
        yield Workspace(folder, scratch, unfinished)
