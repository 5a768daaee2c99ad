"""The cache of a node, which many processes share."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from world import wait_for

from job.data import npy
from job.store import open_store

MAKER = """
import sys, time
from pathlib import Path
from job.cache import Cache
cache, until = Cache(None, Path(sys.argv[1]), 1), time.monotonic() + 4
while time.monotonic() < until:
    with cache.scratch() as folder:
        (folder / "file").write_bytes(b"x")
"""

USER = """
import hashlib, json, logging, os, sys, time
from pathlib import Path
from job.cache import Cache
from job.folder import FolderStore

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
            [sys.executable, "-c", USER, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, *names: str) -> None:
        """Ask for the rows of some arrays together; `check` awaits them."""
        self.process.stdin.write(json.dumps({f"data/{name}": self.node.made[name][1] for name in names}) + "\n")
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
        assert self.until("has") == hashlib.sha256(np.concatenate([self.node.made[name][0] for name in names])).hexdigest()

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
        self.store, self.folder, self.users, self.made = open_store(f"file://{top}/store"), top / "cache", [], {}
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
            os.utime(self.path(name), (1e9 - age, 1e9 - age))

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
        "the cache was larger than JOB_CACHE_GB = 3e-06: removed 1 files, 1000 bytes, unused for longest\n"
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
    strangers = [node.folder / name for name in ("scratch/x/model.keras", "downloads/data.zip", "data/imagenet/photo.jpg")]
    for path in strangers:
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(9 * SIZE))
    node.visited("a", "b")
    node.user(files=2).use("c")
    assert node.files() == "bcimagenet"
    assert all(path.stat().st_size == 9 * SIZE for path in strangers)


def test_scratch_folders_side_by_side(tmp_path):
    """Processes that make and remove their scratch folders at one time are not in each other's way, and leave none."""
    makers = [subprocess.Popen([sys.executable, "-c", MAKER, str(tmp_path)], stderr=subprocess.PIPE, text=True) for _ in range(6)]
    said = [maker.communicate(timeout=60)[1] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 6, said
    assert not list((tmp_path / "scratch").glob("[!.]*"))
