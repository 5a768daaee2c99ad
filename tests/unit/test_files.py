"""Files are whole or absent, even after a power cut, and hashes are not computed twice.

No test can cut the power, so the order of the calls to the kernel stands for it. The bytes of a
file are synced before it gets its name, and its folder afterwards.
"""

import errno
import os
import stat

import pytest

from job import files
from job.data import downloads
from job.errors import Invalid, Unreachable
from job.local.server import write_private
from job.report.report import _replace
from job.sentences import machine_error
from job.storage import stamps
from job.storage.folder import FolderStore
from tests.support.waiting import a_tick_after


@pytest.fixture
def calls(monkeypatch):
    """The calls that sync and rename files, in order; they are carried out, too."""
    seen = []
    fsync = os.fsync
    replace = os.replace

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
    """Put an object into a folder store; return its path."""
    FolderStore(top / "store", 0, None).put("a/b/k", b"abc")
    return top / "store" / "a" / "b" / "k"


def to_downloads(top, monkeypatch):
    """Download a file; return its path."""
    # The promise does not depend on a server.
    monkeypatch.setattr(downloads, "_blocks", lambda *_: iter([b"abc"]))
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
    """A file's bytes reach the disk, then it gets its name, then the name reaches the disk.

    This holds for every writer, and no other file remains.
    """
    path = write(tmp_path, monkeypatch)
    at = next(i for i, call in enumerate(calls) if call[0] == "rename" and call[2] == str(path))
    assert ("sync", calls[at][1]) in calls[:at]
    assert ("sync", str(path.parent)) in calls[at:]
    assert path.read_bytes() == b"abc"
    names = [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")]
    assert [name for name in names if name.startswith((".k", ".job", ".put"))] == []


def test_new_folders_of_a_store_stay(tmp_path, calls):
    """The folders that a put creates reach the disk with the object, so it cannot be lost."""
    to_store(tmp_path)
    store = tmp_path / "store"
    made = [tmp_path, store, store / "a", store / "a" / "b"]
    assert {str(folder) for folder in made} <= {call[1] for call in calls if call[0] == "sync"}


def test_a_folder_is_settled_with_its_files(tmp_path, calls):
    """A folder that gets its name as a whole has every file below it on the disk."""
    half = tmp_path / "half"
    (half / "sub").mkdir(parents=True)
    (half / "sub" / "k").write_bytes(b"abc")
    files.settle(half, tmp_path / "whole")
    paths = (half, half / "sub", half / "sub" / "k", tmp_path)
    assert {call[1] for call in calls if call[0] == "sync"} == {str(path) for path in paths}
    assert [call[0] for call in calls] == ["sync", "sync", "sync", "rename", "sync"]


def test_what_fails_leaves_nothing(tmp_path):
    """A write that fails leaves the file as it was, and no partial one."""
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
    """Trouble with a disk of this node may pass; a missing permission is permanent everywhere.

    A disk's failure names its node.
    """
    number = getattr(errno, code)
    error = machine_error(OSError(number, os.strerror(number), "/some/file"))
    assert type(error) is kind
    assert "/some/file" in str(error)
    assert (os.uname().nodename in str(error)) == (code in ("EROFS", "EIO"))


def test_modes(tmp_path):
    """A secret is closed to everybody else from its first byte on, and so is a folder of ours."""
    before = os.umask(0)
    try:
        write_private(tmp_path / "secret", "abc")
        files.make_private_folder(tmp_path / "own", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700


def test_a_stamp(tmp_path):
    """A stamp holds until anything changes the file, and a note of it can be read back.

    A note that was cut, or that holds anything else, is no stamp.
    """
    path = tmp_path / "k"
    note = os.open(tmp_path / "note", os.O_RDWR | os.O_CREAT)
    path.write_bytes(b"abc")
    with open(path, "r+b") as file:
        made = stamps.stamp(file.fileno(), "f" * 64)
        stamps.write(note, made)
        assert stamps.read(note) == made
        assert made.holds(file.fileno())
        a_tick_after(path)
        os.utime(path, ns=(made.modified_ns, made.modified_ns))
        assert not made.holds(file.fileno())
    cut = os.pread(note, 4096, 0)[:-1]
    for text in (b"", b"[]", b"null", b"{}", b'{"sha256": "f', cut, b'{"a": 1}'):
        os.ftruncate(note, 0)
        os.pwrite(note, text, 0)
        assert stamps.read(note) is None
    os.close(note)


def test_a_stamp_counts_for_one_boot(tmp_path, monkeypatch):
    """A stamp from before the last boot does not hold, since a power cut may have lost bytes.

    Nor does a stamp hold when the boot is unknown.
    """
    path = tmp_path / "k"
    boot = tmp_path / "boot_id"
    path.write_bytes(b"abc")

    def starts(name: str):  # a machine does not reboot for a test
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
