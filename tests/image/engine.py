"""A real dockerd without systemd, bridge and registry, and a Debian base for it."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
CLIENT = "/usr/bin/docker"  # Debian's: a newer client has its build kit elsewhere
BASE = "debian:bookworm-slim"
IMAGE = "image-tuning-job:test"
HEAVY = (  # folders of the base that are emptied
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
)
NO_NETWORK = (
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
)
TIMES: dict[str, float] = {}  # seconds by part, printed at the end of the run


@dataclass(frozen=True)
class Docker:
    """A running dockerd."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point a client to it, and to no user's configuration."""
        return os.environ | {
            "DOCKER_HOST": f"unix://{self.folder}/socket",
            "DOCKER_CONFIG": str(self.folder),
        }

    def run(self, *arguments, check: bool = True, **options) -> str:
        """Run a command of the client; return its output."""
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
        """Return the OCI labels of an image, without their common prefix."""
        labels = json.loads(self.run("inspect", image))[0]["Config"]["Labels"]
        return {
            name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()
        }

    @contextmanager
    def exported(self, image: str):
        """Yield the file system of an image as a tar stream."""
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
    """Run a dockerd, and remove every trace of it at the end.

    JOB_TEST_DOCKER_DIR, where set, is the folder that keeps its images.
    """
    with tempfile.TemporaryDirectory(prefix="docker-") as name:
        folder = Path(name)
        data = Path(os.environ.get("JOB_TEST_DOCKER_DIR") or folder / "data")
        command = [
            "dockerd",
            f"--host=unix://{folder}/socket",
            f"--data-root={data}",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/pid",
            "--storage-driver=overlay2",
            *NO_NETWORK,
        ]
        with open(folder / "log", "w") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        docker = Docker(folder)

        def decided() -> bool:
            return process.poll() is not None or _answers(docker)

        try:
            wait_for(decided, 60)
            assert process.poll() is None, (folder / "log").read_text()
            yield docker
        finally:
            process.terminate()
            process.wait(60)
            for line in Path("/proc/self/mounts").read_text().splitlines():
                mount = line.split()[1]
                if mount.startswith(f"{folder}/"):
                    subprocess.run(["umount", mount], check=True)


def _answers(docker: Docker) -> bool:
    return "Engine" in docker.run("version", check=False, timeout=20)


@contextmanager
def timed(what: str):
    """Record the seconds that the body takes."""
    began = time.monotonic()
    yield
    TIMES[what] = time.monotonic() - began


def make_base(docker: Docker) -> None:
    """Make the base from the mirror of this machine's apt, unless it exists."""
    if docker.run("images", "--quiet", BASE):
        return
    filters = ["--format", "$(REPO_URI)", "Codename: bookworm", "Identifier: Packages"]
    targets = subprocess.run(
        ["apt-get", "indextargets", *filters], check=True, capture_output=True, text=True
    )
    mirror = targets.stdout.split()[0]
    root = docker.folder / "base"
    command = ["debootstrap", "--variant=minbase", "bookworm", root, mirror]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for heavy in HEAVY:
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
    """Run `make image`; return its output."""
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
