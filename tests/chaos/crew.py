"""Worker processes for the undecided tasks: start them, watch them, judge how they end."""

import os
import random
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from job import child
from job.errors import JobError
from job.experiment.task import Key
from tests.chaos.experiments import BEFORE, ROOT, Subject, Task
from tests.chaos.servers import GRACE_S
from tests.support import forked

ALLOWED = (0, 69, 75)
NO_REQUEST = (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT)  # they do not ask a worker to leave
DOUBLED = 0.1  # the share of starts that are a second process for the same task
CHATTER = ("I0000", "WARNING: All log messages")
ALONE = 4  # one in so many starts imports TensorFlow by itself, and may be hit during the import
HEARD_S = 10.0
LATE_S = 2.0  # allowed beyond the grace, on a busy machine


class Worker:
    """One `job` process and what was done to it."""

    def __init__(self, subject: Subject, key: Key, log: Path, alone: bool):
        self.subject = subject
        self.key = key
        self.log = log
        self.started = time.monotonic()
        self.sent: list[tuple[signal.Signals, float]] = []
        self.paused = False
        self.overtaken = False
        self.ended: float | None = None
        self.process = self._start(alone)
        threading.Thread(target=self._wait, daemon=True).start()

    def _start(self, alone: bool) -> subprocess.Popen | forked.Forked:
        """Start `job`: alone, or forked from a process that has imported TensorFlow."""
        task = [self.key.stage, "--model", self.key.model, "--index", str(self.key.index)]
        if not alone and forked.possible(self.subject.environ):
            return forked.Forked(task, self.subject.environ, ROOT, self.log, self.log)
        with open(self.log, "ab") as file:
            return subprocess.Popen(
                child.command(*task),
                env=self.subject.environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def _wait(self) -> None:
        """Note when it ends; its exit code is for whoever asks the process."""
        with suppress(ProcessLookupError):  # it has ended already
            process = os.pidfd_open(self.process.pid)
            select.select([process], [], [])
            os.close(process)
        self.ended = time.monotonic()

    @property
    def code(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.ended:  # its parent, a process of ours, may not have heard of it yet
            self.process.wait(HEARD_S)
        return self.process.poll()

    def __str__(self):
        return f"{self.subject.label} {self.key} (process {self.process.pid}, {self.log.name})"

    @property
    def training(self) -> bool:
        """Tell whether it is between its first and its last step, or ended there."""
        text = self.log.read_text(errors="replace")
        return "training: at step" in text and "training: over" not in text

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has just ended gets none."""
        self.process.send_signal(number)
        self.sent.append((number, time.monotonic()))

    def tail(self, lines: int = 15) -> str:
        """Return its last lines, without TensorFlow's own."""
        text = self.log.read_text(errors="replace")
        own = [line for line in text.splitlines() if not line.startswith(CHATTER)]
        return "\n".join("    " + line for line in own[-lines:])

    def complaint(self) -> str | None:
        """Return what is wrong with how it ended, or None."""
        fault = self._fault()
        return fault and f"{self} {fault}:\n{self.tail()}"

    def _fault(self) -> str | None:
        code = self.code
        sent = [number for number, _ in self.sent]
        requests = [(number, at) for number, at in self.sent if number not in NO_REQUEST]
        killed = code == -signal.SIGKILL and signal.SIGKILL in sent
        by_second = len(requests) > 1 and code == 128 + requests[1][0]
        if not (code in ALLOWED or killed or by_second):
            return f"ended with {code} after {[n.name for n in sent] or 'no signal'}"
        if requests and not killed:
            number, at = requests[0]
            seconds = self.ended - at
            if seconds > GRACE_S + LATE_S:
                return f"left {seconds:.1f} s after {number.name}, {GRACE_S:.0f} s were allowed"
        if self.overtaken and code == 0:
            return "was paused past its lease, its task went to another, and yet it ended with 0"
        return None


class Crew:
    """A number of workers at a time for the tasks of some experiments."""

    def __init__(self, subjects: list[Subject], size: int, rng: random.Random, folder: Path):
        self.subjects = subjects
        self.size = size
        self.rng = rng
        self.folder = folder
        self.workers: list[Worker] = []
        self.ended: list[Worker] = []
        self.complaints: list[str] = []
        self.tasks: dict[str, dict[Key, Task]] = {s.label: {} for s in subjects}

    def tend(self, doubles: bool = False) -> None:
        """Judge the workers that have ended, read the tasks, and fill the free places."""
        for worker in [w for w in self.workers if w.ended]:
            self.workers.remove(worker)
            self.ended.append(worker)
            if complaint := worker.complaint():
                self.complaints.append(complaint)
                print(f"!! {complaint.splitlines()[0]}", flush=True)
        if self.look():
            while self._free_place() and (choice := self._choice(doubles)):
                self.start(*choice)

    def _free_place(self) -> bool:
        return sum(not w.paused for w in self.workers) < self.size

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
        """Return the tasks of a subject that are undecided, as last seen."""
        return [key for key, task in self.tasks[subject.label].items() if not task.decided]

    def start(self, subject: Subject, key: Key) -> Worker:
        """Start a worker for a task."""
        number = len(self.workers) + len(self.ended)
        log = f"{number:04d}-{subject.label}-{key.model}-{key.stage}-{key.index}.log"
        worker = Worker(subject, key, self.folder / log, alone=number % ALONE == 0)
        self.workers.append(worker)
        return worker

    def kill(self) -> None:
        """Kill all workers and wait for them."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.wait()

    def _choice(self, doubles: bool) -> tuple[Subject, Key] | None:
        """Return any undecided task that can be done and has no worker.

        With `doubles`, now and then return a task that has one.
        """
        # The task of a paused worker is free: another worker is to take it.
        busy = [(w.subject, w.key) for w in self.workers if not w.paused]
        if doubles and (second := self._second(busy)):
            return second
        # Subjects are drawn first: the small experiment is met as often as the large one.
        for subject in self.rng.sample(self.subjects, len(self.subjects)):
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

    def _second(self, busy: list[tuple[Subject, Key]]) -> tuple[Subject, Key] | None:
        """Return, now and then, a task that has one worker and no attempt that counts."""
        single = [
            (s, k)
            for s, k in busy
            if busy.count((s, k)) == 1 and self.tasks[s.label][k].counted == 0
        ]
        if single and self.rng.random() < DOUBLED:
            return self.rng.choice(single)
        return None
