"""The contents of the image, in all its layers."""

import json
import re
import subprocess
import tarfile
from dataclasses import dataclass

import pytest

from tests.image.engine import BASE, CLIENT, ROOT

PACKAGES = "opt/job/lib/python3.11/site-packages/"
PROGRAMS = (
    "as c++ cc clang g++ gcc ld make strip pip pip3 wheel git initdb postgres weed"
    " hadolint pytest ruff"
)
NOTHING_OF = (
    r"(^|/)(pip|setuptools|wheel|clang|pytest|_pytest|hypothesis|ruff"
    r"|hadolint_\w+|pixeltable\w+|seaweedfs\w+)(-[^/]*)?(/|$)",
    rf"(^|/)s?bin/({'|'.join(map(re.escape, PROGRAMS.split()))})(-[0-9.]+)?$",
    rf"^{PACKAGES}(?!.*\.dist-info/licenses/).*/(tests|include)(/|$)",
    r"\.(deb|whl|o|a)$|libclang|(^|/)requirements[^/]*\.lock$",
    r"(^|/)(\.git|\.ssh|\.netrc|\.pypirc|pip\.conf|credentials)(/|$)",
    r"^var/(lib/apt/lists|cache/apt|log)/.",
    r"^(home|root|run/secrets|source|staged|tmp|wheel)/(?!\.bashrc$|\.profile$)",
)


@dataclass(frozen=True)
class Contents:
    """The configuration of the image, its members by path, and its size in bytes."""

    configuration: dict
    members: dict[str, tarfile.TarInfo]
    size: int


@pytest.fixture(scope="module")
def contents(docker, image) -> Contents:
    """The image as a container sees it."""
    inspected = json.loads(docker.run("inspect", image))[0]
    with docker.exported(image) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        members = {member.name.removeprefix("./").rstrip("/"): member for member in tar}
    return Contents(inspected["Config"], members, inspected["Size"])


def test_configuration(contents, docker, image):
    """The user is a number and not root, `job` is the entry, and labels name version and commit."""
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", contents.configuration["User"])
    assert contents.configuration["Entrypoint"] == ["job"]
    assert contents.configuration["Cmd"] == ["--help"]
    labels = docker.labels(image)
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert labels.pop("description")
    assert labels == {
        "title": "image-tuning-job",
        "licenses": "Apache-2.0",
        "version": version,
        "revision": head(),
        "base.name": BASE,
    }
    assert f"JOB_GIT_COMMIT={head()}" in contents.configuration["Env"]


def head() -> str:
    """Return the commit of the checkout, with -dirty if the checkout has changes."""
    git = ["git", "-C", ROOT]
    command = [*git, "rev-parse", "HEAD"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"]).returncode
    return done.stdout.strip() + ("-dirty" if changed else "")


def test_size(contents):
    """All layers together are smaller than 1.8 GB."""
    assert contents.size < 1.8e9


def test_modes(contents):
    """No file is setuid or setgid, all may write to sticky /tmp only, and the user owns no file."""
    of_root = {
        name: m
        for name, m in contents.members.items()
        if not name.startswith(("dev/", "proc/", "sys/"))
    }
    assert [name for name, m in of_root.items() if m.mode & 0o6000] == []
    writable = {name: m for name, m in of_root.items() if m.mode & 0o002 and not m.issym()}
    assert {name: oct(m.mode & 0o7777) for name, m in writable.items()} == {"tmp": "0o1777"}
    assert [name for name, m in of_root.items() if m.uid >= 1000] == []


def test_nothing_that_builds_or_tests(contents):
    """The image has no compiler, pip, cache, test, embedded server, lock or user configuration."""
    forbidden = [
        name for name in contents.members for pattern in NOTHING_OF if re.search(pattern, name)
    ]
    assert forbidden == []


def test_bytecode(contents):
    """Every module of ours and of TensorFlow has its bytecode: a read-only root cannot store it."""
    packages = (f"{PACKAGES}job/", f"{PACKAGES}tensorflow/")
    sources = [n for n in contents.members if n.startswith(packages) and n.endswith(".py")]
    compiled = [
        re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-311.pyc", name) for name in sources
    ]
    assert len(sources) > 1000
    assert [name for name in compiled if name not in contents.members] == []


def test_no_secret_in_any_layer(docker, image, canary):
    """The build secrets (pip's configuration, the CAs) are in no layer and not in the history."""
    assert canary not in docker.run("history", "--no-trunc", image) + docker.run("inspect", image)
    word = canary.encode()
    last = b""
    searched = 0
    with subprocess.Popen(
        [CLIENT, "save", image], env=docker.environ, stdout=subprocess.PIPE
    ) as process:
        while block := process.stdout.read(1 << 22):
            assert word not in last + block
            last = block[-len(word) :]
            searched += len(block)
    assert (process.returncode, searched > 1e9) == (0, True)
