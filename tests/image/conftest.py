"""The image, built for real, and every `job` of a test as a container of it: read-only, no capability, a user without a name."""

import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine import CLIENT, IMAGE, TIMES, Docker, dockerd, make_base, make_image, timed
from world import Child, Site

USER = 12345
HARDENED = (
    "--rm",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    f"--user={USER}",
    "--network=host",
    "--tmpfs=/tmp",
)
HOST_CAS = Path("/etc/ssl/certs/ca-certificates.crt")


def pytest_terminal_summary(terminalreporter):
    for what, seconds in TIMES.items():
        terminalreporter.write_line(f"== {what}: {seconds:.2f} s")


@pytest.fixture(scope="session")
def docker():
    """A dockerd."""
    with dockerd() as docker:
        yield docker


@pytest.fixture(scope="session")
def canary() -> str:
    """A word that stands in every build secret and nowhere else."""
    return uuid.uuid4().hex


@pytest.fixture(scope="session")
def image(docker, canary) -> str:
    """The image for CPUs, by `make image`; pip's configuration and the CAs go in as secrets, each with the canary."""
    with timed("base, by debootstrap"):
        make_base(docker)
    configuration, cas = docker.folder / "pip.conf", docker.folder / "cas.pem"
    configuration.write_text(_read(os.environ.get("PIP_CONFIG_FILE")) + f"\n# {canary}\n")
    cas.write_text(_read(os.environ.get("PIP_CERT") or HOST_CAS) + f"\n# {canary}\n")
    with timed("make image"):
        make_image(docker, PIP_CONFIG_FILE=configuration, PIP_CERT=cas)
    docker.run("image", "prune", "--force")  # where images are kept, the one before
    return IMAGE


def _read(path) -> str:
    return Path(path).read_text() if path else ""


@dataclass(frozen=True)
class Boxed(Site):
    """A site where `job` is a container. Of the host it sees the site's folder and what an argument names, by the same path."""

    docker: Docker | None = None
    host: Site | None = None  # the same for a `job` of the host

    def command(self, arguments, environ: dict, *options) -> list[str]:
        """Return the client's command line; variables by name only."""
        seen = {self.folder, *(a for a in arguments if isinstance(a, Path))}
        return [
            CLIENT, "run", *HARDENED, f"--workdir={self.folder}", *(f"--volume={path}:{path}" for path in sorted(seen)),
            *(f"--env={name}" for name in environ), *options, IMAGE, *map(str, arguments),
        ]  # fmt: skip

    def job(self, *arguments, check: int | None = None, **environ) -> subprocess.CompletedProcess:
        environ = self.environ | {k: str(v) for k, v in environ.items()}
        command = self.command(arguments, environ)
        done = subprocess.run(
            command, env=self.docker.environ | environ, capture_output=True, text=True, timeout=300
        )
        if check is not None:
            assert done.returncode == check, (
                f"exit {done.returncode}, expected {check}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def start(self, *arguments, **environ) -> Child:
        environ = self.environ | {k: str(v) for k, v in environ.items()}
        log = self.folder / f"{uuid.uuid4().hex}.log"
        with open(log, "wb") as file:
            command = self.command(arguments, environ, f"--name={log.stem}")
            process = subprocess.Popen(
                command, env=self.docker.environ | environ, stdout=file, stderr=file
            )
        self.children.append(Child(process, log))
        return self.children[-1]

    def secret(self, name: str, text: str) -> Path:
        """Write a file that nobody but the container's user can read."""
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        os.chown(path, USER, USER)
        return path


@pytest.fixture
def site(site, docker, image, tmp_path):
    """The same database and store, by containers; secrets by file, the cache where it is by default."""
    folder = tmp_path / "seen"
    folder.mkdir()
    os.chown(folder, USER, USER)
    boxed = Boxed(site.database_url, site.store_url, {}, folder, docker=docker, host=site)
    keys = f"aws_access_key_id = {site.environ['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = {site.environ['AWS_SECRET_ACCESS_KEY']}\n"
    boxed.environ.update(
        JOB_DATABASE_URL_FILE=str(boxed.secret("database-url", site.database_url)),
        JOB_STORE_URL=site.store_url,
        JOB_WAIT_S="1",
        AWS_ENDPOINT_URL_S3=site.environ["AWS_ENDPOINT_URL_S3"],
        AWS_SHARED_CREDENTIALS_FILE=str(boxed.secret("credentials", f"[default]\n{keys}")),
    )
    yield boxed
    for child in boxed.children:
        docker.run("kill", child.log.stem, check=False)
        child.process.wait(60)


@pytest.fixture(scope="session")
def weights(weights, tmp_path_factory):
    """The weights where a user other than root can read them."""
    folder = shutil.copytree(weights, tmp_path_factory.mktemp("weights") / "readable")
    folder.chmod(0o755)
    return folder
