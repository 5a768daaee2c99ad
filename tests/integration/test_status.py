"""`job status` and `job list` show the database's figures, with or without a terminal."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from job.coordination import status
from job.coordination.attempt import Attempt
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment.task import Key
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 4},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 4, "batch_size": [32, 64]}},
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Life:
    """An experiment whose tasks a test does by hand: real claims and commits, no training."""

    def __init__(self, url: str):
        self.url = url
        self.database = Database(url, 10)
        self.registered = find(self.database, "small")

    def claim(self, stage: str, index: int, host: str = "node1", lease_s: float = 60) -> Attempt:
        tasks = Tasks(self.database, self.registered, Worker(host=host), lease_s, 0)
        return tasks.claim(Key("cnn", stage, index))

    def trial(
        self, index: int, value: float | None, batch_size: int = 32, state: str = "complete"
    ) -> None:
        attempt = self.claim("trial", index)
        attempt.set_parameters({"batch_size": batch_size})
        attempt.commit(state, value, {}, {}, step=12)

    def finish(self) -> None:
        """Decide all remaining tasks."""
        waiting = "select index from task where stage = 'trial' and state = 'waiting' order by 1"
        for row in self.database.rows(waiting):
            self.trial(row["index"], 0.5)
        for stage, index in (("fold", 0), ("fold", 1), ("final", 0)):
            self.claim(stage, index).commit("complete", 0.6 + index / 10, {}, {})

    def environ(self, **more: str) -> dict:
        unwanted = re.compile("JOB_|SLURM_|(NO_COLOR|FORCE_COLOR|COLUMNS|LINES)$")
        clean = {k: v for k, v in os.environ.items() if not unwanted.match(k)}
        ours = {"JOB_DATABASE_URL": self.url, "JOB_EXPERIMENT": "small", "TERM": "xterm-256color"}
        return clean | ours | more

    def job(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "job", *arguments]
        return subprocess.run(
            command, env=self.environ(**environ), capture_output=True, text=True, timeout=60
        )

    def collect(self) -> dict:
        return status.collect(self.database, self.registered)


@pytest.fixture
def life(database_url, registered) -> Life:
    registered(database_url, SPEC)
    return Life(database_url)


class Screen:
    """A `job` process on a real pseudo-terminal, and its output there."""

    def __init__(self, life: Life, *arguments: str, columns: int = 100, **environ: str):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "job", *arguments],
            env=life.environ(**environ),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=lambda: _own_terminal(slave),
        )
        os.close(slave)
        self.raw = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(self.master, 65536):
                self.raw += part

    def text(self) -> str:
        return ESCAPES.sub("", self.raw.decode(errors="replace"))

    def until(self, words: str, seconds: float = 30) -> None:
        wait_for(lambda: words in self.text() or self.process.poll() is not None, seconds)
        assert words in self.text(), self.text()

    def key(self, key: bytes) -> None:
        os.write(self.master, key)

    def end(self, code: int) -> str:
        """Wait for the end and return the text on the terminal."""
        assert self.process.wait(30) == code, self.text()
        self.reader.join(5)
        os.close(self.master)
        return self.text()


def _own_terminal(slave: int) -> None:
    """Make the pseudo-terminal the process's own, so that Ctrl-C on it is a signal."""
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def test_the_numbers_are_the_databases(life):
    """States, best values, attempts, workers and leases match what was claimed and committed."""
    life.trial(0, 0.5)
    life.trial(1, 0.75, batch_size=64)
    life.trial(2, 0.9, state="pruned")
    life.claim("trial", 3).release("SIGTERM")
    # It has no parameters, so its number of images is unknown.
    life.claim("trial", 3, host="node7", lease_s=100).record_step(5)
    state = life.collect()
    by_state = {"waiting": 0, "running": 1, "complete": 2, "pruned": 1, "failed": 0}
    assert state["stages"]["trial"]["cnn"] == by_state
    assert (state["tasks"], state["undecided"]) == (7, 4)
    assert state["models"]["cnn"] == {
        "best": {"trial": 1, "value": 0.75},
        "selected": None,
        "folds": {"folds": 0, "mean": None, "of": 2},
    }
    assert state["attempts"] == {"complete": 2, "interrupted": 1, "pruned": 1, "running": 1}
    (worker,) = state["running"]
    expected = {"index": 3, "attempt": 2, "host": "node7", "last_step": 5}
    assert expected.items() <= worker.items()
    assert 90 < worker["lease_left_s"] <= 100 and 0 <= worker["beat_s"] < 10
    assert state["time_left"]["unknown"] == []
    plain = life.job("status").stdout
    assert "running: cnn trial 3 attempt 2 on node7 saved step 5 lease 2 min" in plain
    assert "best so far trial 1, accuracy 0.7500" in plain


def test_folds_and_finals_take_what_trials_took(life):
    """Undecided folds and finals are estimated by the time of complete trials per image.

    Without a complete trial, their time is unknown.
    """
    life.claim("trial", 3)
    assert life.collect()["time_left"]["unknown"] == ["trial cnn", "fold cnn", "final cnn"]
    for i, (seconds, state) in enumerate(((100, "complete"), (60, "complete"), (20, "pruned"))):
        life.trial(i, 0.5, state=state)
        duration = (
            "update attempt set started = ended - make_interval(secs => %(s)s) where index = %(i)s"
        )
        life.database.rows(duration, s=seconds, i=i)
    left = life.collect()["time_left"]
    # Trials train on 80 of 100 images: a complete trial took 80 s, any trial 60 s.
    # Two folds train on 50 images each, the final on 100.
    assert left["unknown"] == []
    assert left["work_s"] == pytest.approx(60 + 2 * 50 + 100, abs=3)


def test_images_a_second(life):
    """The speed is the saved images per second of the last ten minutes, per running task.

    Each batch size counts for itself.
    """
    life.trial(0, 0.5, batch_size=32)
    life.trial(1, 0.5, batch_size=64)
    life.claim("trial", 2)
    life.claim("trial", 3)

    def set_ages(index: int, started_s: int, ended_s: int, steps: int) -> None:
        life.database.rows(
            """
            update attempt set last_step = %(steps)s,
                started = clock_timestamp() - make_interval(secs => %(started_s)s),
                ended = clock_timestamp() - make_interval(secs => %(ended_s)s)
            where index = %(index)s""",
            index=index,
            started_s=started_s,
            ended_s=ended_s,
            steps=steps,
        )

    # An epoch of 80 images is 3 steps of 32 or 2 of 64.
    # 30 steps of 32 are 10 epochs: 800 images in 100 s.
    set_ages(0, started_s=200, ended_s=100, steps=30)
    # 60 steps of 64 are 2,400 images in 1,200 s; half of them fall into the ten minutes.
    set_ages(1, started_s=1200, ended_s=0, steps=60)
    now = "started = clock_timestamp(), last_beat = clock_timestamp()"
    life.database.rows(f"update attempt set {now} where index > 1")
    (speed,) = life.collect()["images_per_s"]
    assert speed["images_per_s"] == pytest.approx(2 * (800 + 1200) / 700, rel=0.01)
    assert [round(t["mean_s"], -1) for t in life.collect()["task_s"]] == [650]


def test_ten_thousand_tasks(life):
    """The state of 10,000 decided tasks, each with an attempt, is collected within 3 s."""
    life.database.rows(
        """
        insert into task (experiment, model, stage, index, state, value, parameters, progress)
        select id, 'cnn', 'trial', i, 'complete', i / 2e4, '{"batch_size": 32}', 9
        from experiment, generate_series(4, 9999) i"""
    )
    life.database.rows(
        """
        insert into attempt (experiment, model, stage, index, number, owner, host, outcome,
                             ended, first_step, last_step)
        select id, 'cnn', 'trial', i, 1, 'x', 'x', 'complete',
               clock_timestamp() + interval '9 s', 0, 9
        from experiment, generate_series(4, 9999) i"""
    )
    started = time.monotonic()
    state = life.collect()
    assert status.experiments(life.database)[0]["decided"] == 9996
    assert time.monotonic() - started < 3
    assert state["models"]["cnn"]["best"] == {"trial": 9999, "value": 9999 / 2e4}


def test_the_list(life):
    """`job list` shows how far each experiment is, and who leads or has won.

    The best trial leads first, then the best mean fold score; the winner is last.
    """
    life.trial(0, 0.75)
    (entry,) = json.loads(life.job("list", "--json").stdout)
    expected = {"name": "small", "tasks": 7, "decided": 1, "running": 0}
    assert expected.items() <= entry.items()
    assert entry["best"] == {"model": "cnn", "value": 0.75, "by": "trial", "won": False}
    life.finish()
    (entry,) = json.loads(life.job("list", "--json").stdout)
    best = {"model": "cnn", "value": pytest.approx(0.65), "by": "fold mean", "won": True}
    assert entry["undecided"] == 0
    assert entry["best"] == best
    assert "cnn 0.6500 (winner, fold mean)" in life.job("list").stdout


def test_watching_on_a_terminal(life):
    """On a terminal the picture follows the database, and Ctrl-C leaves it clean.

    A clean terminal has a last line, the cursor, and no traceback.
    """
    screen = Screen(life, "status", "--watch", "--interval", "0.2")
    screen.until("0/4")
    life.trial(0, 0.75)
    life.claim("trial", 1, host="node9")
    screen.until("on node9")
    screen.key(b"\x03")
    text = screen.end(75)
    assert "best so far trial 0, accuracy 0.7500" in text
    assert "━" in text
    assert b"\x1b[3" in screen.raw
    assert text.splitlines()[-1] == "job: SIGINT: interrupted; run it again"
    assert "Traceback" not in text
    show_cursor = b"\x1b[?25h"
    hide_cursor = b"\x1b[?25l"
    assert screen.raw.rfind(show_cursor) > screen.raw.rfind(hide_cursor)


def test_watching_to_the_end(life):
    """Once everything is decided, `--watch` ends by itself with 0.

    A narrow terminal and NO_COLOR are respected.
    """
    screen = Screen(life, "status", "--watch", "--interval", "0.2", columns=40, NO_COLOR="1")
    screen.until("0/4")
    life.finish()
    text = screen.end(0)
    assert "everything is decided" in text
    unwrapped = text.replace("\r\n", " ").replace("  ", " ")
    assert "mean of 2 of 2 folds 0.6500" in unwrapped
    assert re.search(rb"\x1b\[[0-9;]*3[0-9]m", screen.raw) is None
    assert max(map(len, text.replace("\r", "\n").splitlines())) <= 40


def test_watching_without_a_terminal(life, tmp_path):
    """Without a terminal, plain blocks appear only when something changes.

    There are no control characters, and `--json` writes one object per line.
    TensorFlow and Optuna are not imported.
    """
    files = [tmp_path / name for name in ("lines", "imports", "objects")]
    with contextlib.ExitStack() as stack:
        lines, imports, objects = (stack.enter_context(open(file, "w")) for file in files)
        command = ["-m", "job", "status", "--watch", "--interval", "0.1"]
        environ = life.environ(FORCE_COLOR="1")
        plain = [sys.executable, "-X", "importtime", *command]
        as_json = [sys.executable, *command, "--json"]
        watchers = [
            subprocess.Popen(plain, env=environ, stdout=lines, stderr=imports),
            subprocess.Popen(as_json, env=environ, stdout=objects),
        ]
        # They look more than once while nothing changes.
        wait_for(lambda: files[0].read_text() and len(files[2].read_text().splitlines()) > 5)
        life.finish()
        assert [watcher.wait(30) for watcher in watchers] == [0, 0]
    out, imported, written = (file.read_text() for file in files)
    states = [json.loads(line) for line in written.splitlines()]
    assert [c for c in out if not c.isprintable() and c != "\n"] == []
    assert out.count(": 0 of 7 tasks decided, 0 running") == 1
    assert out.endswith("everything is decided\n\n")
    assert (states[0]["undecided"], states[-1]["undecided"]) == (7, 0)
    assert re.findall(r"\| +(?:tensorflow|optuna|boto3|sqlalchemy)\n", imported) == []


def test_watching_through_an_outage(life):
    """A database that is away is reported and waited for; after JOB_OUTAGE_S the exit is 69.

    The error is one sentence.
    """
    parts = re.fullmatch(r"(.*@)([^:]+):(\d+)(/.*)", life.url)
    with Proxy(parts[2], int(parts[3])) as proxy:
        url = f"{parts[1]}{parts[2]}:{proxy.port}{parts[4]}"
        screen = Screen(life, "status", "--watch", "--interval", "0.2", JOB_DATABASE_URL=url)
        screen.until("0/4")
        proxy.set("refuse")
        screen.until("trying again for 15 min")
        life.finish()
        proxy.set("pass")
        assert "everything is decided" in screen.end(0)
        proxy.set("refuse")
        done = life.job("status", "--watch", JOB_DATABASE_URL=url, JOB_OUTAGE_S="1")
        assert (done.returncode, done.stderr.count("job: the database")) == (69, 1)
        command = [sys.executable, "-m", "job", "status", "--watch", "--interval", "0.2"]
        environ = life.environ(JOB_DATABASE_URL=url, JOB_OUTAGE_S="20")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        lines = subprocess.Popen(command, env=environ, text=True, **pipes)
        assert "trying again for" in lines.stderr.readline()
        lines.send_signal(signal.SIGINT)
        assert lines.wait(30) == 75


def test_a_task_at_work(long_trials):
    """For a real training, host, attempt, saved step and speed match its row and its log."""
    child = long_trials.site.start("trial", "--model", "cnn", "--index", "0")
    child.until("epoch 20 of")
    with child.held():
        state = json.loads(long_trials.site.job("status", "--json", check=0).stdout)
        row = long_trials.attempts(0)[0]
        epochs = max(map(int, re.findall(r"epoch (\d+) of", child.text())))
        # An epoch has 72 images: 90 without the validation part.
        trained = epochs * 72 + 72
    child.send(signal.SIGTERM)
    child.wait(check=75)
    (worker,) = state["running"]
    of_its_row = {"host": row["host"], "last_step": row["last_step"]}
    expected = {"model": "cnn", "stage": "trial", "index": 0} | of_its_row
    assert expected.items() <= worker.items()
    seconds = (row["last_beat"] - row["started"]).total_seconds()
    assert 0 < state["images_per_s"][0]["images_per_s"] <= trained / seconds
