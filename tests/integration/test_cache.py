"""The cache of a node, which many processes share."""

import subprocess
import sys

MAKER = """
import sys, time
from pathlib import Path
from job.data import Cache
cache, until = Cache(None, Path(sys.argv[1])), time.monotonic() + 4
while time.monotonic() < until:
    with cache.scratch() as folder:
        (folder / "file").write_bytes(b"x")
"""


def test_scratch_folders_side_by_side(tmp_path):
    """Processes that make and remove their scratch folders at one time are not in each other's way, and leave none."""
    makers = [subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path)], stderr=subprocess.PIPE, text=True) for _ in range(6)]
    said = [maker.communicate(timeout=60)[1] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 6, said
    assert not list((tmp_path / "scratch").glob("[!.]*"))
