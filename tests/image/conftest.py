"""The real image, and a site whose every `job` is a container of it.

A container is read-only, has no capability, and runs as a user without a name.
"""

import os
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.image.engine import CLIENT, IMAGE, TIMES, Docker, dockerd, make_base, make_image, timed
from tests.slurm.conftest import cluster, desk  # noqa: F401 - fixtures, for Charliecloud
from tests.support.experiments import TINY, write_images
from tests.support.site import Child, Site

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
    """A running dockerd."""
    with dockerd() as docker:
        yield docker


@pytest.fixture(scope="session")
def canary() -> str:
    """A word that is in every build secret and nowhere else."""
    return uuid.uuid4().hex


@pytest.fixture(scope="session")
def image(docker, canary) -> str:
    """The image for CPUs, by `make image`.

    The configuration of pip and the CAs are build secrets, each with the canary.
    """
    with timed("base, by debootstrap"):
        make_base(docker)
    configuration = docker.folder / "pip.conf"
    cas = docker.folder / "cas.pem"
    configuration.write_text(_read(os.environ.get("PIP_CONFIG_FILE")) + f"\n# {canary}\n")
    cas.write_text(_read(os.environ.get("PIP_CERT") or HOST_CAS) + f"\n# {canary}\n")
    with timed("make image"):
        make_image(docker, PIP_CONFIG_FILE=configuration, PIP_CERT=cas)
    docker.run("image", "prune", "--force")  # where images are kept: the previous one
    return IMAGE


def _read(path) -> str:
    return Path(path).read_text() if path else ""


@dataclass(frozen=True)
class Boxed(Site):
    """A site where `job` is a container.

    The container sees the site's folder and the paths among its arguments, under the same paths.
    """

    docker: Docker | None = None
    host: Site | None = None  # the same site for a `job` on the host

    def command(self, arguments, environ: dict, *options) -> list[str]:
        """Return the client's command line, with variables by name only."""
        paths = sorted({self.folder, *(a for a in arguments if isinstance(a, Path))})
        volumes = [f"--volume={path}:{path}" for path in paths]
        variables = [f"--env={name}" for name in environ]
        run = [CLIENT, "run", *HARDENED, f"--workdir={self.folder}"]
        return [*run, *volumes, *variables, *options, IMAGE, *map(str, arguments)]

    def job(self, *arguments, check: int | None = None, **environ) -> subprocess.CompletedProcess:
        """Run a container to its end; with `check`, expect this exit code."""
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
        """Start a container, named after its log."""
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
        """Write a file that only the container's user can read."""
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        os.chown(path, USER, USER)
        return path


@pytest.fixture
def site(site, docker, image, tmp_path):
    """The site as containers see it: secrets in files, the cache in its default place."""
    folder = tmp_path / "seen"
    folder.mkdir()
    os.chown(folder, USER, USER)
    boxed = Boxed(site.database_url, site.store_url, {}, folder, docker=docker, host=site)
    credentials = (
        "[default]\n"
        f"aws_access_key_id = {site.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {site.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    boxed.environ.update(
        JOB_DATABASE_URL_FILE=str(boxed.secret("database-url", site.database_url)),
        JOB_STORE_URL=site.store_url,
        JOB_WAIT_S="1",
        AWS_ENDPOINT_URL_S3=site.environ["AWS_ENDPOINT_URL_S3"],
        AWS_SHARED_CREDENTIALS_FILE=str(boxed.secret("credentials", credentials)),
    )
    yield boxed
    for child in boxed.children:
        docker.run("kill", child.log.stem, check=False)
        child.process.wait(60)


@pytest.fixture(scope="session")
def weights(weights, tmp_path_factory):
    """The weights in a folder that every user can read."""
    folder = shutil.copytree(weights, tmp_path_factory.mktemp("weights") / "readable")
    folder.chmod(0o755)
    return folder


@pytest.fixture
def two_models(site, weights):
    """The experiment of two models, prepared by a container."""
    write_images(site.folder / "images.npz")
    (site.folder / "tiny.toml").write_text(TINY)
    site.job("prepare", "tiny.toml", "--weights", weights, check=0)
    site.environ["JOB_EXPERIMENT"] = "tiny"
    return site
