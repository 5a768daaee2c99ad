"""Jobs that are requeued, cancelled, not ready or wrong.

This Slurm has RequeueExit and GraceTime, and signals every process of a job.
"""

import os
import signal

from tests.slurm.cluster import PLAIN
from tests.support.waiting import wait_for

SETTINGS = PLAIN
TRIAL = ("JOB_EXPERIMENT=long", "trial", "--model", "cnn")


def test_requeued_in_the_middle(desk, long_trials):
    """A trial that `scontrol requeue` signals twice saves, and resumes in the next run."""
    element = desk.array(*TRIAL)
    with desk.bystanders(element):
        with desk.held(element):
            desk.cluster.run("scontrol", "requeue", element)
        wait_for(lambda: desk.cluster.job(element)["Restarts"] == "1")
    assert desk.cluster.wait(element, "COMPLETED")["Restarts"] == "1"
    sentence = "exit 75, and the job is already cancelled or requeued: not requeued here"
    assert sentence in desk.log(element)
    assert [a["outcome"] for a in long_trials.attempts(2)] == ["interrupted", "complete"]


def test_pyxis(desk, long_trials):
    """In a step of srun, a killed `job` resumes at once, and only the signaled element leaves."""
    desk.add(*desk.pyxis(), "export JOB_LEASE_S=600")
    element = desk.array(*TRIAL)
    with desk.bystanders(element):
        desk.until(element, "saved at step")
        os.kill(desk.process(element), signal.SIGKILL)
        desk.until(element, "attempt 2")  # in the next step, before the lease ends
        with desk.held(element):
            desk.cluster.run("scancel", "--batch", "--signal=USR1", element)
        desk.until(element, "exit 75: requeued", seconds=60)  # scancel may try for 95 s
    assert desk.cluster.wait(element, "COMPLETED")["Restarts"] == "1"
    assert [a["outcome"] for a in long_trials.attempts(2)] == [
        "vanished",
        "interrupted",
        "complete",
    ]


def test_cancelled_is_cancelled(desk, long_trials):
    """`scancel` is final whatever the exit code, and a new submission resumes the task."""
    element = desk.array(*TRIAL)
    with desk.bystanders(element):
        with desk.held(element):
            desk.cluster.run("scancel", element)
        desk.until(element, "not requeued here")
        assert desk.cluster.wait(element, "CANCELLED")["Restarts"] == "0"
    wait_for(lambda: desk.cluster.queue() == [])
    assert [a["outcome"] for a in long_trials.attempts(2)] == ["interrupted"]
    again = desk.type("task.sbatch", "--array=2", *TRIAL) + "_2"
    desk.cluster.wait(again, "COMPLETED")
    assert "resuming from the checkpoint" in desk.log(again)


def test_not_ready_is_requeued_until_it_is(desk, digits):
    """Folds without their trial are requeued, and fail after a limited number of requeues."""
    desk.add("export JOB_WAIT_S=1", "RESTARTS=1")
    elements = array_of_folds(desk)
    for element in elements:
        job = desk.cluster.wait(element, "FAILED")
        assert (job["ExitCode"], job["Restarts"]) == ("1:0", "1")
        assert desk.log(element).count("exit 75: requeued") == 1
        assert "exit 75, run 2 in a row without progress: not requeued" in desk.log(element)
    desk.add("RESTARTS=100")
    elements = array_of_folds(desk)
    for element in elements:
        desk.until(element, "exit 75: requeued")
    digits.job("trial", "--index", 0, check=0)
    for element in elements:
        assert int(desk.cluster.wait(element, "COMPLETED")["Restarts"]) >= 1
    assert not list((desk.folder / "out" / "restarts").iterdir())


def array_of_folds(desk) -> list[str]:
    """Submit three folds; return their ids."""
    array = desk.type("task.sbatch", "--array=0-2", "JOB_EXPERIMENT=small", "fold")
    return [f"{array}_{index}" for index in range(3)]


def test_a_permanent_error_is_final(desk, digits):
    """A wrong password ends an element with 78, a failed task with 70; neither is requeued."""
    task = ("task.sbatch", "--array=0", "JOB_EXPERIMENT=small", "trial")
    import psycopg2

    connection = psycopg2.connect(digits.database_url)
    connection.autocommit = True
    connection.cursor().execute(
        "update task set state = 'failed', reason = 'x', finished = now() where stage = 'trial'"
    )
    connection.close()
    element = desk.type(*task) + "_0"
    job = desk.cluster.wait(element, "FAILED")
    assert job | {"ExitCode": "70:0", "Restarts": "0"} == desk.cluster.job(element)
    (desk.folder / "database-url").write_text(digits.database_url.replace("job:", "job:x"))
    element = desk.type(*task) + "_0"
    job = desk.cluster.wait(element, "FAILED")
    assert job | {"ExitCode": "78:0", "Restarts": "0"} == desk.cluster.job(element)
    assert "refused us" in desk.log(element)
