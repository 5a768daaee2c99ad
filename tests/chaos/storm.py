"""What befalls the workers and their servers, when, and whether it hit them between their first and last step."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from job.errors import JobError
from tests.chaos.crew import Crew, Worker
from tests.chaos.experiments import Subject
from tests.chaos.servers import LEASE_S, Servers

# Hits that a storm must reach, a minute; and how often each kind is planned, a minute at least.
NEEDED = {"kill": 2.0, "term": 0.5, "pause": 0.3, "database": 0.2, "store": 0.2}
PLANNED = {
    "kill": 3.0,
    "term": 0.8,
    "pause": 0.5,
    "database": 0.5,
    "store": 0.5,
    "kill anywhere": 1.0,
    "signal anywhere": 1.0,
    "signal twice": 0.3,
    "cut": 0.5,
}
CALM_S = 180.0  # for the first worker to train
LAST_S = 4.0  # before the end
POLL_S = 0.1
GAP_S = 1.0  # between two events
PATIENCE_S = 30.0  # for another to take a paused worker's task
GROW_BELOW = 6
BORN_S = 2.0  # Python itself dies of a signal that comes before `job` can take it over
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def needed(minutes: float) -> dict[str, int]:
    """Return the hits a storm must reach."""
    return {kind: ceil(rate * minutes) for kind, rate in NEEDED.items()}


@dataclass
class Event:
    """Something of a kind at a time (seconds into the storm), with a number that decides on its details."""

    at: float
    kind: str
    detail: float


def plan(rng: random.Random, minutes: float) -> list[Event]:
    """Return the events in order of time, those of a kind spread over the storm; at least two of each kind that is needed."""
    events, length = [], minutes * 60 - LAST_S
    for kind, rate in PLANNED.items():
        count = max(ceil(rate * minutes), 2 * (kind in NEEDED))
        events += [
            Event(length * (i + rng.random()) / count, kind, rng.random()) for i in range(count)
        ]
    return sorted(events, key=lambda e: e.at)


class Storm:
    """Plays a plan over a crew; an event that finds no victim waits for one."""

    def __init__(
        self,
        servers: Servers,
        crew: Crew,
        growing: Subject,
        grow: Callable[[], None],
        rng: random.Random,
        minutes: float,
    ):
        self.servers, self.crew, self.growing, self.grow, self.rng, self.minutes = (
            servers,
            crew,
            growing,
            grow,
            rng,
            minutes,
        )
        self.events = plan(rng, minutes)
        self.planned = Counter(e.kind for e in self.events)
        self.happened, self.hits, self.notes = Counter(), Counter(), Counter()
        self.pauses: list[
            tuple[Worker, float, int]
        ] = []  # who, until when, the attempt that was paused
        self.asked: list[tuple[Worker, str]] = []  # got a signal while training; its end will tell
        self.started = time.monotonic()

    def run(self) -> None:
        """Rage for the given minutes from the first training step on, and until the last pause has been judged; then let everybody go on."""
        while not any(w.training for w in self.crew.workers):
            if time.monotonic() - self.started > CALM_S:
                raise JobError(f"no worker came to its first step within {CALM_S:.0f} s")
            self.crew.tend()
            time.sleep(POLL_S)
        self.started, quiet_until = time.monotonic(), 0.0
        try:
            while (now := time.monotonic() - self.started) < self.minutes * 60 or self.pauses:
                self.crew.tend(doubles=True)
                self._wake(now)
                self._count_asked()
                if (
                    sum(key.stage == "trial" for key in self.crew.undecided(self.growing))
                    < GROW_BELOW
                ):
                    self.grow()  # so that there is something left to hit
                    self.crew.look()
                due = [e for e in self.events if e.at <= now < self.minutes * 60]
                if now >= quiet_until and (
                    event := next((e for e in due if self._happen(e)), None)
                ):
                    self.events.remove(event)
                    self.happened[event.kind] += 1
                    quiet_until = now + GAP_S
                time.sleep(POLL_S)
        finally:
            self._wake(float("inf"))

    def settle(self) -> None:
        """Count the hits of signals whose victims have left by now."""
        self._count_asked()

    def misses(self) -> list[str]:
        """Return what was needed and not reached."""
        return [
            f"the storm hit {self.hits[kind]} times by {kind}, {count} were needed"
            for kind, count in needed(self.minutes).items()
            if self.hits[kind] < count
        ]

    def _happen(self, event: Event) -> bool:
        """Let an event happen; return False when there is nothing it could meet now."""
        aimed = event.kind in NEEDED or event.kind == "cut"
        victim = self._victim(event, aimed)
        if victim is None:
            return False
        self._say(event, victim)
        if event.kind in ("kill", "kill anywhere"):
            self._kill(victim, event)
        elif event.kind == "term":
            victim.send(signal.SIGTERM)
            self.asked.append((victim, event.kind))
        elif event.kind == "signal anywhere":
            victim.send(SIGNALS[int(event.detail * len(SIGNALS))])
        elif event.kind == "signal twice":
            victim.send(signal.SIGTERM)
            time.sleep(0.3)
            victim.send(signal.SIGINT)
        elif event.kind == "pause":
            self._pause(victim, event)
        elif event.kind == "cut":
            self.notes["connections cut"] += self.servers.cut(
                [s.database for s in self.crew.subjects], 3.0
            )
        else:
            self._restart(event)
        return True

    def _victim(self, event: Event, aimed: bool) -> Worker | None:
        """Return a worker that may be met: one that trains, or (unless aimed) any that is old enough; never one that was met before."""
        if not self.crew.look():
            return None
        met = [
            w
            for w in self.crew.workers
            if not w.sent and not w.ended and time.monotonic() - w.started > BORN_S
        ]
        met = [w for w in met if self.crew.task(w).may_vanish and (not aimed or w.training)]
        better = (
            [w for w in met if self.crew.task(w).progress > self.crew.task(w).counted_at]
            if aimed
            else []
        )
        return self.rng.choice(better or met) if met else None

    def _kill(self, victim: Worker, event: Event) -> None:
        victim.send(signal.SIGKILL)
        victim.process.wait()
        self.hits["kill"] += victim.process.returncode == -signal.SIGKILL and victim.training

    def _pause(self, victim: Worker, event: Event) -> None:
        """Stop a worker for longer than its lease, and send another for its task."""
        victim.send(signal.SIGSTOP)
        if victim.training and not victim.ended:
            victim.paused = True
            self.pauses.append(
                (
                    victim,
                    time.monotonic() - self.started + LEASE_S + 3 + 6 * event.detail,
                    self.crew.task(victim).attempt,
                )
            )
            self.crew.start(victim.subject, victim.key)
        else:
            victim.send(signal.SIGCONT)

    def _rival(self, victim: Worker) -> bool:
        """Tell whether somebody is after a paused worker's task: one that waited for its lease in vain has left."""
        return any(
            (w.subject, w.key) == (victim.subject, victim.key) and not w.paused
            for w in self.crew.workers
        )

    def _wake(self, now: float) -> None:
        """Let those go on whose pause is over and whose task was taken meanwhile; they must not publish."""
        for pause in list(self.pauses):
            victim, until, attempt = pause
            victim.overtaken = self.crew.task(victim).attempt > attempt
            if not victim.overtaken and not self._rival(victim):
                self.crew.start(victim.subject, victim.key)
            if now > until + (0 if victim.overtaken else PATIENCE_S):
                victim.send(signal.SIGCONT)
                victim.paused = False
                self.hits["pause"] += victim.overtaken
                self.pauses.remove(pause)

    def _restart(self, event: Event) -> None:
        server = self.servers.postgres if event.kind == "database" else self.servers.s3
        training = any(w.training for w in self.crew.workers if not w.ended and not w.paused)
        how = signal.SIGKILL if event.kind == "store" or self.happened["database"] % 2 else None
        self.servers.restart(server, how, 0.5 + 3 * event.detail)
        self.hits[event.kind] += training

    def _count_asked(self) -> None:
        for worker, kind in [a for a in self.asked if a[0].ended]:
            self.hits[kind] += worker.training
            self.asked.remove((worker, kind))

    def _say(self, event: Event, victim: Worker) -> None:
        whom = (
            f" {victim.subject.label} {victim.key}"
            if event.kind not in ("database", "store", "cut")
            else ""
        )
        print(f"[{time.monotonic() - self.started:5.1f} s] {event.kind}{whom}", flush=True)


def finish(crew: Crew, seconds: float) -> None:
    """Let the crew decide every task in peace. Raises: JobError when it cannot, or not in time."""
    deadline = time.monotonic() + seconds
    while True:
        crew.tend()
        if not crew.workers and not any(crew.undecided(s) for s in crew.subjects):
            return
        if any(w.process.returncode == 70 for w in crew.ended):
            raise JobError("a task failed for good: what comes after it cannot be done")
        if time.monotonic() > deadline:
            left = {s.label: [str(k) for k in crew.undecided(s)] for s in crew.subjects}
            raise JobError(f"not every task was decided {seconds:.0f} s after the storm: {left}")
        time.sleep(POLL_S)
