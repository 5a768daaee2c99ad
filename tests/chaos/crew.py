"""Worker processes over the undecided tasks: started, watched, judged by how they end."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from job.errors import JobError
from job.experiment.task import Key
from tests.chaos.experiments import BEFORE, ROOT, Subject, Task
from tests.chaos.servers import GRACE_S

ALLOWED = (0, 69, 75)
DOUBLED = 0.1  # of the starts are a second process for a task that has one
CHATTER = ("I0000", "WARNING: All log messages")
LATE_S = 2.0  # beyond the grace, on a busy machine


class Worker:
    """One `job` process and what was done to it."""

    def __init__(self, subject: Subject, key: Key, log: Path):
        self.subject, self.key, self.log, self.started = subject, key, log, time.monotonic()
        self.sent: list[tuple[signal.Signals, float]] = []
        self.paused = self.overtaken = False
        self.ended: float | None = None
        command = [
            sys.executable,
            "-m",
            "job",
            key.stage,
            "--model",
            key.model,
            "--index",
            str(key.index),
        ]
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                command,
                env=subject.environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self.process.wait()
        self.ended = time.monotonic()

    def __str__(self):
        return f"{self.subject.label} {self.key} (process {self.process.pid}, {self.log.name})"

    @property
    def training(self) -> bool:
        """Whether it is, or ended, between its first and its last step."""
        text = self.log.read_text(errors="replace")
        return "training: at step" in text and "training: over" not in text

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has just ended gets none."""
        self.process.send_signal(number)
        self.sent.append((number, time.monotonic()))

    def tail(self, lines: int = 15) -> str:
        """Return its last lines, without TensorFlow's own."""
        said = [
            line
            for line in self.log.read_text(errors="replace").splitlines()
            if not line.startswith(CHATTER)
        ]
        return "\n".join("    " + line for line in said[-lines:])

    def complaint(self) -> str | None:
        """Return what is wrong with how it ended, None if nothing."""
        code, sent = self.process.returncode, [number for number, _ in self.sent]
        asked = [
            (number, at)
            for number, at in self.sent
            if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)
        ]
        killed = code == -signal.SIGKILL and signal.SIGKILL in sent
        second = len(asked) > 1 and code == 128 + asked[1][0]
        if not (code in ALLOWED or killed or second):
            return f"{self} ended with {code} after {[n.name for n in sent] or 'no signal'}:\n{self.tail()}"
        if asked and not killed and self.ended - asked[0][1] > GRACE_S + LATE_S:
            return f"{self} left {self.ended - asked[0][1]:.1f} s after {asked[0][0].name}, {GRACE_S:.0f} s were allowed:\n{self.tail()}"
        if self.overtaken and code == 0:
            return f"{self} was paused past its lease, its task went to another, and yet it ended with 0:\n{self.tail()}"
        return None


class Crew:
    """So many workers at a time over the tasks of some experiments."""

    def __init__(self, subjects: list[Subject], size: int, rng: random.Random, folder: Path):
        self.subjects, self.size, self.rng, self.folder = subjects, size, rng, folder
        self.workers: list[Worker] = []
        self.ended: list[Worker] = []
        self.complaints: list[str] = []
        self.tasks: dict[str, dict[Key, Task]] = {s.label: {} for s in subjects}

    def tend(self, doubles: bool = False) -> None:
        """Judge the workers that have ended, look at the tasks, start workers in free places."""
        for worker in [w for w in self.workers if w.ended]:
            self.workers.remove(worker)
            self.ended.append(worker)
            if complaint := worker.complaint():
                self.complaints.append(complaint)
                print(f"!! {complaint.splitlines()[0]}", flush=True)
        if self.look():
            while sum(not w.paused for w in self.workers) < self.size and (
                choice := self._choice(doubles)
            ):
                self.start(*choice)

    def look(self) -> bool:
        """Read the tasks' rows; return whether the database answered."""
        try:
            self.tasks = {s.label: s.tasks(patience_s=0.0) for s in self.subjects}
            return True
        except JobError:
            return False

    def task(self, worker: Worker) -> Task:
        """Return the row of a worker's task, as last seen."""
        return self.tasks[worker.subject.label][worker.key]

    def undecided(self, subject: Subject) -> list[Key]:
        return [key for key, task in self.tasks[subject.label].items() if not task.decided]

    def start(self, subject: Subject, key: Key) -> Worker:
        """Start a worker for a task."""
        number = len(self.workers) + len(self.ended)
        worker = Worker(
            subject,
            key,
            self.folder / f"{number:04d}-{subject.label}-{key.model}-{key.stage}-{key.index}.log",
        )
        self.workers.append(worker)
        return worker

    def kill(self) -> None:
        """End every worker at once and wait for them."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.wait()

    def _choice(self, doubles: bool) -> tuple[Subject, Key] | None:
        """Return any task that is undecided, could be done, and has no worker - or now and then one that has."""
        busy = [
            (w.subject, w.key) for w in self.workers if not w.paused
        ]  # a paused one's task is to be taken
        again = [
            (s, k)
            for s, k in busy
            if busy.count((s, k)) == 1 and self.tasks[s.label][k].counted == 0
        ]
        if doubles and again and self.rng.random() < DOUBLED:
            return self.rng.choice(again)
        for subject in self.rng.sample(
            self.subjects, len(self.subjects)
        ):  # the small experiment is met as often as the large
            left = self.undecided(subject)
            waiting = {(k.model, k.stage) for k in left}
            free = [
                k
                for k in left
                if (subject, k) not in busy
                and not any((k.model, stage) in waiting for stage in BEFORE[k.stage])
            ]
            if free:
                return subject, self.rng.choice(free)
        return None
