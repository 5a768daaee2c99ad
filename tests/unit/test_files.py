"""Files that are whole or not there, also after a power cut, and hashes that need not be made twice.

A power cut is at no test's wish: the order of the calls to the kernel stands for it. What has its name has its bytes on the disk before,
and its folder after.
"""

import errno
import os
import stat

import pytest
from world import a_tick_after

from job import files
from job.data import downloads
from job.errors import Invalid, Unreachable
from job.local.server import write_private
from job.report.report import _replace
from job.sentences import outside
from job.storage import stamps
from job.storage.folder import FolderStore


@pytest.fixture
def calls(monkeypatch):
    """The names of what is synced and renamed, in order; both are done, too."""
    seen, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        seen.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def renamed(source, target):
        seen.append(("rename", str(source), str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return seen


def to_store(top):
    FolderStore(top / "store", 0, None).put("a/b/k", b"abc")
    return top / "store" / "a" / "b" / "k"


def to_downloads(top, monkeypatch):
    monkeypatch.setattr(
        downloads, "_blocks", lambda *_: iter([b"abc"])
    )  # a server is no part of the promise
    return downloads.download("http://here/k", top / "k")


WRITERS = {
    "a file": lambda top, _: files.write_whole(top / "k", b"abc") or top / "k",
    "a secret": lambda top, _: write_private(top / "k", "abc") or top / "k",
    "the report": lambda top, _: _replace(top, "k", b"abc") or top / "k",
    "the folder store": lambda top, _: to_store(top),
    "a download": to_downloads,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_name_comes_after_its_bytes(tmp_path, calls, monkeypatch, write):
    """Whatever is written: its bytes reach the disk, then it gets its name, then the name reaches the disk; nothing else stays."""
    path = write(tmp_path, monkeypatch)
    at = next(i for i, call in enumerate(calls) if call[0] == "rename" and call[2] == str(path))
    assert ("sync", calls[at][1]) in calls[:at]
    assert ("sync", str(path.parent)) in calls[at:]
    assert path.read_bytes() == b"abc"
    assert [
        p.name
        for p in path.parent.iterdir()
        if p.name.startswith((".k", ".job", ".put")) and not p.name.endswith(".lock")
    ] == []


def test_new_folders_of_a_store_stay(tmp_path, calls):
    """The folders that a put makes reach the disk with it: an acknowledged object cannot lose its way."""
    to_store(tmp_path)
    made = [tmp_path, tmp_path / "store", tmp_path / "store" / "a", tmp_path / "store" / "a" / "b"]
    assert {str(folder) for folder in made} <= {call[1] for call in calls if call[0] == "sync"}


def test_a_folder_is_settled_with_its_files(tmp_path, calls):
    """A folder that gets its name as a whole has every file below it on the disk."""
    (tmp_path / "half" / "sub").mkdir(parents=True)
    (tmp_path / "half" / "sub" / "k").write_bytes(b"abc")
    files.settle(tmp_path / "half", tmp_path / "whole")
    half = tmp_path / "half"
    assert {call[1] for call in calls if call[0] == "sync"} == {
        str(p) for p in (half, half / "sub", half / "sub" / "k", tmp_path)
    }
    assert [call[0] for call in calls] == ["sync", "sync", "sync", "rename", "sync"]


def test_what_fails_leaves_nothing(tmp_path):
    """A write that ends early leaves the file as it was, and no half of one."""
    files.write_whole(tmp_path / "k", b"old")
    with pytest.raises(ZeroDivisionError), files.open_whole(tmp_path / "k") as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("k", b"old")]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("EROFS", Unreachable),
        ("EIO", Unreachable),
        ("ENOSPC", Unreachable),
        ("EACCES", Invalid),
        ("EPERM", Invalid),
    ],
)
def test_whose_a_disk_s_trouble_is(code, kind):
    """What a disk of this node does is out of reach, and says whose it is; a right that is missing is missing on every node."""
    number = getattr(errno, code)
    told = outside(OSError(number, os.strerror(number), "/some/file"))
    assert type(told) is kind and "/some/file" in str(told)
    assert (os.uname().nodename in str(told)) == (code in ("EROFS", "EIO"))


def test_modes(tmp_path):
    """A secret is ours from its first byte on; a folder of our own is closed to everybody else."""
    before = os.umask(0)
    try:
        write_private(tmp_path / "secret", "abc")
        files.own_folder(tmp_path / "own", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def test_a_stamp(tmp_path):
    """A stamp fits until anything is done to the file, and comes back from a note; a note that was cut, or of anything else, is none."""
    path, note = tmp_path / "k", os.open(tmp_path / "note", os.O_RDWR | os.O_CREAT)
    path.write_bytes(b"abc")
    with open(path, "r+b") as file:
        made = stamps.stamp(file.fileno(), "f" * 64)
        stamps.write(note, made)
        assert stamps.read(note) == made
        assert made.holds(file.fileno())
        a_tick_after(path)
        os.utime(path, ns=(made.modified_ns, made.modified_ns))
        assert not made.holds(file.fileno())
    for text in (
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"sha256": "f',
        os.pread(note, 4096, 0)[:-1],
        b'{"a": 1}',
    ):
        os.ftruncate(note, 0)
        os.pwrite(note, text, 0)
        assert stamps.read(note) is None
    os.close(note)


def test_a_stamp_counts_for_one_boot(tmp_path, monkeypatch):
    """A stamp of before the machine started again says nothing, as a power cut may have taken bytes; nor does one of no known boot."""
    path, boot = tmp_path / "k", tmp_path / "boot_id"
    path.write_bytes(b"abc")

    def starts(name: str):  # a machine does not start again for a test
        boot.write_text(name)
        monkeypatch.setattr(stamps, "BOOT", boot if name else tmp_path / "none")
        stamps._boot.cache_clear()

    with open(path, "rb") as file:
        starts("one")
        made = stamps.stamp(file.fileno(), "f" * 64)
        assert made.holds(file.fileno())
        starts("another")
        assert not made.holds(file.fileno())
        starts("")
        assert not stamps.stamp(file.fileno(), "f" * 64).holds(file.fileno())
    stamps._boot.cache_clear()
