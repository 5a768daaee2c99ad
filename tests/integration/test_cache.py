"""The cache of a node, which many processes share."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from job.data.staging import npy
from job.errors import Invalid, Unreachable
from job.settings import SETTINGS
from job.storage import cache as module
from job.storage import cache_folder
from job.storage.cache import Cache
from job.storage.store import open_store
from tests.support.waiting import a_tick_after, wait_for

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

class Announced(FolderStore):
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
cache = Cache(Announced(Path(sys.argv[1]), 5, None), Path(sys.argv[2]), float(sys.argv[3]))
print("ready", flush=True)
for line in sys.stdin:
    print("has", hashlib.sha256(cache.join(json.loads(line))).hexdigest(), flush=True)
"""

SIZE = 1000  # bytes of each file in the cache


class User:
    """A process that uses the cache until it leaves."""

    def __init__(self, node: "Node", files: int, slow_s: float):
        arguments = [node.store.root, node.folder, files * SIZE / 1e9, slow_s]
        self.node = node
        self.said = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *names: str) -> None:
        """Ask for the rows of some arrays together; `check` waits for them."""
        self.process.stdin.write(json.dumps(entry(self.node, *names)) + "\n")
        self.process.stdin.flush()

    def until(self, word: str) -> str:
        """Return the rest of the next line that begins with a word; `said` holds those before."""
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
            self.said.append(line)
        raise AssertionError(f"the process ended; it wrote {self.said}")

    def check(self, *names: str) -> None:
        """Wait for the arrays asked for, and compare their bytes."""
        expected = np.concatenate([self.node.made[name][0] for name in names])
        assert self.until("has") == hashlib.sha256(expected).hexdigest()

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
    """A store with the arrays `a` to `j`, a cache, and the processes that use it."""

    def __init__(self, top: Path):
        self.store = open_store(f"file://{top}/store")
        self.folder = top / "cache"
        self.users = []
        self.made = {}
        for letter in "abcdefghij":
            self.make(letter, SIZE)

    def make(self, name: str, size: int) -> None:
        """Put an array into the store; its .npy file has `size` bytes, 128 of them its header."""
        array = np.frombuffer(name.encode() * size, np.uint8)[: size - 128]
        content = npy(array)
        assert len(content) == size
        self.store.put(f"data/{name}", content)
        self.made[name] = array, hashlib.sha256(content).hexdigest()

    def user(self, files: int = 1000, slow_s: float = 0) -> User:
        """Start a process whose cache is bounded to a number of files.

        It sleeps `slow_s` after each arrival and before each removal.
        """
        self.users.append(User(self, files, slow_s))
        return self.users[-1]

    def visited(self, *names: str) -> None:
        """Let a process use arrays and leave; the first array is the least recently used."""
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
    """Each file is downloaded once, however many processes want it at the same moment.

    This holds for several files joined as one, too.
    """
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
    """Beyond the bound, the least recently used file is removed, and one line says so.

    The time of its last use counts, not the time of its download.
    """
    node.visited("a", "b", "c")
    node.user().use("a").leave()
    user = node.user(files=3).use("d")
    assert node.files() == "acd"
    assert [line for line in user.said if "removed" in line] == [
        "the cache was larger than JOB_CACHE_GB = 3e-06: "
        "removed the 1 least recently used files, 1000 bytes\n"
    ]


def test_what_is_in_use_stays(node):
    """A file in use stays, even of a stopped process or under a bound that is too small.

    It may be removed once its last user has ended.
    """
    running = node.user().use("a")
    stopped = node.user().use("b")
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
    """A file evicted between two uses is downloaded again.

    So is a file deleted by hand while a process uses it.
    """
    node.visited("a")
    node.user(files=1).use("b")
    assert node.files() == "b"
    user = node.user().use("a", "a")
    assert user.downloads() == ["a"]
    node.path("a").unlink()
    user.use("a")
    assert (user.downloads(), node.files()) == (["a", "a"], "ab")


def test_the_whole_outlives_its_parts(node):
    """Rows that were joined once need no download, even when their source files are gone."""
    user = node.user()
    user.ask("a", "b")
    user.check("a", "b")
    for name in "ab":
        node.path(name).unlink()
    user = node.user()
    user.ask("a", "b")
    user.check("a", "b")
    assert user.downloads() == []


def open_files(pid: int) -> Iterator[str]:
    """Yield what the descriptors of a process lead to. One may close while they are read."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(descriptor)


def test_a_file_that_goes_while_it_is_taken(node):
    """A process that opened a file just before its eviction notices, and downloads it again."""
    node.visited("a")
    with open(node.path("a")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as eviction does
        user = node.user()
        user.ask("a")
        wait_for(lambda: str(node.path("a")) in open_files(user.process.pid))
        node.path("a").unlink()
    user.check("a")
    assert (user.downloads(), node.files()) == (["a"], "a")


def test_a_file_is_in_use_from_its_first_moment(node):
    """No eviction, however quick, gets between the arrival of a file and its use."""
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
    """Processes that evict at the same time take turns: none fails, and none removes too much."""
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
    """Files that others put into the folder are neither counted nor removed.

    Examples: a scratch folder, a download of `prepare`, a data set of the user's.
    """
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


def alter(path: Path) -> None:
    rewrite(path, path.read_bytes()[:-300] + bytes(300))


def alter_and_restore_times(path: Path) -> None:
    """Change a file in place and restore its times; the kernel's ctime cannot be set."""
    before = path.stat()
    rewrite(path, path.read_bytes()[:-1] + b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    """Rename another file of the same size onto it."""
    other = path.with_name("other")
    other.write_bytes(bytes(SIZE))
    other.rename(path)


def empty(path: Path) -> None:
    rewrite(path, b"")


def halve(path: Path) -> None:
    rewrite(path, path.read_bytes()[: SIZE // 2])


def rewrite(path: Path, content: bytes) -> None:
    """Write a file's bytes in place."""
    with open(path, "r+b") as file:
        file.truncate(len(content))
        file.write(content)


# What may happen to a file of the cache.
DAMAGES = {
    "altered in place": alter,
    "altered, and its times put back": alter_and_restore_times,
    "replaced by another of its size": replace_by_another,
    "empty, as after a power cut": empty,
    "cut in half": halve,
}


class Counted:
    """A store that records its downloads."""

    def __init__(self, store):
        self.store = store
        self.url = store.url
        self.downloads = []

    def download(self, key, path):
        self.downloads.append(key)
        self.store.download(key, path)


@pytest.fixture
def cache(node):
    """A cache of this process."""
    return Cache(Counted(node.store), node.folder, 1)


def entry(node, *names) -> dict[str, str]:
    """Return the key and hash of some arrays."""
    return {f"data/{name}": node.made[name][1] for name in names}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_fetched_anew(node, cache, damage, caplog):
    """A damaged cached file is removed with a warning and downloaded again at its next use.

    Before that, `find_damaged` names it.
    """
    for name in "ab":
        assert np.array_equal(cache.join(entry(node, name)), node.made[name][0])
    assert list(cache.find_damaged(entry(node, *"abc"))) == []
    a_tick_after(node.path("a"))
    damage(node.path("a"))
    assert list(cache.find_damaged(entry(node, *"abc"))) == [
        f"{node.path('a')} has changed since it came into the cache: "
        "delete it, and the next task fetches it again"
    ]
    assert np.array_equal(cache.array(*next(iter(entry(node, "a").items()))), node.made["a"][0])
    assert cache.store.downloads == ["data/a", "data/b", "data/a"]
    assert [r.message for r in caplog.records] == [
        f"{node.path('a')} was damaged in the cache: it is removed and fetched again"
    ]
    assert list(cache.find_damaged(entry(node, *"abc"))) == []


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_was_joined_and_is_damaged_is_joined_anew(node, cache, damage):
    """Damaged joined rows are detected by the hash they had, and joined again from whole files.

    No database has their hash, because they were joined on this node.
    """
    both = np.concatenate([node.made[name][0] for name in "ab"])
    assert np.array_equal(cache.join(entry(node, *"ab")), both)
    (joined,) = (node.folder / "data").glob("*.npy")
    a_tick_after(joined)
    damage(joined)
    assert len(list(cache.find_damaged(entry(node, *"ab")))) == 1
    assert np.array_equal(cache.join(entry(node, *"ab")), both)
    assert cache.store.downloads == ["data/a", "data/b"]


def test_what_is_hashed_once_is_not_hashed_again(node, cache, monkeypatch):
    """A file hashed once is recognized by its stamp afterwards, and not hashed again.

    A touched file, or one without a stamp, is hashed once more, and stays if it is whole.
    """
    hashed = []
    digest = module._digest

    # Counted, not replaced: a file that is not read leaves no other trace.
    def counted_digest(file):
        hashed.append(file)
        return digest(file)

    monkeypatch.setattr(module, "_digest", counted_digest)
    cache.join(entry(node, "a"))
    for _ in range(3):
        cache.join(entry(node, "a"))
    assert len(hashed) == 0
    a_tick_after(node.path("a"))
    node.path("a").chmod(0o640)
    node.path(".a.lock").touch()
    for _ in range(3):
        cache.join(entry(node, "a"))
    assert len(hashed) == 1
    node.path(".a.lock").write_bytes(b"")
    cache.join(entry(node, "a"))
    assert (len(hashed), cache.store.downloads) == (2, ["data/a"])


def test_a_store_with_other_bytes(node, cache):
    """A download with a wrong hash is retried once, then refused with what to do.

    Nothing of it stays.
    """
    node.store.put("data/a", npy(np.zeros(9)))
    expected = (
        "data/a has sha256 .*the object was altered; "
        "`job verify --deep` names what is damaged, `job prepare` stages"
    )
    with pytest.raises(Invalid, match=expected):
        cache.join(entry(node, "a"))
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
    """A key from any row or object names only a file below the cache, not even by a link."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    cache.join(entry(node, "a"))
    (node.folder / "link").symlink_to(tmp_path)
    (node.folder / "data" / "link").symlink_to(victim)
    with pytest.raises(Invalid):
        cache.file(key.format(victim=victim), hashlib.sha256(b"mine").hexdigest())
    with pytest.raises(Invalid):
        cache.file(key.format(victim=victim), node.made["a"][1])
    assert victim.read_bytes() == b"mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "store", "victim"]


def test_a_lock_that_is_a_link(node, cache, tmp_path):
    """A link in place of a lock file empties no file; a pipe there blocks nobody."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    cache.join(entry(node, "a"))
    node.path(".b.lock").symlink_to(victim)
    os.mkfifo(node.path(".c.lock"))
    for name in "bc":
        with pytest.raises(Invalid, match=f"{name}.lock is not one of our files"):
            cache.join(entry(node, name))
    assert victim.read_bytes() == b"mine"


def test_the_cache_is_ours_alone(node, cache, monkeypatch):
    """A cache is private to its user, and one that another user can write is not used.

    A cache that belongs to another user, or a link that another user made, is refused, too.
    """
    cache.join(entry(node, "a"))
    assert node.folder.stat().st_mode & 0o777 == 0o700

    def use(folder: Path) -> None:
        Cache(node.store, folder, 1).join(entry(node, "a"))

    node.folder.chmod(0o755)
    use(node.folder)
    for mode, refusal in (
        (0o770, "others may write there .mode 770.: run `chmod go-w"),
        (0o1777, "others may write"),
    ):
        node.folder.chmod(mode)
        with pytest.raises(Invalid, match=f"JOB_CACHE_DIR = {node.folder}: {refusal}"):
            use(node.folder)
    node.folder.chmod(0o700)
    moved = node.folder.rename(node.folder.with_name("elsewhere"))
    node.folder.symlink_to(moved)
    use(node.folder)
    us = os.geteuid()
    # Only root can give a folder or a link to another user.
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    with pytest.raises(Invalid, match="expected a folder, found something else"):
        use(node.folder)
    expected = f"belongs to user {us}, this is user {us + 1}: name a folder of your own"
    with pytest.raises(Invalid, match=expected):
        use(moved)


def test_the_default_cache_is_closed(node, monkeypatch):
    """A default cache that an earlier version left readable is closed.

    A named cache keeps its mode.
    """
    node.folder.mkdir(mode=0o755)
    cache_folder.own(node.folder)
    assert node.folder.stat().st_mode & 0o777 == 0o755
    closed = replace(SETTINGS["cache_dir"], default=node.folder)
    monkeypatch.setitem(SETTINGS, "cache_dir", closed)
    cache_folder.own(node.folder)
    assert node.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("code", ["EROFS", "EIO", "ESTALE", "EACCES"])
def test_a_disk_of_this_node_alone(node, cache, code, monkeypatch):
    """A broken or read-only cache disk is `Unreachable` and names this node.

    Another node may succeed.
    """
    cache.join(entry(node, "a"))
    number = getattr(errno, code)

    # A test cannot break a disk; tests/system mounts a read-only one.
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fails)
    at_fault = f"this node, {os.uname().nodename}, is at fault, another may succeed"
    with pytest.raises(Unreachable, match=f"{os.strerror(number)}.: {at_fault}"):
        cache.join(entry(node, "b"))
    assert node.files() == "a"


def test_scratch_folders_side_by_side(tmp_path):
    """Processes that make and remove scratch folders at one time do not collide, and leave none."""
    command = [sys.executable, "-c", MAKER, str(tmp_path)]
    makers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    errors = [maker.communicate(timeout=60)[1] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 6, errors
    assert not list((tmp_path / "scratch").glob("[!.]*"))
