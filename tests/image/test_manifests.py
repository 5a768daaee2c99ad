"""The Jobs of k8s/ in containers: all at once, with deleted and killed pods, and wrong secrets.

There is no Kubernetes on the test machine. `Jobs` replaces its controller and its kubelet.
Everything else comes from the manifests: image, arguments, variables, volumes, and the action for
each exit code.
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

from job.coordination.database import Database
from job.storage.store import open_store
from tests.image.engine import CLIENT, IMAGE
from tests.support.waiting import wait_for

MANIFESTS = Path(__file__).parents[1] / "k8s" / "cpu.yaml"
STAGES = ("features", "trial", "fold", "final")
BACKOFF_S = 1.0  # Kubernetes: 10
LONGEST_S = 10.0  # Kubernetes: 600


@dataclass
class Jobs:
    """The Jobs of an overlay, and what became of them."""

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
        spec = self.manifests[name]["spec"]
        uid = uuid.uuid4().hex
        self.codes[name] = []
        self.messages[name] = []
        indices = range(spec.get("completions", 1))
        with ThreadPoolExecutor(spec.get("parallelism", 1)) as pool:
            ends = set(pool.map(lambda index: self._index(name, index, uid), indices))
        self.done[name] = "Complete" if ends <= {"done"} else min(ends - {"done"})

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
        for rule in self.manifests[name]["spec"]["podFailurePolicy"]["rules"]:
            if "onExitCodes" in rule and code in rule["onExitCodes"]["values"]:
                return rule["action"]
        return "Count"

    def _pod(self, name: str, index: int, uid: str) -> tuple[int, str]:
        """Run one pod's container to its end; return its exit code and its termination message."""
        pod = self.manifests[name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert (
            context["readOnlyRootFilesystem"]
            and not context["allowPrivilegeEscalation"]
            and context["capabilities"]["drop"] == ["ALL"]
        )
        environ = self._environ(container, uid)
        if name in STAGES:
            environ["JOB_COMPLETION_INDEX"] = str(index)
        pod_name = f"{self.folder.name}-{name}-{index}-{uuid.uuid4().hex[:6]}"
        message = self.folder / f"{pod_name}.message"
        message.touch()
        message.chmod(0o666)  # as the kubelet does
        command = [
            *(CLIENT, "run", "--rm", f"--name={pod_name}", "--network=host", "--read-only"),
            *("--security-opt=no-new-privileges", "--cap-drop=ALL"),
            f"--volume={message}:/dev/termination-log",
            *self._mounts(pod),
            *(f"--env={name}" for name in environ),
            IMAGE,
            *container["args"],
        ]
        with open(self.folder / f"{pod_name}.log", "wb") as log:
            code = subprocess.run(
                command, env=self.site.docker.environ | environ, stdout=log, stderr=log, timeout=400
            ).returncode
        return code, message.read_text()

    def _environ(self, container: dict, uid: str) -> dict[str, str]:
        """Return the variables of a container; a variable without a value is the Job's uid."""
        environ = {}
        for source in container["envFrom"]:
            environ |= self.config[source["configMapRef"]["name"]]
        return environ | {e["name"]: e.get("value", uid) for e in container["env"]}

    def _mounts(self, pod: dict) -> list[str]:
        """Return the options for the volumes of a pod."""
        (container,) = pod["containers"]
        volumes = {v["name"]: v for v in pod["volumes"]}
        options = []
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "emptyDir" in volume:
                options.append(f"--tmpfs={mount['mountPath']}")
                continue
            secret = volume.get("secret", {}).get("secretName")
            folder = self.folder / (secret or volume["configMap"]["name"])
            if not folder.exists():  # `optional`: an empty folder
                folder = self.folder / "none"
                folder.mkdir(exist_ok=True)
            options.append(f"--volume={folder}:{mount['mountPath']}:ro")
        return options

    def log(self, name: str) -> str:
        """Return the logs of a Job's pods."""
        paths = sorted(self.folder.glob(f"*-{name}-*.log"))
        return "\n".join(path.read_text(errors="replace") for path in paths)

    def running(self, name: str, words: str) -> str:
        """Wait for a running pod of a Job with these words in its log; return its name."""
        matching = []

        def any_matches() -> bool:
            pods = self.site.docker.run("ps", "--format={{.Names}}").split()
            matching[:] = [
                pod
                for pod in pods
                if f"-{name}-" in pod
                and words in (self.folder / f"{pod}.log").read_text(errors="replace")
            ]
            return bool(matching)

        wait_for(any_matches)
        return matching[0]


@pytest.fixture
def jobs(site, tmp_path):
    """The Jobs, and a Secret for this test's servers."""
    folder = tmp_path / f"pods-{uuid.uuid4().hex[:6]}"
    folder.mkdir()
    jobs = Jobs(site, folder)
    credentials = (site.folder / "credentials").read_text()
    jobs.secret(database_url=site.database_url, aws_credentials=credentials)
    yield jobs


def test_to_the_report(jobs, site):
    """All Jobs, applied at once, complete although one pod is deleted and one killed mid-trial."""
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(jobs.apply, *jobs.manifests)
        site.docker.run("stop", jobs.running("trial", "training: at step"), check=False)
        site.docker.run("kill", jobs.running("trial", "training: at step"), check=False)
        applied.result()
    assert jobs.done == dict.fromkeys(jobs.manifests, "Complete"), jobs.codes
    assert 75 in jobs.codes["fold"] and 75 in jobs.codes["trial"]
    assert {code for codes in jobs.codes.values() for code in codes} <= {0, 69, 75, 137}
    assert any("not finished yet" in message for message in jobs.messages["fold"])
    stored = open_store(site.store_url, 5).listing("experiments/")
    assert "index.html" in {o.key.rpartition("/")[2] for o in stored if "/report/" in o.key}
    attempts = Database(site.database_url, 5).rows(
        "select outcome, count(*)::int as n from attempt where stage = 'trial' group by 1"
    )
    assert {a["outcome"]: a["n"] for a in attempts}["complete"] == 4
    site.job("verify", "--deep", check=0)


def test_wrong_secrets(jobs, site):
    """With a wrong password or no Secret a Job fails at once, and one sentence says why."""
    scheme, _, rest = site.database_url.partition(":")
    jobs.secret(database_url=f"{scheme}:" + rest.replace(":", ":wrong", 1))
    jobs.apply("prepare", "trial")
    assert jobs.done == {"prepare": "FailJob", "trial": "FailJob"}
    assert set(jobs.codes["trial"]) == {78}
    for message in jobs.messages["trial"] + jobs.messages["prepare"]:
        assert "refused us" in message and "\n" not in message and "wrong" not in message
    for path in (jobs.folder / "job").iterdir():
        os.remove(path)
    jobs.apply("trial")
    assert set(jobs.codes["trial"]) == {78}
    sentence = "JOB_DATABASE_URL_FILE = /run/secrets/job/database-url: cannot be read"
    assert all(sentence in message for message in jobs.messages["trial"])
