"""A file system that loses power: acknowledged writes are complete.

Root must mount it. Run by `make test-system`.
"""

import subprocess
import sys

import pytest

from job.storage.cache import Cache
from job.storage.store import open_store, sha256_of

SIZE = 500_000
# Writes to a folder store and through a cache in one process, and then shuts the file system down
# without a flush of its journal.
WRITER = """
import fcntl, os, struct, sys
from pathlib import Path
from job.storage.cache import Cache
from job.storage.store import open_store, sha256_of
top = Path(sys.argv[1])
open_store(f"file://{top}/store").put("a/b/k", b"x" * int(sys.argv[2]))
cache = Cache(open_store(f"file://{top}/store"), top / "cache", 1)
cache.file("a/b/k", sha256_of(top / "store/a/b/k"))
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
fcntl.ioctl(os.open(top, os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
"""


@pytest.fixture
def disk(tmp_path):
    """The folder of a new ext4, and a function that mounts it again."""
    image = tmp_path / "image"
    folder = tmp_path / "disk"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)

    def again():
        subprocess.run(["umount", folder], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)

    again()
    yield folder, again
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_writes_outlast_a_power_cut(disk):
    """After a power cut a stored object is there; a cached file is whole or downloaded again."""
    folder, again = disk
    subprocess.run([sys.executable, "-P", "-c", WRITER, str(folder), str(SIZE)], check=True)
    again()
    store = open_store(f"file://{folder}/store")
    assert [(o.key, o.size) for o in store.listing("", halves=True)] == [("a/b/k", SIZE)]
    path = Cache(store, folder / "cache", 1).file("a/b/k", sha256_of(folder / "store/a/b/k"))
    assert path.read_bytes() == store.get("a/b/k") == b"x" * SIZE
