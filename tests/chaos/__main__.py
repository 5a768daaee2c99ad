"""Run a storm over two experiments, finish them in peace, and check that no trace is left."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from job.errors import JobError
from tests.chaos import audit
from tests.chaos.crew import ALONE, Crew
from tests.chaos.experiments import RANDOM, TPE, TPE_TRIALS, Subject, make_weights, trials_of_random
from tests.chaos.servers import Servers
from tests.chaos.storm import PLANNED, Storm, finish, needed

WORKERS = 4  # during the storm, on two cores
CALM_WORKERS = 3
FINISH_S = 900  # on a busy machine; two free cores need a fifth of it


class Clock:
    """Prints how long each part took."""

    def __init__(self):
        self.started = time.monotonic()
        self.last = self.started

    def part(self, name: str) -> None:
        """Print the seconds since the end of the last part."""
        now = time.monotonic()
        print(f"== {name}: {now - self.last:.0f} s", flush=True)
        self.last = now


def chaos(folder: Path, minutes: float, seed: int) -> list[str]:
    """Run the storm and the checks after it; return the reasons for a failure."""
    clock = Clock()
    reasons = []
    with Servers(folder / "servers") as servers:
        calm, rand, tpe = make_subjects(folder, servers, minutes)
        weights = make_weights(folder / "weights")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda subject: subject.prepare(weights), (calm, rand, tpe)))
        clock.part("prepare")
        (folder / "logs").mkdir()
        crew = Crew([rand, tpe], WORKERS, random.Random(f"{seed} crew"), folder / "logs")
        rng = random.Random(seed)
        storm = Storm(servers, crew, tpe, lambda: tpe.grow(weights), rng, minutes)
        try:
            storm.run()
            clock.part("storm")
            crew.subjects = [rand, tpe, calm]
            crew.size = CALM_WORKERS
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


def make_subjects(folder: Path, servers: Servers, minutes: float) -> list[Subject]:
    """Return the calm twin, the random experiment and the TPE experiment."""
    trials = trials_of_random(minutes)
    subjects = []
    for label, text, n in (
        ("calm", RANDOM, trials),
        ("random", RANDOM, trials),
        ("tpe", TPE, TPE_TRIALS),
    ):
        database = servers.database(label)
        store = f"s3://{servers.s3.bucket}/{label}"
        subjects.append(Subject(label, text, n, folder, servers.environ, database, store))
    return subjects


def report(storm: Storm, crew: Crew, subjects: list[Subject]) -> None:
    """Print the events, the attempts and the processes."""
    wanted = needed(storm.minutes)
    for kind in PLANNED:
        hits = ""
        if kind in wanted:
            hits = f", {storm.hits[kind]} hits between first and last step (needed {wanted[kind]})"
        print(f"{kind:16} {storm.happened[kind]:4} of {storm.planned[kind]} planned{hits}")
    for what, count in sorted(storm.notes.items()):
        print(f"{what}: {count}")
    for subject in subjects:
        tasks, longest, outcomes = audit.attempts(subject)
        total = sum(outcomes.values())
        print(
            f"{subject.label}: {tasks} tasks, {total} attempts {outcomes},"
            f" at most {longest} of one task"
        )
    print(f"{len(crew.ended)} processes, each {ALONE}th with an import of its own", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="minutes of storm; a short run takes about three times as long in all",
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="seed of the storm's plan; random by default"
    )
    return parser.parse_args()


def main() -> int:
    """Return 0 when every promise held and the storm was hard enough, else 1."""
    arguments = parse_arguments()
    seed = random.randrange(2**31) if arguments.seed is None else arguments.seed
    minutes = f"{arguments.minutes:g}"
    print(f"storm of {minutes} min, SEED={seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="job-chaos-"))
    keep = True
    try:
        reasons = chaos(folder, arguments.minutes, seed)
        keep = bool(reasons)
    except (KeyboardInterrupt, SystemExit):
        keep = False
        raise
    finally:
        if keep:
            print(
                f"logs, database and store: {folder};"
                f" the same storm again: make chaos MINUTES={minutes} SEED={seed}",
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
