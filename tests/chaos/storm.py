"""The events of the storm: their plan, their victims, and the hits between first and last step."""

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

# Per minute: the hits that a storm must reach, and the least number of planned events.
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
CALM_S = 180.0  # until the first worker trains
LAST_S = 4.0  # without events, before the end
POLL_S = 0.1
GAP_S = 1.0  # between two events
PATIENCE_S = 30.0  # for another worker to take the task of a paused one
GROW_BELOW = 6
BORN_S = 2.0  # a signal that comes before `job` handles it kills Python itself
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


def needed(minutes: float) -> dict[str, int]:
    """Return the hits a storm must reach."""
    return {kind: ceil(rate * minutes) for kind, rate in NEEDED.items()}


@dataclass
class Event:
    """An event at a time (seconds into the storm), with a random number for its details."""

    at: float
    kind: str
    detail: float


def plan(rng: random.Random, minutes: float) -> list[Event]:
    """Return the events in order of time.

    The events of a kind are spread over the storm. Each kind with needed hits has at least two.
    """
    events = []
    length = minutes * 60 - LAST_S
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
        self.servers = servers
        self.crew = crew
        self.growing = growing
        self.grow = grow
        self.rng = rng
        self.minutes = minutes
        self.events = plan(rng, minutes)
        self.planned = Counter(e.kind for e in self.events)
        self.happened = Counter()
        self.hits = Counter()
        self.notes = Counter()
        # The worker, the end of its pause, and the attempt that was paused.
        self.pauses: list[tuple[Worker, float, int]] = []
        # Workers that got a signal while training; each is a hit if it ends there.
        self.asked: list[tuple[Worker, str]] = []
        self.started = time.monotonic()

    def run(self) -> None:
        """Rage for the given minutes, from the first training step until all pauses are judged.

        At the end every paused worker continues.
        """
        self._wait_for_training()
        self.started = time.monotonic()
        quiet_until = 0.0
        try:
            while (now := time.monotonic() - self.started) < self.minutes * 60 or self.pauses:
                self.crew.tend(doubles=True)
                self._wake(now)
                self._count_asked()
                self._grow_when_small()
                if now >= quiet_until and self._play_due(now):
                    quiet_until = now + GAP_S
                time.sleep(POLL_S)
        finally:
            self._wake(float("inf"))

    def _wait_for_training(self) -> None:
        while not any(w.training for w in self.crew.workers):
            if time.monotonic() - self.started > CALM_S:
                raise JobError(f"no worker came to its first step within {CALM_S:.0f} s")
            self.crew.tend()
            time.sleep(POLL_S)

    def _grow_when_small(self) -> None:
        """Add trials when few are left, so that there is something to hit."""
        left = self.crew.undecided(self.growing)
        if sum(key.stage == "trial" for key in left) < GROW_BELOW:
            self.grow()
            self.crew.look()

    def _play_due(self, now: float) -> bool:
        """Play the first due event that finds a victim; return whether there was one."""
        due = [e for e in self.events if e.at <= now < self.minutes * 60]
        event = next((e for e in due if self._happen(e)), None)
        if event is None:
            return False
        self.events.remove(event)
        self.happened[event.kind] += 1
        return True

    def settle(self) -> None:
        """Count the hits of signals whose victims have left by now."""
        self._count_asked()

    def misses(self) -> list[str]:
        """Return the needed hits that were not reached."""
        return [
            f"the storm hit {self.hits[kind]} times by {kind}, {count} were needed"
            for kind, count in needed(self.minutes).items()
            if self.hits[kind] < count
        ]

    def _happen(self, event: Event) -> bool:
        """Play an event; return False when it has no victim now."""
        aimed = event.kind in NEEDED or event.kind == "cut"
        victim = self._victim(aimed)
        if victim is None:
            return False
        self._print(event, victim)
        if event.kind in ("kill", "kill anywhere"):
            self._kill(victim)
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
            databases = [s.database for s in self.crew.subjects]
            self.notes["connections cut"] += self.servers.cut(databases, 3.0)
        else:
            self._restart(event)
        return True

    def _victim(self, aimed: bool) -> Worker | None:
        """Return a worker for an event, never one that was hit before.

        An aimed event needs one that trains; for the others it must only be old enough.
        """
        if not self.crew.look():
            return None
        old = [
            w
            for w in self.crew.workers
            if not w.sent and not w.ended and time.monotonic() - w.started > BORN_S
        ]
        fit = [w for w in old if self.crew.task(w).may_vanish and (not aimed or w.training)]
        if not fit:
            return None
        better = []
        if aimed:
            better = [w for w in fit if self.crew.task(w).progress > self.crew.task(w).counted_at]
        return self.rng.choice(better or fit)

    def _kill(self, victim: Worker) -> None:
        victim.send(signal.SIGKILL)
        victim.process.wait()
        self.hits["kill"] += victim.code == -signal.SIGKILL and victim.training

    def _pause(self, victim: Worker, event: Event) -> None:
        """Pause a worker for longer than its lease, and start another one for its task."""
        victim.send(signal.SIGSTOP)
        if victim.training and not victim.ended:
            victim.paused = True
            now = time.monotonic() - self.started
            until = now + LEASE_S + 3 + 6 * event.detail
            self.pauses.append((victim, until, self.crew.task(victim).attempt))
            self.crew.start(victim.subject, victim.key)
        else:
            victim.send(signal.SIGCONT)

    def _rival(self, victim: Worker) -> bool:
        """Tell whether another worker runs for the task of a paused one.

        A worker that waited for the lease in vain has left.
        """
        return any(
            (w.subject, w.key) == (victim.subject, victim.key) and not w.paused
            for w in self.crew.workers
        )

    def _wake(self, now: float) -> None:
        """Continue the workers whose pause is over and whose task was taken meanwhile.

        They must not publish.
        """
        for pause in list(self.pauses):
            victim, until, attempt = pause
            victim.overtaken = self.crew.task(victim).attempt > attempt
            if not victim.overtaken and not self._rival(victim):
                self.crew.start(victim.subject, victim.key)
            patience_s = 0 if victim.overtaken else PATIENCE_S
            if now > until + patience_s:
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

    def _print(self, event: Event, victim: Worker) -> None:
        aimless = event.kind in ("database", "store", "cut")
        aim = "" if aimless else f" {victim.subject.label} {victim.key}"
        print(f"[{time.monotonic() - self.started:5.1f} s] {event.kind}{aim}", flush=True)


def finish(crew: Crew, seconds: float) -> None:
    """Let the crew decide every task in peace. Raises: JobError if it cannot, or is too slow."""
    deadline = time.monotonic() + seconds
    while True:
        crew.tend()
        if not crew.workers and not any(crew.undecided(s) for s in crew.subjects):
            return
        if any(w.code == 70 for w in crew.ended):
            raise JobError("a task failed permanently: its successors cannot run")
        if time.monotonic() > deadline:
            left = {s.label: [str(k) for k in crew.undecided(s)] for s in crew.subjects}
            raise JobError(f"not every task was decided {seconds:.0f} s after the storm: {left}")
        time.sleep(POLL_S)
