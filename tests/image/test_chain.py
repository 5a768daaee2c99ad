"""A whole experiment, one container per invocation; a stopped one resumes."""

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.image.engine import CLIENT, timed
from tests.support.experiments import TRIAL
from tests.support.waiting import wait_for


def test_from_prepare_to_report(two_models, docker, image):
    """Read-only containers without capabilities run all stages; `verify --deep` finds nothing."""

    def stage(name, count):
        def run(index):
            two_models.job(name, check=0, JOB_COMPLETION_INDEX=index)

        with timed(f"{name}, {count} in turn by two"), ThreadPoolExecutor(2) as two:
            list(two.map(run, range(count)))

    stage("features", 1)
    stage("trial", 4)
    stage("fold", 4)
    stage("final", 2)
    with timed("a decided task"):
        two_models.job("trial", "--index", 0, check=0)
    with timed("report"):
        two_models.job("report", "--out", "report", check=0)
    report = json.loads((two_models.folder / "report" / "report.json").read_text())
    models = report["models"].items()
    runs = {m: (len(of["fold"]["folds"]), len(of["final"]["runs"])) for m, of in models}
    assert runs == {"cnn": (2, 1), "mobilenetv2": (2, 1)}
    page = (two_models.folder / "report" / "index.html").read_text()
    revision = docker.labels(image)["revision"]
    assert f"commit <code>{revision}</code>" in page, "a result names its commit"
    two_models.job("status", "--json", check=0)
    verified = two_models.job("verify", "--deep", "--replay", 1, "--json", check=0)
    promises = json.loads(verified.stdout.splitlines()[-1])
    assert promises and not any(promise["violations"] for promise in promises)


def test_stopped_in_the_middle(long_trials, docker, calm_bits):
    """After `docker stop` a trial saves and exits 75; the next one resumes, to the same bits."""
    calm = calm_bits(0)
    child = long_trials.site.start(*TRIAL, 0)
    child.until("saved at step")
    name = child.log.stem
    process = Path("/proc", docker.run("inspect", "--format={{.State.Pid}}", name).strip())
    # Paused until the signal is pending: otherwise the trial could end first.
    docker.run("kill", "--signal=STOP", name)
    stop = subprocess.Popen([CLIENT, "stop", name], env=docker.environ, stdout=subprocess.DEVNULL)
    wait_for(lambda: signal.SIGTERM in pending(process))
    docker.run("kill", "--signal=CONT", name)
    child.wait(check=75)
    stop.wait(60)
    assert [a["outcome"] for a in long_trials.attempts(0)] == ["interrupted"]
    assert "resuming from the checkpoint" in long_trials.site.job(*TRIAL, 0, check=0).stderr
    assert [a["outcome"] for a in long_trials.attempts(0)] == ["interrupted", "complete"]
    assert long_trials.bits(0) == calm


def pending(process: Path) -> set[int]:
    """Return the signals that are pending for a process."""
    lines = (process / "status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("ShdPnd:"))
    mask = int(line.split()[1], 16)
    return {number + 1 for number in range(64) if mask >> number & 1}
