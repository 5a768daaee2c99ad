"""A task can be interrupted anywhere and resumes bit for bit."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from job.storage.paths import task_file
from tests.support import forked
from tests.support.experiments import EPOCHS, TRIAL
from tests.support.proxy import Proxy

GRACE_S = 5.0
# One signal for each of the six attempts before the one that completes.
SIGNALS = (
    (signal.SIGTERM, "interrupted"),
    (signal.SIGKILL, "vanished"),
    (signal.SIGINT, "interrupted"),
    (signal.SIGUSR1, "interrupted"),
    (signal.SIGKILL, "vanished"),
    (signal.SIGUSR2, "interrupted"),
)


def test_a_killed_trial_is_resumed_bit_for_bit(long_trials, calm_bits):
    """A trial that is ended six times has the bits of an undisturbed one.

    The signals are TERM, INT, USR1, USR2 and twice KILL; the bits are those of the weights, the
    history and the predictions.
    """
    calm = calm_bits(0)
    for number, _ in SIGNALS:
        long_trials.end_in_the_middle(0, number)
    assert len(long_trials.epochs(0)) < EPOCHS
    long_trials.site.job(*TRIAL, 0, check=0)
    assert long_trials.bits(0) == calm
    outcomes = [a["outcome"] for a in long_trials.attempts(0)]
    assert outcomes == [*(outcome for _, outcome in SIGNALS), "complete"]
    assert all(a["last_step"] > a["first_step"] for a in long_trials.attempts(0))
    assert long_trials.objects(0, "checkpoint") == []


@pytest.mark.parametrize("words", ["element 0", "saved at step", "training: over"])
def test_a_signal_is_obeyed_at_any_moment(long_trials, words):
    """TERM while importing, training, evaluating or uploading exits 75 and frees the task at once.

    The exit comes within the grace period.
    """
    importing = forked.ALONE if words == "element 0" else {}
    child = long_trials.site.start(*TRIAL, 0, JOB_GRACE_S=GRACE_S, **importing)
    child.until(words)
    began = time.monotonic()
    child.send(signal.SIGTERM)
    code = child.wait()
    assert time.monotonic() - began < GRACE_S + 1
    assert code == 75 or (words == "training: over" and code == 0), child.text()
    assert long_trials.task(0)["state"] == ("waiting" if code == 75 else "complete")
    assert long_trials.task(0)["counted"] == 0


@pytest.mark.parametrize("both", [False, True], ids=["the parent", "both"])
def test_tasks_in_turn_obey_a_signal(long_trials, both):
    """TERM to a process with --count saves and releases its task, exits 75 and starts no other.

    It makes no difference whether the child gets the signal, too, as schedulers and terminals do.
    """
    row = long_trials.site.start(*TRIAL, 0, "--count", 2, JOB_GRACE_S=GRACE_S)
    row.until("saved at step")
    pid = row.process.pid
    child = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
    began = time.monotonic()
    for one in [pid, int(child)] if both else [pid]:
        os.kill(one, signal.SIGTERM)
    row.wait(check=75)
    assert time.monotonic() - began < GRACE_S + 1
    assert (long_trials.task(0)["state"], long_trials.task(0)["counted"]) == ("waiting", 0)
    assert [a["outcome"] for a in long_trials.attempts(0)] == ["interrupted"]
    saved = max(task_file(key).step for key in long_trials.objects(0, "checkpoint"))
    assert long_trials.attempts(0)[0]["last_step"] == long_trials.task(0)["progress"] == saved
    assert long_trials.attempts(1) == []


def test_a_signal_is_obeyed_while_staging(long_trials):
    """TERM while waiting for another process's download exits 75 within the grace period."""
    key = next(
        o.key for o in long_trials.store.listing("data/") if o.key.endswith("train-images.npy")
    )
    path = long_trials.site.folder / "cache2" / key
    path.parent.mkdir(parents=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        child = long_trials.site.start(
            *TRIAL, 0, JOB_CACHE_DIR=path.parents[2], JOB_GRACE_S=GRACE_S
        )
        child.until("cnn trial 0: {")
        time.sleep(0.5)
        began = time.monotonic()
        child.send(signal.SIGTERM)
        child.wait(check=75)
        assert time.monotonic() - began < GRACE_S + 1
    assert long_trials.task(0)["state"] == "waiting"


@pytest.mark.parametrize(
    "cache, silent_from, until",
    [("another", "element 0", "cnn trial 0: {"), ("cache", "saved at step", "training: over")],
    ids=["download", "upload"],
)
def test_a_signal_is_obeyed_behind_a_silent_store(long_trials, s3, cache, silent_from, until):
    """TERM while a download or an upload hangs exits 75 within the grace period and loses nothing.

    The watchdog releases the task and writes the reason.
    """
    reason = long_trials.site.folder / "reason"
    with Proxy("127.0.0.1", s3.ports[6]) as proxy:
        environ = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}",
            "JOB_CACHE_DIR": long_trials.site.folder / cache,
        }
        child = long_trials.site.start(
            *TRIAL, 0, JOB_GRACE_S=GRACE_S, JOB_REASON_FILE=reason, **environ
        )
        child.until(silent_from)
        proxy.fault = "hang"
        child.until(until)
        time.sleep(0.5)
        began = time.monotonic()
        child.send(signal.SIGTERM)
        child.wait(check=75)
        assert time.monotonic() - began < GRACE_S + 1
    assert (long_trials.task(0)["state"], long_trials.task(0)["counted"]) == ("waiting", 0)
    assert reason.read_text().startswith("SIGTERM: not done when the grace was nearly over")
    long_trials.site.job(*TRIAL, 0, check=0)


NATIVE = """
import ctypes
from job.interrupt import INTERRUPT
INTERRUPT.grace_s = 3
INTERRUPT.install()
lock = ctypes.create_string_buffer(64)
with INTERRUPT.last_words(lambda: print("last words", flush=True)):
    print("ready", flush=True)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(lock)
"""


@pytest.mark.parametrize(
    "times, code, why",
    [
        (1, 75, "SIGTERM: not done when the grace was nearly over"),
        (2, 128 + signal.SIGTERM, "SIGTERM: the second signal"),
    ],
    ids=["watchdog", "second"],
)
@pytest.mark.parametrize("hangs", [False, True], ids=["", "no place for the reason"])
def test_a_signal_is_obeyed_in_native_code(tmp_path, times, code, why, hangs):
    """TERM while the main thread is in native code runs the last words and exits 75 in time.

    A second TERM ends the process at once. JOB_REASON_FILE holds the reason in one sentence. A file
    that blocks its writer delays neither the exit nor the last words.
    """
    reason = tmp_path / "reason"
    if hangs:
        os.mkfifo(reason)  # nobody reads it
    environ = os.environ | {"JOB_REASON_FILE": str(reason)}
    child = subprocess.Popen(
        [sys.executable, "-c", NATIVE], env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "ready\n"
        began = time.monotonic()
        for _ in range(times):
            time.sleep(0.3)
            child.send_signal(signal.SIGTERM)
        assert child.wait(10) == code
        assert time.monotonic() - began < 4
        assert child.stdout.read() == ("last words\n" if times == 1 else "")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    if not hangs:
        assert reason.read_text().startswith(why)
        assert reason.read_text().splitlines() == [reason.read_text()]


@pytest.mark.parametrize("first, then", [("SIGURG", "SIGTERM"), ("SIGTERM", "SIGURG")])
def test_asked_by_the_parent_and_by_the_scheduler(long_trials, first, then):
    """A scheduler's signal and the SIGURG that a parent derives from it count as one, in any order.

    The task is saved and the process exits 75.
    """
    child = long_trials.site.start(*TRIAL, 0, JOB_GRACE_S=GRACE_S)
    child.until("saved at step")
    for name in (first, then, "SIGURG"):
        child.send(getattr(signal, name))
        time.sleep(0.005)  # each signal is read before the next one arrives
    child.wait(check=75)
    assert [a["outcome"] for a in long_trials.attempts(0)] == ["interrupted"]


def test_the_second_signal_leaves_at_once(long_trials):
    """The second signal ends the process with 128 + its number and a reason; the lease expires."""
    reason = long_trials.site.folder / "reason"
    child = long_trials.site.start(*TRIAL, 0, JOB_REASON_FILE=reason)
    child.until("element 0")
    child.send(signal.SIGTERM)
    child.send(signal.SIGINT)
    assert child.wait() in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert ": the second signal; the last durable checkpoint remains" in reason.read_text()


HELD = """
import logging, sys, time
from job.coordination.database import Database
from job.interrupt import INTERRUPT
logging.basicConfig(format="%(message)s")
INTERRUPT.grace_s = 1.0
INTERRUPT.install()
database = Database("postgresql://job:secret@127.0.0.1:1/job", 0)
with INTERRUPT.last_words(lambda: database.rows("select 1")):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_watchdog_leaves_without_the_database(tmp_path):
    """When the last words cannot reach the database, the log has one line and no traceback."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", HELD]
    child = subprocess.Popen(command, **pipes, text=True, cwd=tmp_path)
    child.stdout.readline()
    child.send_signal(signal.SIGTERM)
    log = child.communicate(timeout=30)[1]
    assert child.returncode == 75
    assert (
        "the lease was not released, it will expire:"
        " the database postgresql://127.0.0.1:1/job cannot be reached" in log
    )
    assert "not done when the grace was nearly over" in log
    assert len(log.splitlines()) == 2
