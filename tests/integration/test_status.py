"""`job status` and `job list`: every figure is the database's, on a terminal and without one, through an outage, to the end."""

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
from proxy import Proxy
from world import wait_for

from job.coordination import status
from job.coordination.attempt import Attempt
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment.specification import parse
from job.experiment.task import Key
from job.work.prepare import _register

SPEC = {
    "name": "small", "data": {"source": "digits"}, "search": {"trials": 4}, "folds": {"count": 2},
    "models": {"cnn": {"epochs": 4, "batch_size": [32, 64]}},
}  # fmt: skip
STAGED = {
    "data": {"id": "d", "files": {}, "train": 100, "validation": 20},
    "weights": {},
    "splits": {},
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Life:
    """An experiment whose tasks are done by hand: real claims and commits, no training."""

    def __init__(self, url: str):
        self.url, self.database = url, Database(url, 10)
        self.database.create_schema()
        _register(self.database, parse(SPEC), STAGED)
        self.registered = find(self.database, "small")

    def claim(self, stage: str, index: int, host: str = "node1", lease_s: float = 60) -> Attempt:
        return Tasks(self.database, self.registered, Worker(host=host), lease_s, 0).claim(
            Key("cnn", stage, index)
        )

    def trial(
        self, index: int, value: float | None, batch_size: int = 32, state: str = "complete"
    ) -> None:
        attempt = self.claim("trial", index)
        attempt.set_parameters({"batch_size": batch_size})
        attempt.commit(state, value, {}, {}, step=12)

    def finish(self) -> None:
        """Decide all that is left."""
        for index in range(4):
            if self.database.rows(
                "select 1 from task where stage = 'trial' and state = 'waiting' and index = %(i)s",
                i=index,
            ):
                self.trial(index, 0.5)
        for stage, index in (("fold", 0), ("fold", 1), ("final", 0)):
            self.claim(stage, index).commit("complete", 0.6 + index / 10, {}, {})

    def environ(self, **more: str) -> dict:
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("JOB_", "SLURM_"))
            and k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
        }
        return (
            clean
            | {"JOB_DATABASE_URL": self.url, "JOB_EXPERIMENT": "small", "TERM": "xterm-256color"}
            | more
        )

    def job(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "job", *arguments]
        return subprocess.run(
            command, env=self.environ(**environ), capture_output=True, text=True, timeout=60
        )

    def collect(self) -> dict:
        return status.collect(self.database, self.registered)


@pytest.fixture
def life(database_url) -> Life:
    return Life(database_url)


class Screen:
    """A `job` process on a real pseudo-terminal, and what it wrote there."""

    def __init__(self, life: Life, *arguments: str, columns: int = 100, **environ: str):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "job", *arguments],
            env=life.environ(**environ), stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: _own_terminal(slave),
        )  # fmt: skip
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
        """Wait for the end and return what stands there after it."""
        assert self.process.wait(30) == code, self.text()
        self.reader.join(5)
        os.close(self.master)
        return self.text()


def _own_terminal(slave: int) -> None:
    """Make the pseudo-terminal the process' own, so that Ctrl-C on it is a signal."""
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def test_the_numbers_are_the_databases(life):
    """States, best, attempts, workers and their leases are what was claimed and committed."""
    life.trial(0, 0.5)
    life.trial(1, 0.75, batch_size=64)
    life.trial(2, 0.9, state="pruned")
    life.claim("trial", 3).release("SIGTERM")
    life.claim("trial", 3, host="node7", lease_s=100).durable(
        5
    )  # without parameters: its images are not known
    state = life.collect()
    assert state["stages"]["trial"]["cnn"] == {
        "waiting": 0,
        "running": 1,
        "complete": 2,
        "pruned": 1,
        "failed": 0,
    }
    assert (state["tasks"], state["undecided"]) == (7, 4)
    assert state["models"]["cnn"] == {
        "best": {"trial": 1, "value": 0.75},
        "selected": None,
        "folds": {"folds": 0, "mean": None, "of": 2},
    }
    assert state["attempts"] == {"complete": 2, "interrupted": 1, "pruned": 1, "running": 1}
    (worker,) = state["running"]
    assert (worker["index"], worker["attempt"], worker["host"], worker["last_step"]) == (
        3,
        2,
        "node7",
        5,
    )
    assert 90 < worker["lease_left_s"] <= 100 and 0 <= worker["beat_s"] < 10
    assert state["time_left"]["unknown"] == []
    plain = life.job("status").stdout
    assert (
        "running: cnn trial 3 attempt 2 on node7 saved step 5 lease 2 min" in plain
        and "best so far trial 1, accuracy 0.7500" in plain
    )


def test_folds_and_finals_take_what_trials_took(life):
    """Until one of them is decided: what complete trials took, by the images they train on; of features and trials nothing is guessed."""
    life.claim("trial", 3)
    assert life.collect()["time_left"]["unknown"] == ["trial cnn", "fold cnn", "final cnn"]
    for i, (seconds, state) in enumerate(((100, "complete"), (60, "complete"), (20, "pruned"))):
        life.trial(i, 0.5, state=state)
        life.database.rows(
            "update attempt set started = ended - make_interval(secs => %(s)s) where index = %(i)s",
            s=seconds,
            i=i,
        )
    left = life.collect()["time_left"]
    # 80 of 100 images: a complete trial took 80 s, any trial 60; two folds train on 50 images each, the final on 100.
    assert left["unknown"] == [] and left["work_s"] == pytest.approx(60 + 2 * 50 + 100, abs=3)


def test_images_a_second(life):
    """Saved images by the seconds that attempts lived in the last ten minutes, times those running; each batch size for itself."""
    life.trial(0, 0.5, batch_size=32)
    life.trial(1, 0.5, batch_size=64)
    life.claim("trial", 2)
    life.claim("trial", 3)
    age = "update attempt set started = clock_timestamp() - interval '{started} s', ended = {ended}, last_step = {steps} where index = {i}"
    # 80 images: 3 steps of 32 or 2 of 64 an epoch. 30 steps are 10 epochs, 800 images, in 100 s.
    life.database.rows(
        age.format(i=0, started=200, ended="clock_timestamp() - interval '100 s'", steps=30)
    )
    # Half of its life, and so of its 60 steps = 2,400 images, was before the ten minutes: 1,200 images in 600 s.
    life.database.rows(age.format(i=1, started=1200, ended="clock_timestamp()", steps=60))
    life.database.rows(
        "update attempt set started = clock_timestamp(), last_beat = clock_timestamp() where index > 1"
    )
    (speed,) = life.collect()["images_per_s"]
    assert speed["images_per_s"] == pytest.approx(2 * (800 + 1200) / 700, rel=0.01)
    assert [round(t["mean_s"], -1) for t in life.collect()["task_s"]] == [650]


def test_ten_thousand_tasks(life):
    """The state of 10,000 decided tasks with an attempt each is there within 3 s."""
    life.database.rows("insert into task (experiment, model, stage, index, state, value, parameters, progress) select id, 'cnn', 'trial', i, 'complete', i / 2e4, '{\"batch_size\": 32}', 9 from experiment, generate_series(4, 9999) i")  # fmt: skip
    life.database.rows("insert into attempt (experiment, model, stage, index, number, owner, host, outcome, ended, first_step, last_step) select id, 'cnn', 'trial', i, 1, 'x', 'x', 'complete', clock_timestamp() + interval '9 s', 0, 9 from experiment, generate_series(4, 9999) i")  # fmt: skip
    started = time.monotonic()
    state = life.collect()
    assert status.experiments(life.database)[0]["decided"] == 9996
    assert time.monotonic() - started < 3
    assert state["models"]["cnn"]["best"] == {"trial": 9999, "value": 9999 / 2e4}


def test_the_list(life):
    """`job list` says how far each experiment is and who leads: the best trial, then the best mean fold score, the winner at the end."""
    life.trial(0, 0.75)
    (entry,) = json.loads(life.job("list", "--json").stdout)
    assert (entry["name"], entry["tasks"], entry["decided"], entry["running"]) == ("small", 7, 1, 0)
    assert entry["best"] == {"model": "cnn", "value": 0.75, "by": "trial", "won": False}
    life.finish()
    (entry,) = json.loads(life.job("list", "--json").stdout)
    assert (entry["undecided"], entry["best"]) == (
        0,
        {"model": "cnn", "value": pytest.approx(0.65), "by": "fold mean", "won": True},
    )
    assert "cnn 0.6500 (winner, fold mean)" in life.job("list").stdout


def test_watching_on_a_terminal(life):
    """On a terminal the picture changes with the database; Ctrl-C leaves a clean last line, the cursor, and no traceback."""
    screen = Screen(life, "status", "--watch", "--interval", "0.2")
    screen.until("0/4")
    life.trial(0, 0.75)
    life.claim("trial", 1, host="node9")
    screen.until("on node9")
    screen.key(b"\x03")
    text = screen.end(75)
    assert (
        "best so far trial 0, accuracy 0.7500" in text and "━" in text and b"\x1b[3" in screen.raw
    )
    assert text.splitlines()[-1] == "job: SIGINT: interrupted; run me again"
    assert "Traceback" not in text and screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(
        b"\x1b[?25l"
    )


def test_watching_to_the_end(life):
    """When everything is decided, `--watch` ends by itself with 0; a narrow terminal and NO_COLOR are respected."""
    screen = Screen(life, "status", "--watch", "--interval", "0.2", columns=40, NO_COLOR="1")
    screen.until("0/4")
    life.finish()
    text = screen.end(0)
    assert "everything is decided" in text and "mean of 2 of 2 folds 0.6500" in text.replace(
        "\r\n", " "
    ).replace("  ", " ")
    assert re.search(rb"\x1b\[[0-9;]*3[0-9]m", screen.raw) is None
    assert max(map(len, text.replace("\r", "\n").splitlines())) <= 40


def test_watching_without_a_terminal(life, tmp_path):
    """Plain blocks when something changes, none otherwise, no control character; `--json` is an object a line; TensorFlow and Optuna stay out."""
    files = [tmp_path / name for name in ("lines", "imports", "objects")]
    with contextlib.ExitStack() as stack:
        lines, imports, objects = (stack.enter_context(open(file, "w")) for file in files)
        command = ["-m", "job", "status", "--watch", "--interval", "0.1"]
        environ = life.environ(FORCE_COLOR="1")
        watchers = [
            subprocess.Popen(
                [sys.executable, "-X", "importtime", *command],
                env=environ,
                stdout=lines,
                stderr=imports,
            ),
            subprocess.Popen([sys.executable, *command, "--json"], env=environ, stdout=objects),
        ]
        wait_for(
            lambda: files[0].read_text() and len(files[2].read_text().splitlines()) > 5
        )  # looks at nothing new
        life.finish()
        assert [watcher.wait(30) for watcher in watchers] == [0, 0]
    out, found = (
        files[0].read_text(),
        [json.loads(line) for line in files[2].read_text().splitlines()],
    )
    assert [c for c in out if not c.isprintable() and c != "\n"] == []
    assert out.count(": 0 of 7 tasks decided, 0 running") == 1 and out.endswith(
        "everything is decided\n\n"
    )
    assert (found[0]["undecided"], found[-1]["undecided"]) == (7, 0)
    assert [
        n
        for n in ("tensorflow", "optuna", "boto3", "sqlalchemy")
        if re.search(rf"\| +{n}\n", files[1].read_text())
    ] == []


def test_watching_through_an_outage(life):
    """A database that is away is said and waited for; for longer than JOB_OUTAGE_S it is exit 69, in one sentence."""
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
        lines = subprocess.Popen(
            [sys.executable, "-m", "job", "status", "--watch", "--interval", "0.2"],
            env=life.environ(JOB_DATABASE_URL=url, JOB_OUTAGE_S="20"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert "trying again for" in lines.stderr.readline()
        lines.send_signal(signal.SIGINT)
        assert lines.wait(30) == 75


def test_a_task_at_work(long):
    """Of a real training the host, the attempt, the saved step and the images a second are those of its row and its log."""
    child = long.site.start("trial", "--model", "cnn", "--index", "0")
    child.until("epoch 20 of")
    with child.held():
        state = json.loads(long.site.job("status", "--json", check=0).stdout)
        row = long.attempts(0)[0]
        trained = (
            max(map(int, re.findall(r"epoch (\d+) of", child.text()))) * 72 + 72
        )  # images of an epoch: 90 less the validation part
    child.send(signal.SIGTERM)
    child.wait(check=75)
    (worker,) = state["running"]
    assert [worker[k] for k in ("model", "stage", "index", "host", "last_step")] == [
        "cnn",
        "trial",
        0,
        row["host"],
        row["last_step"],
    ]
    assert (
        0
        < state["images_per_s"][0]["images_per_s"]
        <= trained / (row["last_beat"] - row["started"]).total_seconds()
    )
