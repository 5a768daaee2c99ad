"""Measure all parts, or some; print one table and write it as JSON."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from bench import life, search, step, transfer
from bench.pairs import machine, table
from bench.world import World

PARTS = {"step": step.rows, "life": life.rows, "transfer": transfer.rows, "search": search.rows}


def main() -> int:
    """Return 0 when every goal was reached, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"), help="where bench.json goes")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison, A B B A ...")
    parser.add_argument("--data", type=Path, help="cifar-10-python.tar.gz, for the search")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS), help="these parts")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked.out.mkdir(parents=True, exist_ok=True)
    folder, rows = Path(tempfile.mkdtemp(prefix="job-bench-")), []
    try:
        with World(folder, asked.out, asked.data) as world:
            for name in asked.only or PARTS:
                started = time.monotonic()
                rows += PARTS[name](world, asked.rounds)
                print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    finally:
        shutil.rmtree(folder)
    (asked.out / "bench.json").write_text(json.dumps([vars(row) for row in rows], indent=1))
    print(f"{date.today()}, {machine()}\n{table(rows)}\n{asked.out / 'bench.json'}")
    return int(any(row.ratio < row.goal for row in rows))


if __name__ == "__main__":
    sys.exit(main())
