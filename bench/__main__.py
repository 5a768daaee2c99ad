"""Measure a table of benchmarks, or some of its parts; print it and write it as JSON."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from bench import feed, life, lists, photos, quality, rates, report, scale, search, step, transfer
from bench.pairs import document, machine, table
from bench.world import World

TABLES = {
    "bench": {
        "step": step.rows,
        "life": life.rows,
        "transfer": transfer.rows,
        "photos": photos.rows,
        "report": report.rows,
        "feed": feed.rows,
        "search": search.rows,
    },
    "bench-scale": {
        "wires": scale.wires,
        "claims": scale.claims,
        "hundred": scale.hundred,
        "rates": rates.rates,
        "crowds": scale.crowds,
        "lists": lists.rows,
        "quality": quality.rows,
    },
}


def _parser() -> argparse.ArgumentParser:
    parts = "; ".join(f"{name}: {', '.join(parts)}" for name, parts in TABLES.items())
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="the folder for the table's JSON"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of each comparison, in the order A B B A ..."
    )
    parser.add_argument("--data", type=Path, help="cifar-10-python.tar.gz, for the search")
    parser.add_argument("--only", nargs="*", help=f"measure only these parts: {parts}")
    return parser


def main() -> int:
    """Return 0 if every goal is reached, else 1."""
    parser = _parser()
    chosen = parser.parse_args()
    parts = TABLES[chosen.table]
    if unknown := set(chosen.only or ()) - parts.keys():
        names = ", ".join(sorted(unknown))
        parser.error(f"{chosen.table} has no part {names}: expected {', '.join(parts)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-bench-"))
    rows = []
    try:
        with World(folder, chosen.out, chosen.data) as world:
            for name in chosen.only or parts:
                started = time.monotonic()
                rows += parts[name](world, chosen.rounds)
                print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    finally:
        shutil.rmtree(folder)
    file = chosen.out / f"{chosen.table}.json"
    file.write_text(json.dumps(document(rows), indent=1))
    print(f"{date.today()}, {machine()}\n{table(rows)}\n{file}")
    return int(not all(row.reached for row in rows))


if __name__ == "__main__":
    sys.exit(main())
