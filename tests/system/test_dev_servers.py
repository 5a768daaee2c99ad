"""The servers of k8s/overlays/dev: the manifests' scripts, in their own network, unprivileged.

PostgreSQL runs as `nobody`: it needs a user with a name, and 999 has one in its image only.
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

from job.local.postgres import NOBODY
from job.local.seaweed import weed
from tests.support.experiments import SMALL
from tests.support.waiting import wait_for

MANIFESTS = Path(__file__).parents[1] / "k8s" / "dev.yaml"
DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def network():
    """The command prefix for a network namespace with loopback only, where all ports are free."""
    script = "ip link set lo up && exec sleep infinity"
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", script])
    inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]

    def up() -> bool:
        links = subprocess.run([*inside, "ip", "link"], capture_output=True, text=True)
        return "LOOPBACK,UP" in links.stdout

    wait_for(up)
    yield inside
    holder.kill()
    holder.wait()


@pytest.fixture
def folder():
    """The folder of the volumes, not below /tmp, because each pod has its own /tmp."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def pods(folder, network):
    """The functions that start and kill the script of a pod, with its volumes in the folder."""
    manifests = list(yaml.safe_load_all(MANIFESTS.read_text()))
    for o in manifests:
        if o["kind"] == "Secret":
            secret = folder / "secrets" / o["metadata"]["name"]
            secret.mkdir(parents=True)
            for name, text in o["stringData"].items():
                (secret / name).write_text(text)
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
        user = NOBODY if name == "postgres" else pod["securityContext"]["runAsUser"]
        data = folder / f"{name}-data"
        scratch = folder / f"{name}-tmp"
        for path in (data, scratch):
            path.mkdir(exist_ok=True)
            os.chown(path, user, user)
        (script,) = container["args"]
        script = script.replace("/data", str(data)).replace("/run/secrets", str(folder / "secrets"))
        mounted = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /tmp && exec "$@"', scratch]
        identity = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        identity += ["--bounding-set=-all", "--no-new-privs"]
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


def test_the_data_outlasts_the_pods(pods, network, folder, tmp_path):
    """`job` runs a trial with the overlay's secrets, and its data outlasts both killed pods."""
    start, kill = pods
    (tmp_path / "small.toml").write_text(SMALL)
    secret = folder / "secrets" / "job"
    database_url = (secret / "database-url").read_text()
    own = ("JOB_", "AWS_", "SLURM_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    environ |= {
        "JOB_DATABASE_URL": database_url.replace("@postgres/", "@127.0.0.1/"),
        "AWS_SHARED_CREDENTIALS_FILE": str(secret / "aws-credentials"),
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

    def wait_until_ready() -> None:  # as the Services do before they send a client to a pod
        wait_for((folder / "s3-tmp" / "ready").exists)
        question = [*network, DEBIAN / "pg_isready", "-q", "-h", folder / "postgres-tmp"]
        wait_for(lambda: subprocess.run(question).returncode == 0)

    for name in ("postgres", "s3"):
        start(name)
    wait_until_ready()
    job("prepare", "small.toml")
    job("trial", "--index", "0")
    for name in ("postgres", "s3"):
        kill(name)
        # As a kubelet does with `fsGroup` at every mount.
        for path in (folder / f"{name}-data").rglob("*"):
            path.chmod(path.stat().st_mode | (0o2770 if path.is_dir() else 0o660))
        # A new pod has an empty /tmp.
        for path in (folder / f"{name}-tmp").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        start(name)
    wait_until_ready()
    assert "decided already" in job("trial", "--index", "0")
    job("verify", "--deep")
