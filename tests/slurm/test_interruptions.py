"""A Slurm with cgroups, without RequeueExit and GraceTime: a time limit, a preemption, a lost node are interruptions."""

import os
import signal

import pytest
from cluster import OTHER
from world import EPOCHS, wait_for

SETTINGS = OTHER
TRIAL = ("slurm/task.sbatch", "JOB_EXPERIMENT=long", "trial", "--model", "cnn")


@pytest.mark.timeout(900)  # a run a minute, as many as a slow machine needs, and Slurm lets a requeued job wait
def test_a_time_limit_is_an_interruption(desk, long):
    """A trial longer than the time limit goes on in further runs of the same job, to the bits of an undisturbed one."""
    calm = long.calm(0)
    element = desk.sbatch("--time=1", "--signal=B:USR1@10", *TRIAL)
    with desk.held(element):
        pass
    job = desk.cluster.wait(element, "COMPLETED", 700)
    assert (int(job["Restarts"]) >= 1, job["ExitCode"]) == (True, "0:0")
    assert "exit 75: requeued" in desk.log(element)
    assert "going on from the checkpoint" in desk.log(element)
    assert {a["outcome"] for a in long.attempts(0)} == {"interrupted", "complete"}
    assert long.bits(0) == calm


def test_preemption(desk, long):
    """A job of the other partition takes the nodes at once, without grace: the trial saves, waits, and goes on."""
    element = desk.sbatch(*TRIAL)
    with desk.held(element):
        other = desk.cluster.run(
            "sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1"
        ).strip()
    desk.cluster.wait(other, "COMPLETED")
    assert desk.cluster.wait(element, "COMPLETED")["Restarts"] == "1"
    assert [a["outcome"] for a in long.attempts(0)] == ["interrupted", "complete"]


def test_a_node_goes_down(desk, long):
    """A job whose node is lost begins again on another one, and its task at once: the first run, still alive, cannot publish."""
    element = desk.sbatch(*TRIAL)
    desk.until(element, "saved at step")
    node, pid = desk.cluster.job(element)["NodeList"], desk.process(element)
    os.kill(pid, signal.SIGSTOP)
    try:
        desk.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        wait_for(lambda: len(long.attempts(0)) == 2)
    finally:
        if os.path.exists(f"/proc/{pid}"):
            os.kill(pid, signal.SIGCONT)
    desk.until(element, "not by us")
    job = desk.cluster.wait(element, "COMPLETED")
    desk.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
    assert (job["NodeList"] != node, job["Restarts"]) == (True, "1"), "the first run must not requeue the second"
    assert [a["outcome"] for a in long.attempts(0)] == ["vanished", "complete"]
    assert [e["epoch"] for e in long.epochs(0)] == list(range(EPOCHS))
