"""The cache of a node, which many processes share."""

import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from world import a_tick_after, wait_for

from job.data.staging import npy
from job.errors import Invalid, Unreachable
from job.settings import SETTINGS
from job.storage import cache as module
from job.storage.cache import Cache
from job.storage.store import open_store

MAKER = """
import sys, time
from pathlib import Path
from job.storage.cache import Cache
cache, until = Cache(None, Path(sys.argv[1]), 1), time.monotonic() + 4
while time.monotonic() < until:
    with cache.scratch() as folder:
        (folder / "file").write_bytes(b"x")
"""

USER = """
import hashlib, json, logging, os, sys, time
from pathlib import Path
from job.storage.cache import Cache
from job.storage.folder import FolderStore

class Told(FolderStore):
    def download(self, key, path):
        print("downloads", key, flush=True)
        super().download(key, path)

def replace(source, target, replace=os.replace):
    replace(source, target)
    time.sleep(float(sys.argv[4]))

def unlink(path, unlink=os.unlink):
    time.sleep(float(sys.argv[4]))
    unlink(path)

os.replace, os.unlink = replace, unlink
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
cache = Cache(Told(Path(sys.argv[1]), 5, None), Path(sys.argv[2]), float(sys.argv[3]))
print("ready", flush=True)
for line in sys.stdin:
    print("has", hashlib.sha256(cache.joined(json.loads(line))).hexdigest(), flush=True)
"""

SIZE = 1000  # bytes of each file in the cache


class User:
    """A process that uses the cache until it leaves."""

    def __init__(self, node: "Node", files: int, slow_s: float):
        arguments = [node.store.root, node.folder, files * SIZE / 1e9, slow_s]
        self.node, self.said = node, []
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *names: str) -> None:
        """Ask for the rows of some arrays together; `check` awaits them."""
        self.process.stdin.write(
            json.dumps({f"data/{name}": self.node.made[name][1] for name in names}) + "\n"
        )
        self.process.stdin.flush()

    def until(self, word: str) -> str:
        """Return the next line that begins with a word, without it; `said` keeps those before."""
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
            self.said.append(line)
        raise AssertionError(f"it ended, having said {self.said}")

    def check(self, *names: str) -> None:
        """Await what was asked for: the right bytes."""
        assert (
            self.until("has")
            == hashlib.sha256(
                np.concatenate([self.node.made[name][0] for name in names])
            ).hexdigest()
        )

    def use(self, *names: str) -> "User":
        """Use arrays one by one."""
        for name in names:
            self.ask(name)
            self.check(name)
        return self

    def leave(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(10) == 0

    def downloads(self) -> list[str]:
        return [line.split("/")[-1].strip() for line in self.said if line.startswith("downloads")]


class Node:
    """A store with arrays `a` to `j` in it, a cache, and the processes that use it."""

    def __init__(self, top: Path):
        self.store, self.folder, self.users, self.made = (
            open_store(f"file://{top}/store"),
            top / "cache",
            [],
            {},
        )
        for letter in "abcdefghij":
            self.make(letter, SIZE)

    def make(self, name: str, size: int) -> None:
        """Put an array into the store whose .npy file has a size, its header of 128 bytes included."""
        array = np.frombuffer(name.encode() * size, np.uint8)[: size - 128]
        content = npy(array)
        assert len(content) == size
        self.store.put(f"data/{name}", content)
        self.made[name] = array, hashlib.sha256(content).hexdigest()

    def user(self, files: int = 1000, slow_s: float = 0) -> User:
        """Start a process whose bound is a number of files, and which sleeps after each arrival and before each removal."""
        self.users.append(User(self, files, slow_s))
        return self.users[-1]

    def visited(self, *names: str) -> None:
        """Have arrays used by a process that has left; the first is the one used longest ago."""
        user = self.user()
        user.use(*names)
        user.leave()
        for age, name in enumerate(reversed(names)):
            os.utime(self.path(f".{name}.lock"), (1e9 - age, 1e9 - age))

    def path(self, name: str) -> Path:
        return self.folder / "data" / name

    def files(self) -> str:
        """Return the names of the files in the cache."""
        return "".join(sorted(p.name for p in (self.folder / "data").glob("[!.]*")))


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    for user in node.users:
        with user.process:  # closes its pipes
            user.process.kill()


def test_one_download(node):
    """However many processes want a file, or several as one, at the same moment: each file is downloaded once."""
    for name in ("large1", "large2"):
        node.make(name, 4_000_000)
    users = [node.user() for _ in range(5)]
    for user in users:
        user.until("ready")
    for names in (["large1"], ["large1", "large2"]):
        for user in users:
            user.ask(*names)
        for user in users:
            user.check(*names)
    assert sorted(name for user in users for name in user.downloads()) == ["large1", "large2"]


def test_what_was_used_longest_ago_goes(node):
    """Beyond the bound the file goes whose last use, not whose download, is longest ago; one line says so."""
    node.visited("a", "b", "c")
    node.user().use("a").leave()
    user = node.user(files=3).use("d")
    assert node.files() == "acd"
    assert [line for line in user.said if "removed" in line] == [
        "the cache was larger than JOB_CACHE_GB = 3e-06: removed the 1 least recently used files, 1000 bytes\n"
    ]


def test_what_is_in_use_stays(node):
    """A file that any process uses stays, be the process stopped, and the bound too small for what one process needs; it goes after it."""
    running, stopped = node.user().use("a"), node.user().use("b")
    stopped.process.send_signal(signal.SIGSTOP)
    user = node.user(files=1).use("c", "d")
    assert node.files() == "abcd"
    stopped.process.kill()
    stopped.process.wait()
    user.use("e")
    assert node.files() == "acde"
    running.leave()
    user.use("f")
    assert node.files() == "cdef"


def test_what_was_evicted_comes_again(node):
    """A file that was evicted between two uses is downloaded again; so is one deleted by hand under a process that uses it."""
    node.visited("a")
    node.user(files=1).use("b")
    assert node.files() == "b"
    user = node.user().use("a", "a")
    assert user.downloads() == ["a"]
    node.path("a").unlink()
    user.use("a")
    assert (user.downloads(), node.files()) == (["a", "a"], "ab")


def test_the_whole_outlives_its_parts(node):
    """Rows that were joined once need no download though the files they came from are gone."""
    user = node.user()
    user.ask("a", "b")
    user.check("a", "b")
    for name in "ab":
        node.path(name).unlink()
    user = node.user()
    user.ask("a", "b")
    user.check("a", "b")
    assert user.downloads() == []


def test_a_file_that_goes_while_it_is_taken(node):
    """A process that opened a file just before it was evicted finds so, and downloads it again."""
    node.visited("a")
    with open(node.path("a")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as an evictor does
        user = node.user()
        user.ask("a")
        opened = Path(f"/proc/{user.process.pid}/fd")
        wait_for(lambda: any(os.path.realpath(p) == str(node.path("a")) for p in opened.iterdir()))
        node.path("a").unlink()
    user.check("a")
    assert (user.downloads(), node.files()) == (["a"], "a")


def test_a_file_is_in_use_from_its_first_moment(node):
    """No evictor, however quick, gets between the arrival of a file and its use."""
    user = node.user(slow_s=0.05)
    user.until("ready")
    for name in "abcd":
        user.ask(name)
        while True:
            try:
                with open(node.path(name)) as file, pytest.raises(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except FileNotFoundError:
                pass
        user.check(name)


def test_two_evictors_at_once(node):
    """Processes that evict at one time do so in turn: nobody fails, and together they remove no more than one would."""
    node.visited(*"efghij")
    users = [node.user(files=6, slow_s=0.05) for _ in "abcd"]
    for user in users:
        user.until("ready")
    for user, name in zip(users, "abcd", strict=True):
        user.ask(name)
    for user, name in zip(users, "abcd", strict=True):
        user.check(name)
    assert node.files() == "abcdij"


def test_only_the_cache_s_own_files_go(node):
    """What others put into the folder is neither counted nor removed: a scratch folder, a download of `prepare`, a data set of the user's."""
    strangers = [
        node.folder / name
        for name in ("scratch/x/model.keras", "downloads/data.zip", "data/imagenet/photo.jpg")
    ]
    for path in strangers:
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(9 * SIZE))
    node.visited("a", "b")
    node.user(files=2).use("c")
    assert node.files() == "bcimagenet"
    assert all(path.stat().st_size == 9 * SIZE for path in strangers)


# What may happen to a file of the cache; each returns bytes of the same size, fewer, or none.
DAMAGES = {
    "altered in place": lambda path: rewritten(path, lambda content: content[:-300] + bytes(300)),
    "altered, and its times put back": lambda path: timeless(
        path, lambda content: content[:-1] + b"?"
    ),
    "replaced by another of its size": lambda path: replaced(path, bytes(SIZE)),
    "empty, as after a power cut": lambda path: rewritten(path, lambda _: b""),
    "cut in half": lambda path: rewritten(path, lambda content: content[: SIZE // 2]),
}


def rewritten(path, change):
    """Change a file's bytes in place."""
    content = path.read_bytes()
    with open(path, "r+b") as file:
        file.truncate(len(change(content)))
        file.write(change(content))


def timeless(path, change):
    """Change a file's bytes in place and put its times back; the kernel's own time of change is nobody's to set."""
    before = path.stat()
    rewritten(path, change)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path, content):
    """Rename another file onto it."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.rename(path)


class Counted:
    """A store that counts what is downloaded."""

    def __init__(self, store):
        self.store, self.url, self.downloads = store, store.url, []

    def download(self, key, path):
        self.downloads.append(key)
        self.store.download(key, path)


@pytest.fixture
def cache(node):
    """A cache of this process'."""
    return Cache(Counted(node.store), node.folder, 1)


def entry(node, *names) -> dict[str, str]:
    """Return key and hash of some arrays."""
    return {f"data/{name}": node.made[name][1] for name in names}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_fetched_anew(node, cache, damage, caplog):
    """A cached file that is not what it was is removed with a warning and comes again, whoever asks; `damaged` named it before."""
    for name in "ab":
        assert np.array_equal(cache.joined(entry(node, name)), node.made[name][0])
    assert list(cache.damaged(entry(node, *"abc"))) == []
    a_tick_after(node.path("a"))
    damage(node.path("a"))
    assert list(cache.damaged(entry(node, *"abc"))) == [
        f"{node.path('a')} has changed since it came into the cache: delete it, and the next task fetches it again"
    ]
    assert np.array_equal(cache.array(*next(iter(entry(node, "a").items()))), node.made["a"][0])
    assert cache.store.downloads == ["data/a", "data/b", "data/a"]
    assert [r.message for r in caplog.records] == [
        f"{node.path('a')} was damaged in the cache: it is removed and fetched again"
    ]
    assert list(cache.damaged(entry(node, *"abc"))) == []


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_was_joined_and_is_damaged_is_joined_anew(node, cache, damage):
    """Rows that were joined here are in no database: they have the hash of when they were, and are joined again from what is whole."""
    both = np.concatenate([node.made[name][0] for name in "ab"])
    assert np.array_equal(cache.joined(entry(node, *"ab")), both)
    (joined,) = (node.folder / "data").glob("*.npy")
    a_tick_after(joined)
    damage(joined)
    assert len(list(cache.damaged(entry(node, *"ab")))) == 1
    assert np.array_equal(cache.joined(entry(node, *"ab")), both)
    assert cache.store.downloads == ["data/a", "data/b"]


def test_what_is_hashed_once_is_not_hashed_again(node, cache, monkeypatch):
    """Taken into use again, a file is compared by its stamp; touched, or of a cache without stamps, it is hashed once, and kept if it is whole."""
    hashed, digest = [], module._digest
    # Not replaced but counted: that nothing is read leaves no other trace.
    monkeypatch.setattr(module, "_digest", lambda file: hashed.append(file) or digest(file))
    cache.joined(entry(node, "a"))
    for _ in range(3):
        cache.joined(entry(node, "a"))
    assert len(hashed) == 0
    a_tick_after(node.path("a"))
    node.path("a").chmod(0o640)
    node.path(".a.lock").touch()
    for _ in range(3):
        cache.joined(entry(node, "a"))
    assert len(hashed) == 1
    node.path(".a.lock").write_bytes(b"")
    cache.joined(entry(node, "a"))
    assert (len(hashed), cache.store.downloads) == (2, ["data/a"])


def test_a_store_with_other_bytes(node, cache):
    """A download of another hash is tried once more, and then named with what to do; nothing of it stays."""
    node.store.put("data/a", npy(np.zeros(9)))
    with pytest.raises(
        Invalid,
        match="data/a has sha256 .*the object was altered; `job verify --deep` names what is damaged, `job prepare` stages",
    ):
        cache.joined(entry(node, "a"))
    assert (cache.store.downloads, node.files()) == (["data/a", "data/a"], "")


KEYS = [
    "/{victim}",
    "../victim",
    "data/../../victim",
    "",
    "data//a",
    "data/a\0",
    "link/victim",
    "data/link",
]


@pytest.mark.parametrize("key", KEYS)
def test_no_key_leads_out_of_the_cache(node, cache, key, tmp_path):
    """Whoever writes a row or an object that names a file can name none but one below the cache, by no link either."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    cache.joined(entry(node, "a"))
    (node.folder / "link").symlink_to(tmp_path)
    (node.folder / "data" / "link").symlink_to(victim)
    with pytest.raises(Invalid):
        cache.file(key.format(victim=victim), hashlib.sha256(b"mine").hexdigest())
    with pytest.raises(Invalid):
        cache.file(key.format(victim=victim), node.made["a"][1])
    assert victim.read_bytes() == b"mine" and sorted(p.name for p in tmp_path.iterdir()) == [
        "cache",
        "store",
        "victim",
    ]


def test_a_lock_that_is_a_link(node, cache, tmp_path):
    """A link where a lock file should be empties no file; a pipe there does not keep anybody waiting."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    cache.joined(entry(node, "a"))
    node.path(".b.lock").symlink_to(victim)
    os.mkfifo(node.path(".c.lock"))
    for name in "bc":
        with pytest.raises(Invalid, match=f"{name}.lock is not one of our files"):
            cache.joined(entry(node, name))
    assert victim.read_bytes() == b"mine"


def test_the_cache_is_ours_alone(node, cache, monkeypatch):
    """A cache is made for its user alone; one that others may write, or that another user or a link of another's made, is not used."""
    cache.joined(entry(node, "a"))
    assert node.folder.stat().st_mode & 0o777 == 0o700
    for mode, said in (
        (0o755, None),
        (0o770, "others may write there .mode 770.: run `chmod go-w"),
        (0o1777, "others may write"),
    ):
        node.folder.chmod(mode)
        if said is None:
            Cache(node.store, node.folder, 1).joined(entry(node, "a"))
            continue
        with pytest.raises(Invalid, match=f"JOB_CACHE_DIR = {node.folder}: {said}"):
            Cache(node.store, node.folder, 1).joined(entry(node, "a"))
    node.folder.chmod(0o700)
    moved = node.folder.rename(node.folder.with_name("elsewhere"))
    node.folder.symlink_to(moved)
    Cache(node.store, node.folder, 1).joined(entry(node, "a"))
    us = os.geteuid()
    monkeypatch.setattr(
        os, "geteuid", lambda: us + 1
    )  # only root can give a folder or a link to somebody else
    with pytest.raises(Invalid, match="expected a folder, found something else"):
        Cache(node.store, node.folder, 1).joined(entry(node, "a"))
    with pytest.raises(
        Invalid, match=f"belongs to user {us}, this is user {us + 1}: name a folder of your own"
    ):
        Cache(node.store, moved, 1).joined(entry(node, "a"))


def test_the_default_cache_is_closed(node, monkeypatch):
    """The default cache that an earlier version left open to readers is closed; a named one keeps its mode."""
    node.folder.mkdir(mode=0o755)
    module.own(node.folder)
    assert node.folder.stat().st_mode & 0o777 == 0o755
    closed = replace(SETTINGS["cache_dir"], default=node.folder)
    monkeypatch.setitem(SETTINGS, "cache_dir", closed)
    module.own(node.folder)
    assert node.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("code", ["EROFS", "EIO", "ESTALE", "EACCES"])
def test_a_disk_of_this_node_alone(node, cache, code, monkeypatch):
    """A cache disk that turned read-only or broke is this node's alone: out of reach, by name, for another may do the task."""
    cache.joined(entry(node, "a"))
    number = getattr(errno, code)

    def fails(*_):  # a disk breaks at no test's wish; a read-only one is mounted in tests/system
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(
        Unreachable,
        match=f"{os.strerror(number)}.: this node, {os.uname().nodename}, is at fault, another may succeed",
    ):
        cache.joined(entry(node, "b"))
    assert node.files() == "a"


def test_scratch_folders_side_by_side(tmp_path):
    """Processes that make and remove their scratch folders at one time are not in each other's way, and leave none."""
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKER, str(tmp_path)], stderr=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    said = [maker.communicate(timeout=60)[1] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 6, said
    assert not list((tmp_path / "scratch").glob("[!.]*"))
