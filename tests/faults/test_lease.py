"""One owner: whoever lost the lease publishes nothing, whoever comes second waits."""

import signal

from world import TRIAL, wait_for

# In a folder on PYTHONPATH: the import takes at least this long, however fast the machine.
SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            time.sleep(4)

sys.meta_path.insert(0, Slow())
"""


def test_a_paused_process_cannot_publish(long):
    """A process stopped for longer than its lease notices on its return, exits 75 and changes nothing that its successor wrote."""
    paused = long.site.start(*TRIAL, 0)
    paused.until("saved at step")
    paused.send(signal.SIGSTOP)
    successor = long.site.start(*TRIAL, 0, JOB_WAIT_S=60)
    wait_for(lambda: len(long.attempts(0)) == 2)
    reported = long.epochs(0)
    assert {e["attempt"] for e in reported} <= {1}
    paused.send(signal.SIGCONT)
    paused.wait(check=75)
    assert "attempt 1 has lost its lease to another" in paused.text()
    successor.wait(check=0)
    assert {e["attempt"] for e in long.epochs(0)[len(reported) :]} == {2}
    task = long.task(0)
    assert (task["state"], task["attempt"]) == ("complete", 2)
    assert all("/trial/0/2-" in file["key"] for file in task["artifact"].values())
    assert [a["outcome"] for a in long.attempts(0)] == ["vanished", "complete"]


def test_started_twice(long):
    """Two processes with one index: one works, the other waits for its result and exits 0; at most `wait_s`, then 75."""
    first = long.site.start(*TRIAL, 0, JOB_LEASE_S=60)
    first.until("element 0")
    with first.held():
        long.site.job(*TRIAL, 0, check=75, JOB_WAIT_S="0.1")
        second = long.site.start(*TRIAL, 0, JOB_WAIT_S=120)
        second.until("is owned by attempt 1")
    first.wait(check=0)
    second.wait(check=0)
    assert len(long.attempts(0)) == 1


def test_a_requeued_job_goes_on_at_once(long):
    """A killed run of a scheduler's job is followed by its requeued run without waiting for the lease."""
    environ = {"JOB_LEASE_S": 1000, "JOB_WAIT_S": 1, "SLURM_JOB_ID": 4711}
    killed = long.site.start(*TRIAL, 0, **environ)
    killed.until("saved at step")
    killed.send(signal.SIGKILL)
    killed.wait(check=-9)
    long.site.job(
        *TRIAL, 0, check=75, **{k: str(v) for k, v in environ.items()} | {"SLURM_JOB_ID": "4712"}
    )
    requeued = long.site.start(*TRIAL, 0, **environ)
    requeued.until("resuming from the checkpoint")
    requeued.wait(check=0)


def test_an_early_lease_outlives_the_import(long, tmp_path):
    """The lease is renewed while TensorFlow is imported, too: nobody takes over from the living."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT)
    environ = {"JOB_LEASE_S": 6, "PYTHONPATH": tmp_path}
    first = long.site.start(*TRIAL, 0, **environ)
    wait_for(
        lambda: any((a["last_beat"] - a["started"]).total_seconds() > 0.5 for a in long.attempts(0))
    )
    assert "training: at step" not in first.text()
    second = long.site.start(*TRIAL, 0, **environ, JOB_WAIT_S=120)
    first.wait(check=0)
    second.wait(check=0)
    assert len(long.attempts(0)) == 1
