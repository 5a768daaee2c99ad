"""Full and read-only disks, real ones that root must mount. Run by `make test-system`."""

import os
import subprocess
import threading

import pytest

from job.coordination.database import Database
from job.errors import Unreachable
from job.storage.store import open_store


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_folder_store(disk):
    """A put to a full disk is a temporary error, and leaves no partial file."""
    store = open_store(f"file://{disk}/store", 1)
    store.put("small", b"1")
    with pytest.raises(Unreachable, match="no space left in file://"):
        store.put("large", bytes(2_000_000))
    assert [o.key for o in store.listing("")] == ["small"]
    assert [p.name for p in (disk / "store").iterdir()] == ["small"]


def test_a_temporarily_full_folder_store(disk):
    """A put to a full disk waits, and succeeds once there is room."""
    store = open_store(f"file://{disk}/store", 60)
    filler = disk / "filler"
    filler.write_bytes(bytes(900_000))
    room = threading.Timer(1, filler.unlink)
    room.start()
    store.put("k", bytes(500_000))
    room.join()
    assert store.get("k") == bytes(500_000)


def test_a_read_only_store(disk):
    """A put to a disk that is read-only is an error of this node: another node may write to it."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    sentence = "cannot be written or read: Read-only file system .*: this node, .*, is at fault"
    with pytest.raises(Unreachable, match=sentence):
        open_store(f"file://{disk}/store", 0).put("k", b"1")


def trial_rows(site) -> list[dict]:
    """Return the state of each trial and the attempts that count."""
    database = Database(site.database_url, 5)
    return database.rows("select state, counted from task where stage = 'trial'")


def test_a_read_only_cache(digits, disk):
    """With a read-only cache disk a worker returns the task and exits 69; elsewhere it succeeds."""
    place = {"JOB_CACHE_DIR": str(disk / "cache")}
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = digits.job("trial", "--index", 0, check=69, **place)
    sentence = (
        "cannot be used (Read-only file system):"
        f" this node, {os.uname().nodename}, is at fault, another may succeed"
    )
    assert sentence in done.stderr
    assert trial_rows(digits) == [{"state": "waiting", "counted": 0}]
    digits.job("trial", "--index", 0, check=0)


def test_a_full_cache(digits, disk):
    """With a full cache a worker returns the task and exits 69; on another disk it succeeds."""
    done = digits.job("trial", "--index", 0, check=69, JOB_CACHE_DIR=str(disk / "cache"))
    assert "no space left for the cache" in done.stderr
    assert trial_rows(digits) == [{"state": "waiting", "counted": 0}]
    files = [p for p in (disk / "cache").rglob("*") if p.is_file()]
    large = [p for p in files if not p.name.endswith(".lock") and p.stat().st_size > 100_000]
    assert large == []
    digits.job("trial", "--index", 0, check=0)


def test_a_full_disk_for_the_report(digits, disk):
    """A report that does not fit on the disk says so, and leaves no partial page."""
    fill = ["dd", "if=/dev/zero", f"of={disk}/filler", "bs=1k", "count=1020"]
    subprocess.run(fill, check=False, capture_output=True)
    done = digits.job("report", "--out", disk / "report", check=69)
    assert "no space left" in done.stderr
    assert not (disk / "report" / "index.html").exists()
