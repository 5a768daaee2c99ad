"""A whole experiment, each invocation a container of its own; stopped in the middle, it goes on."""

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine import CLIENT, timed
from world import TRIAL, wait_for


def test_from_prepare_to_report(tiny, docker, image):
    """Read-only, without a capability, as a user without a name: every stage to the report, and `verify --deep` finds nothing."""

    def stage(name, count):
        with timed(f"{name}, {count} in turn by two"), ThreadPoolExecutor(2) as two:
            list(
                two.map(
                    lambda index: tiny.job(name, check=0, JOB_COMPLETION_INDEX=index), range(count)
                )
            )

    stage("features", 1)
    stage("trial", 4)
    stage("fold", 4)
    stage("final", 2)
    with timed("a decided task"):
        tiny.job("trial", "--index", 0, check=0)
    with timed("report"):
        tiny.job("report", "--out", "report", check=0)
    report = json.loads((tiny.folder / "report" / "report.json").read_text())
    assert {
        m: (len(of["fold"]["folds"]), len(of["final"]["runs"]))
        for m, of in report["models"].items()
    } == {
        "cnn": (2, 1),
        "mobilenetv2": (2, 1),
    }
    assert (
        f"commit <code>{docker.labels(image)['revision']}</code>"
        in (tiny.folder / "report" / "index.html").read_text()
    ), "a result names its commit"
    tiny.job("status", "--json", check=0)
    promises = json.loads(
        tiny.job("verify", "--deep", "--replay", 1, "--json", check=0).stdout.splitlines()[-1]
    )
    assert promises and not any(promise["violations"] for promise in promises)


def test_stopped_in_the_middle(long, docker):
    """`docker stop` of a running trial: it saves and exits 75; the next container goes on, to the bits of an undisturbed one."""
    calm = long.calm(0)
    child = long.site.start(*TRIAL, 0)
    child.until("saved at step")
    name = child.log.stem
    process = Path("/proc", docker.run("inspect", "--format={{.State.Pid}}", name).strip())
    docker.run(
        "kill", "--signal=STOP", name
    )  # held until it is asked, so that this is no race against its end
    stop = subprocess.Popen([CLIENT, "stop", name], env=docker.environ, stdout=subprocess.DEVNULL)
    wait_for(lambda: signal.SIGTERM in pending(process))
    docker.run("kill", "--signal=CONT", name)
    child.wait(check=75)
    stop.wait(60)
    assert [a["outcome"] for a in long.attempts(0)] == ["interrupted"]
    assert "resuming from the checkpoint" in long.site.job(*TRIAL, 0, check=0).stderr
    assert [a["outcome"] for a in long.attempts(0)] == ["interrupted", "complete"]
    assert long.bits(0) == calm


def pending(process: Path) -> set[int]:
    """Return the signals that wait for a process."""
    line = next(
        line for line in (process / "status").read_text().splitlines() if line.startswith("ShdPnd:")
    )
    return {number + 1 for number in range(64) if int(line.split()[1], 16) >> number & 1}
