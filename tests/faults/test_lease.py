"""A task has one owner: a process without the lease publishes nothing, a second one waits."""

import signal

from tests.support.experiments import TRIAL
from tests.support.waiting import wait_for

# In a folder on PYTHONPATH, this makes the import take 4 s at least, however fast the machine is.
SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            time.sleep(4)

sys.meta_path.insert(0, Slow())
"""


def test_a_paused_process_cannot_publish(long_trials):
    """A process paused beyond its lease exits 75 and changes nothing that its successor wrote."""
    paused = long_trials.site.start(*TRIAL, 0)
    paused.until("saved at step")
    paused.send(signal.SIGSTOP)
    successor = long_trials.site.start(*TRIAL, 0, JOB_WAIT_S=60)
    wait_for(lambda: len(long_trials.attempts(0)) == 2)
    reported = [e for e in long_trials.epochs(0) if e["attempt"] == 1]
    paused.send(signal.SIGCONT)
    paused.wait(check=75)
    assert "attempt 1 has lost its lease to another" in paused.text()
    successor.wait(check=0)
    epochs = long_trials.epochs(0)
    assert [e for e in epochs if e["attempt"] == 1 and e not in reported] == []
    assert epochs[-1]["attempt"] == 2
    task = long_trials.task(0)
    assert (task["state"], task["attempt"]) == ("complete", 2)
    assert all("/trial/0/2-" in file["key"] for file in task["artifact"].values())
    assert [a["outcome"] for a in long_trials.attempts(0)] == ["vanished", "complete"]


def test_started_twice(long_trials):
    """Of two processes with one index, one works and the other waits for its result and exits 0.

    It waits for `wait_s` at most, then exits 75.
    """
    first = long_trials.site.start(*TRIAL, 0, JOB_LEASE_S=60)
    first.until("element 0")
    with first.held():
        long_trials.site.job(*TRIAL, 0, check=75, JOB_WAIT_S="0.1")
        second = long_trials.site.start(*TRIAL, 0, JOB_WAIT_S=120)
        second.until("is owned by attempt 1")
    first.wait(check=0)
    second.wait(check=0)
    assert len(long_trials.attempts(0)) == 1


def test_a_requeued_job_goes_on_at_once(long_trials):
    """The requeued run of a killed scheduler job resumes without waiting for the lease."""
    environ = {"JOB_LEASE_S": 1000, "JOB_WAIT_S": 1, "SLURM_JOB_ID": 4711}
    another_job = {k: str(v) for k, v in environ.items()} | {"SLURM_JOB_ID": "4712"}
    killed = long_trials.site.start(*TRIAL, 0, **environ)
    killed.until("saved at step")
    killed.send(signal.SIGKILL)
    killed.wait(check=-9)
    long_trials.site.job(*TRIAL, 0, check=75, **another_job)
    requeued = long_trials.site.start(*TRIAL, 0, **environ)
    requeued.until("resuming from the checkpoint")
    requeued.wait(check=0)


def test_an_early_lease_outlives_the_import(long_trials, tmp_path):
    """The lease is renewed while TensorFlow is imported, too: nobody takes over the task."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT)
    environ = {"JOB_LEASE_S": 6, "PYTHONPATH": tmp_path}
    first = long_trials.site.start(*TRIAL, 0, **environ)

    def renewed() -> bool:
        lives = [a["last_beat"] - a["started"] for a in long_trials.attempts(0)]
        return any(life.total_seconds() > 0.5 for life in lives)

    wait_for(renewed)
    assert "training: at step" not in first.text()
    second = long_trials.site.start(*TRIAL, 0, **environ, JOB_WAIT_S=120)
    first.wait(check=0)
    second.wait(check=0)
    assert len(long_trials.attempts(0)) == 1
