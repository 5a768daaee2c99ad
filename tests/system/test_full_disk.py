"""Disks that are full or read-only: real ones, so that root is needed to mount them. Run by `make test-system`."""

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
    """A put onto a full disk is to be tried again, and leaves nothing half-written."""
    store = open_store(f"file://{disk}/store", 1)
    store.put("small", b"1")
    with pytest.raises(Unreachable, match="no space left in file://"):
        store.put("large", bytes(2_000_000))
    assert [o.key for o in store.listing("")] == ["small"]
    assert [p.name for p in (disk / "store").iterdir()] == ["small"]


def test_a_folder_store_that_is_full_for_a_while(disk):
    """A put that meets a full disk is done once there is room."""
    store, filler = open_store(f"file://{disk}/store", 60), disk / "filler"
    filler.write_bytes(bytes(900_000))
    room = threading.Timer(1, filler.unlink)
    room.start()
    store.put("k", bytes(500_000))
    room.join()
    assert store.get("k") == bytes(500_000)


def test_a_read_only_store(disk):
    """A put onto a disk that is read-only here is out of reach for this node; another may have it whole."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(
        Unreachable,
        match="cannot be written or read: Read-only file system .*: this node, .*, is at fault",
    ):
        open_store(f"file://{disk}/store", 0).put("k", b"1")


def test_a_read_only_cache(small, disk):
    """A worker whose cache disk turned read-only gives the task back and exits 69: elsewhere it is done."""
    small.job("prepare", "small.toml", check=0)
    place = {"JOB_CACHE_DIR": str(disk / "cache")}
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = small.job("trial", "--index", 0, check=69, **place)
    assert (
        f"cannot be used (Read-only file system): this node, {os.uname().nodename}, is at fault, another may succeed"
        in done.stderr
    )
    assert Database(small.database_url, 5).rows(
        "select state, counted from task where stage = 'trial'"
    ) == [{"state": "waiting", "counted": 0}]
    small.job("trial", "--index", 0, check=0)


def test_a_full_cache(small, disk):
    """A worker whose cache is full gives the task back and exits 69; on another disk the task is done."""
    small.job("prepare", "small.toml", check=0)
    done = small.job("trial", "--index", 0, check=69, JOB_CACHE_DIR=str(disk / "cache"))
    assert "no space left for the cache" in done.stderr
    assert Database(small.database_url, 5).rows(
        "select state, counted from task where stage = 'trial'"
    ) == [{"state": "waiting", "counted": 0}]
    assert not [
        p
        for p in (disk / "cache").rglob("*")
        if p.is_file() and not p.name.endswith(".lock") and p.stat().st_size > 100_000
    ]
    small.job("trial", "--index", 0, check=0)


def test_a_full_disk_for_the_report(small, disk):
    """A report that does not fit says so, and leaves no page half-written."""
    small.job("prepare", "small.toml", check=0)
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={disk}/filler", "bs=1k", "count=1020"],
        check=False,
        capture_output=True,
    )
    done = small.job("report", "--out", disk / "report", check=69)
    assert "no space left" in done.stderr
    assert not (disk / "report" / "index.html").exists()
