"""A real dockerd of the tests' own, without systemd, bridge and registry, and a Debian made for it."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from world import wait_for

ROOT = Path(__file__).parents[2]
CLIENT = "/usr/bin/docker"  # Debian's: a newer one that may shadow it has its build kit elsewhere
BASE = "debian:bookworm-slim"
IMAGE = "image-tuning-job:test"
TIMES: dict[str, float] = {}  # what took how long, for the end of the run


@dataclass(frozen=True)
class Docker:
    """A running dockerd."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead a client to it, and to no user's configuration."""
        return os.environ | {
            "DOCKER_HOST": f"unix://{self.folder}/socket",
            "DOCKER_CONFIG": str(self.folder),
        }

    def run(self, *arguments, check: bool = True, **options) -> str:
        """Return what a command of the client says."""
        done = subprocess.run(
            [CLIENT, *map(str, arguments)],
            env=self.environ,
            capture_output=True,
            text=True,
            **options,
        )
        assert not check or done.returncode == 0, (
            f"docker {arguments}\n{done.stdout}\n{done.stderr}"
        )
        return done.stdout

    def labels(self, image: str) -> dict[str, str]:
        """Return what an image says of itself, by the names of the OCI."""
        labels = json.loads(self.run("inspect", image))[0]["Config"]["Labels"]
        return {
            name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()
        }

    @contextmanager
    def exported(self, image: str):
        """The stream of an image's file system as tar."""
        container = self.run("create", "--network=none", image).strip()
        try:
            with subprocess.Popen(
                [CLIENT, "export", container], env=self.environ, stdout=subprocess.PIPE
            ) as process:
                yield process.stdout
        finally:
            self.run("rm", container)


@contextmanager
def dockerd():
    """Run a dockerd until the end, and leave nothing of it; images are kept where JOB_TEST_DOCKER_DIR says, if it does."""
    with tempfile.TemporaryDirectory(prefix="docker-") as name:
        folder = Path(name)
        data = Path(os.environ.get("JOB_TEST_DOCKER_DIR") or folder / "data")
        command = [
            "dockerd", f"--host=unix://{folder}/socket", f"--data-root={data}", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid",
            "--storage-driver=overlay2", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
        ]  # fmt: skip
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        docker = Docker(folder)
        try:
            wait_for(
                lambda: (
                    process.poll() is not None
                    or docker.run("version", check=False, timeout=20).count("Engine")
                ),
                60,
            )
            assert process.poll() is None, (folder / "log").read_text()
            yield docker
        finally:
            process.terminate()
            process.wait(60)
            for line in Path("/proc/self/mounts").read_text().splitlines():
                if line.split()[1].startswith(f"{folder}/"):
                    subprocess.run(["umount", line.split()[1]], check=True)


@contextmanager
def timed(what: str):
    """Note how long something takes."""
    began = time.monotonic()
    yield
    TIMES[what] = time.monotonic() - began


def make_base(docker: Docker) -> None:
    """Make the base from the mirror that this machine's apt knows; that is all it takes from here."""
    if docker.run("images", "--quiet", BASE):
        return
    question = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Codename: bookworm",
        "Identifier: Packages",
    ]
    mirror = subprocess.run(question, check=True, capture_output=True, text=True).stdout.split()[0]
    root = docker.folder / "base"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", root, mirror],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for heavy in (
        "var/cache/apt/archives",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ):
        shutil.rmtree(root / heavy)
        (root / heavy).mkdir()
    (root / "var/cache/apt/archives/partial").mkdir()
    with subprocess.Popen(
        ["tar", "-C", root, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE
    ) as tar:
        path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        docker.run("import", "--change", path, "-", BASE, stdin=tar.stdout)
    shutil.rmtree(root)


def make_image(docker: Docker, **variables) -> str:
    """Type `make image`; return what it says."""
    values = {"DOCKER": CLIENT, "NETWORK": "host", "IMAGE": IMAGE} | variables
    command = ["make", "image", *(f"{name}={value}" for name, value in values.items())]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=docker.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
