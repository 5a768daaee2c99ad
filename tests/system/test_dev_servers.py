"""The servers of k8s/overlays/dev: the very scripts of the manifests, in a network of their own, without any capability.

PostgreSQL runs as `nobody`: it wants a user with a name, and number 999 has one in its image only.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from world import SMALL, wait_for

from job.embedded import NOBODY, _weed

MANIFESTS = Path(__file__).parents[1] / "k8s" / "dev.yaml"
DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def network():
    """A network namespace with nothing but loopback: the pods' ports are free there."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"])
    inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    wait_for(lambda: "LOOPBACK,UP" in subprocess.run([*inside, "ip", "link"], capture_output=True, text=True).stdout)
    yield inside
    holder.kill()
    holder.wait()


@pytest.fixture
def pods(tmp_path, network):
    """Start a pod's script with its volumes in a folder; all are ended by SIGKILL."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    manifests = list(yaml.safe_load_all(MANIFESTS.read_text()))
    for o in manifests:
        if o["kind"] == "Secret":
            (tmp_path / "secrets" / o["metadata"]["name"]).mkdir(parents=True)
            for name, text in o["stringData"].items():
                (tmp_path / "secrets" / o["metadata"]["name"] / name).write_text(text)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "weed").write_bytes(_weed().read_bytes())
    (tmp_path / "bin" / "weed").chmod(0o755)
    running = {}

    def start(name: str) -> None:
        (pod,) = [o["spec"]["template"]["spec"] for o in manifests if o["kind"] == "StatefulSet" and o["metadata"]["name"] == name]
        (container,) = pod["containers"]
        user, folder = NOBODY if name == "postgres" else pod["securityContext"]["runAsUser"], tmp_path / f"{name}-data"
        scratch = tmp_path / f"{name}-tmp"
        for path in (folder, scratch):
            path.mkdir(exist_ok=True)
            os.chown(path, user, user)
        (script,) = container["args"]
        script = script.replace("/tmp", str(scratch)).replace("/data", str(folder)).replace("/run/secrets", str(tmp_path / "secrets"))
        identity = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
        environ = {"PATH": f"{tmp_path / 'bin'}:{DEBIAN}:/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch)}
        with open(tmp_path / f"{name}.log", "ab") as log:
            running[name] = subprocess.Popen(
                [*network, *identity, *container["command"], script], env=environ, cwd="/", stdout=log, stderr=log, start_new_session=True
            )

    def kill(name: str) -> None:
        os.killpg(running[name].pid, signal.SIGKILL)
        running.pop(name).wait()

    yield start, kill
    for name in list(running):
        kill(name)
    for socket in Path("/tmp").glob("seaweedfs-*.sock"):  # of the servers' ports in the pod; every other weed here has others
        if socket.name.removesuffix(".sock").rpartition("-")[2] in ("8333", "8888", "18333", "18888", "18080", "19333"):
            socket.unlink()


def test_they_serve_and_go_on_after_a_kill(pods, network, tmp_path):
    """With the overlay's own secrets `job` prepares and decides a trial there; both servers killed and started again, it is all there."""
    start, kill = pods
    (tmp_path / "small.toml").write_text(SMALL)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "AWS_", "SLURM_"))} | {
        "JOB_DATABASE_URL": (tmp_path / "secrets" / "job" / "database-url").read_text().replace("@postgres/", "@127.0.0.1/"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "secrets" / "job" / "aws-credentials"),
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8333",
        "JOB_STORE_URL": "s3://job/store",
        "JOB_CACHE_DIR": str(tmp_path / "cache"),
        "JOB_EXPERIMENT": "small",
        "NO_PROXY": "127.0.0.1",
    }

    def job(*arguments) -> str:
        done = subprocess.run(
            [*network, sys.executable, "-m", "job", *arguments], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=200
        )
        log = "\n".join((tmp_path / f"{name}.log").read_text() for name in ("postgres", "s3"))
        assert done.returncode == 0, f"{done.stderr}\n{log}"
        return done.stderr

    def ready() -> None:  # the Services send nobody to a pod before
        wait_for((tmp_path / "s3-tmp" / "ready").exists)
        wait_for(lambda: any((tmp_path / "postgres-tmp").glob(".s.PGSQL.*")))

    for name in ("postgres", "s3"):
        start(name)
    ready()
    job("prepare", "small.toml")
    job("trial", "--index", "0")
    for name in ("postgres", "s3"):
        kill(name)
        start(name)
    (tmp_path / "s3-tmp" / "ready").unlink(missing_ok=True)
    ready()
    assert "decided already" in job("trial", "--index", "0")
    job("verify", "--deep")
