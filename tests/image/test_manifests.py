"""The Jobs of k8s/ as they are, in containers: all at once, to the report, with a pod deleted, one killed, and secrets that are wrong.

There is no Kubernetes on such a machine. `Jobs` stands in for its controller and its kubelet, and for nothing of ours:
image, arguments, variables, volumes, and what is done about each exit code are read from the manifests.
"""

import os
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from engine import CLIENT, IMAGE
from world import wait_for

from job.coordination.database import Database
from job.storage.store import open_store

MANIFESTS = Path(__file__).parents[1] / "k8s" / "cpu.yaml"
STAGES = ("features", "trial", "fold", "final")
BACKOFF_S, LONGEST_S = 1.0, 10.0  # Kubernetes: 10 and 600


@dataclass
class Jobs:
    """The Jobs of an overlay, applied."""

    site: object
    folder: Path
    done: dict = field(default_factory=dict)  # Job -> "Complete", or why it failed
    codes: dict = field(default_factory=dict)  # Job -> exit codes of its pods, in order
    messages: dict = field(default_factory=dict)  # Job -> their termination messages
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self):
        objects = list(yaml.safe_load_all(MANIFESTS.read_text()))
        self.manifests = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Job"}
        self.config = {
            o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"
        }
        self.config["job"] |= {
            "JOB_STORE_URL": self.site.store_url,
            "AWS_ENDPOINT_URL_S3": self.site.environ["AWS_ENDPOINT_URL_S3"],
        }
        (self.folder / "experiment").mkdir()
        for name, text in self.config["experiment"].items():
            (self.folder / "experiment" / name).write_text(text)

    def secret(self, **files: str) -> None:
        """Make the Secret `job`."""
        (self.folder / "job").mkdir(exist_ok=True)
        for name, text in files.items():
            (self.folder / "job" / name.replace("_", "-")).write_text(text)

    def apply(self, *names: str) -> None:
        """Run Jobs to their ends, all at once."""
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(self._job, names))

    def _job(self, name: str) -> None:
        spec, uid = self.manifests[name]["spec"], uuid.uuid4().hex
        self.codes[name], self.messages[name] = [], []
        with ThreadPoolExecutor(spec.get("parallelism", 1)) as pool:
            ends = set(
                pool.map(
                    lambda index: self._index(name, index, uid), range(spec.get("completions", 1))
                )
            )
        self.done[name] = "Complete" if ends <= {"done"} else sorted(ends - {"done"})[0]

    def _index(self, name: str, index: int, uid: str) -> str:
        """Run the pods of an index, one after the other, until it is done or failed."""
        wait_s = BACKOFF_S
        while "FailJob" not in self.codes[name]:
            code, message = self._pod(name, index, uid)
            with self.lock:
                self.codes[name].append(code)
                self.messages[name].append(message)
            if code == 0:
                return "done"
            action = self._action(name, code)
            if action in ("FailJob", "FailIndex"):
                return action
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_S)
        return "FailJob"

    def _action(self, name: str, code: int) -> str:
        rules = [
            r
            for r in self.manifests[name]["spec"]["podFailurePolicy"]["rules"]
            if "onExitCodes" in r
        ]
        return next((r["action"] for r in rules if code in r["onExitCodes"]["values"]), "Count")

    def _pod(self, name: str, index: int, uid: str) -> tuple[int, str]:
        """Run one pod's container to its end; return its exit code and its termination message."""
        pod = self.manifests[name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        environ = {}
        for source in container["envFrom"]:
            environ |= self.config[source["configMapRef"]["name"]]
        environ |= {e["name"]: e.get("value", uid) for e in container["env"]}
        if name in STAGES:
            environ["JOB_COMPLETION_INDEX"] = str(index)
        volumes = {v["name"]: v for v in pod["volumes"]}
        options = []
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "emptyDir" in volume:
                options.append(f"--tmpfs={mount['mountPath']}")
                continue
            folder = self.folder / (
                volume.get("secret", {}).get("secretName") or volume["configMap"]["name"]
            )
            if not folder.exists():  # `optional`: an empty folder
                folder = self.folder / "none"
                folder.mkdir(exist_ok=True)
            options.append(f"--volume={folder}:{mount['mountPath']}:ro")
        pod_name = f"{self.folder.name}-{name}-{index}-{uuid.uuid4().hex[:6]}"
        message = self.folder / f"{pod_name}.message"
        message.touch()
        message.chmod(0o666)  # as the kubelet does
        context = container["securityContext"]
        assert (
            context["readOnlyRootFilesystem"]
            and not context["allowPrivilegeEscalation"]
            and context["capabilities"]["drop"] == ["ALL"]
        )
        with open(self.folder / f"{pod_name}.log", "wb") as log:
            command = [
                CLIENT, "run", "--rm", f"--name={pod_name}", "--network=host", "--read-only", "--security-opt=no-new-privileges", "--cap-drop=ALL",
                f"--volume={message}:/dev/termination-log", *options, *(f"--env={name}" for name in environ), IMAGE, *container["args"],
            ]  # fmt: skip
            code = subprocess.run(
                command, env=self.site.docker.environ | environ, stdout=log, stderr=log, timeout=400
            ).returncode
        return code, message.read_text()

    def log(self, name: str) -> str:
        """Return what the pods of a Job have said."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob(f"*-{name}-*.log"))
        )

    def running(self, name: str, words: str) -> str:
        """Wait for a pod of a Job that has said these words and still runs; return its name."""
        found = []

        def seen() -> bool:
            up = self.site.docker.run("ps", "--format={{.Names}}").split()
            found[:] = [
                p
                for p in up
                if f"-{name}-" in p
                and words in (self.folder / f"{p}.log").read_text(errors="replace")
            ]
            return bool(found)

        wait_for(seen)
        return found[0]


@pytest.fixture
def jobs(site, tmp_path):
    """The Jobs, and a Secret with what leads to this test's servers."""
    folder = tmp_path / f"pods-{uuid.uuid4().hex[:6]}"
    folder.mkdir()
    jobs = Jobs(site, folder)
    jobs.secret(
        database_url=site.database_url, aws_credentials=(site.folder / "credentials").read_text()
    )
    yield jobs


def test_to_the_report(jobs, site):
    """Applied at once, too early as most are, all Jobs end complete; a pod deleted and one killed mid-trial cost nothing; `verify` agrees."""
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(jobs.apply, *jobs.manifests)
        site.docker.run("stop", jobs.running("trial", "training: at step"), check=False)
        site.docker.run("kill", jobs.running("trial", "training: at step"), check=False)
        applied.result()
    assert jobs.done == dict.fromkeys(jobs.manifests, "Complete"), jobs.codes
    assert 75 in jobs.codes["fold"] and 75 in jobs.codes["trial"]
    assert {code for codes in jobs.codes.values() for code in codes} <= {0, 69, 75, 137}
    assert any("not finished yet" in message for message in jobs.messages["fold"])
    keys = {
        o.key.rpartition("/")[2]
        for o in open_store(site.store_url, 5).listing("experiments/")
        if "/report/" in o.key
    }
    assert "index.html" in keys
    attempts = Database(site.database_url, 5).rows(
        "select outcome, count(*)::int as n from attempt where stage = 'trial' group by 1"
    )
    assert {a["outcome"]: a["n"] for a in attempts}["complete"] == 4
    site.job("verify", "--deep", check=0)


def test_wrong_secrets(jobs, site):
    """With a wrong password, and with no Secret at all, a Job fails at once, and each pod's termination message is the one sentence that says why."""
    jobs.secret(
        database_url=site.database_url.replace(":", ":wrong", 2).replace(
            "postgresql:wrong", "postgresql:", 1
        )
    )
    jobs.apply("prepare", "trial")
    assert jobs.done == {"prepare": "FailJob", "trial": "FailJob"}
    assert set(jobs.codes["trial"]) == {78}
    assert all(
        "refused us" in m and "\n" not in m and "wrong" not in m
        for m in jobs.messages["trial"] + jobs.messages["prepare"]
    )
    for path in (jobs.folder / "job").iterdir():
        os.remove(path)
    jobs.apply("trial")
    assert set(jobs.codes["trial"]) == {78}
    assert all(
        "JOB_DATABASE_URL_FILE = /run/secrets/job/database-url: cannot be read" in m
        for m in jobs.messages["trial"]
    )
