"""Prepare two experiments, let a storm rage over them, finish in peace, and check that nothing shows."""

import argparse
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from job.errors import JobError
from tests.chaos import audit
from tests.chaos.crew import Crew
from tests.chaos.experiments import RANDOM, TPE, TPE_TRIALS, Subject, make_weights, trials_of_random
from tests.chaos.servers import Servers
from tests.chaos.storm import PLANNED, Storm, finish, needed

WORKERS = 4  # in the storm, on two cores
CALM_WORKERS = 3
FINISH_S = 900  # on a machine that others use too; two free cores need a fifth of it


class Clock:
    """Prints how long each part took."""

    def __init__(self):
        self.started = self.last = time.monotonic()

    def part(self, name: str) -> None:
        now = time.monotonic()
        print(f"== {name}: {now - self.last:.0f} s", flush=True)
        self.last = now


def chaos(folder: Path, minutes: float, seed: int) -> list[str]:
    """Do all of it; return the reasons why it failed."""
    clock, reasons = Clock(), []
    with Servers(folder / "servers") as servers:
        trials = trials_of_random(minutes)
        calm, rand, tpe = (
            Subject(
                label,
                text,
                n,
                folder,
                servers.environ,
                servers.database(label),
                f"s3://{servers.s3.bucket}/{label}",
            )
            for label, text, n in (
                ("calm", RANDOM, trials),
                ("random", RANDOM, trials),
                ("tpe", TPE, TPE_TRIALS),
            )
        )
        weights = make_weights(folder / "weights")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda subject: subject.prepare(weights), (calm, rand, tpe)))
        clock.part("prepare")
        (folder / "logs").mkdir()
        crew = Crew([rand, tpe], WORKERS, random.Random(f"{seed} crew"), folder / "logs")
        try:
            storm = Storm(
                servers, crew, tpe, lambda: tpe.grow(weights), random.Random(seed), minutes
            )
            storm.run()
            clock.part("storm")
            crew.subjects, crew.size = [rand, tpe, calm], CALM_WORKERS
            finish(crew, FINISH_S + 60 * minutes)
        except JobError as exc:
            reasons.append(str(exc))
        finally:
            crew.kill()
        clock.part("finish, and the calm twin")
        storm.settle()
        reasons += storm.misses() + crew.complaints
        for subject in (calm, rand, tpe):
            reasons += audit.counts(subject)
        reasons += audit.differences(rand, calm)
        clock.part("counts and bits")
        reasons += audit.verify((rand, ["--deep"]), (tpe, ["--deep", "--replay", "5"]))
        clock.part("job verify")
        report(storm, crew, [rand, tpe, calm])
    print(f"== all: {time.monotonic() - clock.started:.0f} s", flush=True)
    return reasons


def report(storm: Storm, crew: Crew, subjects: list[Subject]) -> None:
    """Print what happened."""
    wanted = needed(storm.minutes)
    for kind in PLANNED:
        hits = (
            f", {storm.hits[kind]} hits between first and last step (needed {wanted[kind]})"
            if kind in wanted
            else ""
        )
        print(f"{kind:16} {storm.happened[kind]:4} of {storm.planned[kind]} planned{hits}")
    for what, count in sorted(storm.notes.items()):
        print(f"{what}: {count}")
    for subject in subjects:
        tasks, longest, outcomes = audit.attempts(subject)
        print(
            f"{subject.label}: {tasks} tasks, {sum(outcomes.values())} attempts {outcomes}, at most {longest} of one task"
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{len(crew.ended)} processes, {used.ru_utime + used.ru_stime:.0f} s of processor time with the servers",
        flush=True,
    )


def main() -> int:
    """Return 0 when every promise held and the storm was hard enough, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="of storm; the whole takes about three times as long for short ones",
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="of the plan of the storm; any other by default"
    )
    asked = parser.parse_args()
    seed = random.randrange(2**31) if asked.seed is None else asked.seed
    print(f"storm of {asked.minutes:g} min, SEED={seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder, keep = Path(tempfile.mkdtemp(prefix="job-chaos-")), True
    try:
        reasons = chaos(folder, asked.minutes, seed)
        keep = bool(reasons)
    except (KeyboardInterrupt, SystemExit):
        keep = False
        raise
    finally:
        if keep:
            print(
                f"logs, database and store: {folder}; the same storm again: make chaos MINUTES={asked.minutes:g} SEED={seed}",
                flush=True,
            )
        else:
            shutil.rmtree(folder)
    for reason in reasons:
        print(f"FAILED: {reason}")
    print("FAILED" if reasons else "survived")
    return int(bool(reasons))


if __name__ == "__main__":
    sys.exit(main())
