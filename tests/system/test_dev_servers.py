"""The servers of k8s/overlays/dev: the very scripts of the manifests, in a network of their own, without any capability.

PostgreSQL runs as `nobody`: it wants a user with a name, and number 999 has one in its image only.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from world import SMALL, wait_for

from job.local.postgres import NOBODY
from job.local.seaweed import weed

MANIFESTS = Path(__file__).parents[1] / "k8s" / "dev.yaml"
DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def network():
    """A network namespace with nothing but loopback: the pods' ports are free there."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"]
    )
    inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    wait_for(
        lambda: (
            "LOOPBACK,UP"
            in subprocess.run([*inside, "ip", "link"], capture_output=True, text=True).stdout
        )
    )
    yield inside
    holder.kill()
    holder.wait()


@pytest.fixture
def folder():
    """The volumes, not below /tmp: each pod has a /tmp of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def pods(folder, network):
    """Start a pod's script with its volumes in the folder, and kill it."""
    manifests = list(yaml.safe_load_all(MANIFESTS.read_text()))
    for o in manifests:
        if o["kind"] == "Secret":
            (folder / "secrets" / o["metadata"]["name"]).mkdir(parents=True)
            for name, text in o["stringData"].items():
                (folder / "secrets" / o["metadata"]["name"] / name).write_text(text)
    (folder / "bin").mkdir()
    shutil.copy(weed(), folder / "bin" / "weed")
    running = {}

    def start(name: str) -> None:
        (pod,) = [
            o["spec"]["template"]["spec"]
            for o in manifests
            if o["kind"] == "StatefulSet" and o["metadata"]["name"] == name
        ]
        (container,) = pod["containers"]
        user, data, scratch = (
            NOBODY if name == "postgres" else pod["securityContext"]["runAsUser"],
            folder / f"{name}-data",
            folder / f"{name}-tmp",
        )
        for path in (data, scratch):
            path.mkdir(exist_ok=True)
            os.chown(path, user, user)
        (script,) = container["args"]
        script = script.replace("/data", str(data)).replace("/run/secrets", str(folder / "secrets"))
        mounted = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /tmp && exec "$@"', scratch]
        identity = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--bounding-set=-all",
            "--no-new-privs",
        ]
        environ = {"PATH": f"{folder / 'bin'}:{DEBIAN}:/usr/sbin:/usr/bin:/bin", "HOME": "/tmp"}
        with open(folder / f"{name}.log", "ab") as log:
            running[name] = subprocess.Popen(
                [*network, *mounted, *identity, *container["command"], script],
                env=environ,
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(name: str) -> None:
        os.killpg(running[name].pid, signal.SIGKILL)
        running.pop(name).wait()

    yield start, kill
    for name in list(running):
        kill(name)


def test_they_serve_and_go_on_in_a_new_pod(pods, network, folder, tmp_path):
    """With the overlay's own secrets `job` prepares and decides a trial there; both pods killed and replaced, it is all there."""
    start, kill = pods
    (tmp_path / "small.toml").write_text(SMALL)
    environ = {
        k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "AWS_", "SLURM_"))
    } | {
        "JOB_DATABASE_URL": (folder / "secrets" / "job" / "database-url")
        .read_text()
        .replace("@postgres/", "@127.0.0.1/"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "secrets" / "job" / "aws-credentials"),
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8333",
        "JOB_STORE_URL": "s3://job/store",
        "JOB_CACHE_DIR": str(tmp_path / "cache"),
        "JOB_EXPERIMENT": "small",
        "NO_PROXY": "127.0.0.1",
    }

    def job(*arguments) -> str:
        done = subprocess.run(
            [*network, sys.executable, "-m", "job", *arguments],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        log = "\n".join((folder / f"{name}.log").read_text() for name in ("postgres", "s3"))
        assert done.returncode == 0, f"{done.stderr}\n{log}"
        return done.stderr

    def ready() -> None:  # the Services send nobody to a pod before
        wait_for((folder / "s3-tmp" / "ready").exists)
        wait_for(
            lambda: (
                subprocess.run(
                    [*network, DEBIAN / "pg_isready", "-q", "-h", folder / "postgres-tmp"]
                ).returncode
                == 0
            )
        )

    for name in ("postgres", "s3"):
        start(name)
    ready()
    job("prepare", "small.toml")
    job("trial", "--index", "0")
    for name in ("postgres", "s3"):
        kill(name)
        for path in (folder / f"{name}-data").rglob(
            "*"
        ):  # as a kubelet does with `fsGroup` at every mount
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
        for path in (folder / f"{name}-tmp").iterdir():  # another pod
            path.unlink() if not path.is_dir() else shutil.rmtree(path)
        start(name)
    ready()
    assert "decided already" in job("trial", "--index", "0")
    job("verify", "--deep")
