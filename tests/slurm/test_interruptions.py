"""Interruptions by a Slurm with cgroups: a time limit, a preemption, a lost node.

This Slurm has neither RequeueExit nor GraceTime.
"""

import os
import signal

import pytest

from tests.slurm.cluster import OTHER
from tests.support.experiments import EPOCHS
from tests.support.waiting import wait_for

SETTINGS = OTHER
TRIAL = ("JOB_EXPERIMENT=long", "trial", "--model", "cnn")


# Each run takes a minute, a slow machine needs many, and Slurm lets a requeued job wait.
@pytest.mark.timeout(900)
def test_a_time_limit_is_an_interruption(desk, long_trials, calm_bits):
    """A trial that exceeds its time limit resumes in the same job, to an undisturbed one's bits."""
    calm = calm_bits(2)
    element = desk.array("--time=1", "--signal=B:USR1@10", *TRIAL)
    with desk.bystanders(element):
        for other in (0, 1):
            desk.cluster.run("scontrol", "update", f"jobid={element[:-1]}{other}", "timelimit=10")
        with desk.held(element):
            pass
        desk.until(element, "exit 75: requeued")
        wait_for(lambda: desk.cluster.job(element)["Restarts"] == "1")
    job = desk.cluster.wait(element, "COMPLETED", 700)
    assert int(job["Restarts"]) >= 1
    assert job["ExitCode"] == "0:0"
    assert "exit 75: requeued" in desk.log(element)
    assert "resuming from the checkpoint" in desk.log(element)
    assert {a["outcome"] for a in long_trials.attempts(2)} == {"interrupted", "complete"}
    assert long_trials.bits(2) == calm


def test_preemption(desk, long_trials):
    """A trial that is preempted without grace saves, waits, and resumes."""
    element = desk.array(*TRIAL)
    with desk.bystanders(element):
        node = f"--nodelist={desk.cluster.job(element)['NodeList']}"
        with desk.held(element):
            options = ("--parsable", "--partition=high", node, "--exclusive", "--output=/dev/null")
            other = desk.cluster.run("sbatch", *options, "--wrap", "sleep 1").strip()
        desk.cluster.wait(other, "COMPLETED")
    assert desk.cluster.wait(element, "COMPLETED")["Restarts"] == "1"
    assert [a["outcome"] for a in long_trials.attempts(2)] == ["interrupted", "complete"]


def test_a_node_goes_down(desk, long_trials):
    """A job of a lost node restarts on another one, and its first run cannot publish."""
    element = desk.array(*TRIAL)
    desk.until(element, "saved at step")
    node = desk.cluster.job(element)["NodeList"]
    pid = desk.process(element)
    os.kill(pid, signal.SIGSTOP)
    try:
        with desk.bystanders(element):  # they fill the other node
            desk.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        wait_for(lambda: len(long_trials.attempts(2)) == 2)
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGCONT)
    desk.until(element, "not requeued here")
    job = desk.cluster.wait(element, "COMPLETED")
    desk.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
    assert job["NodeList"] != node
    assert job["Restarts"] == "1", "the first run must not requeue the second"
    assert [a["outcome"] for a in long_trials.attempts(2)] == ["vanished", "complete"]
    assert [e["epoch"] for e in long_trials.epochs(2)] == list(range(EPOCHS))
