"""Measure all parts of a table, or some; print it and write it as JSON."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from bench import life, lists, quality, rates, scale, search, step, transfer
from bench.pairs import document, machine, table
from bench.world import World

TABLES = {
    "bench": {
        "step": step.rows,
        "life": life.rows,
        "transfer": transfer.rows,
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


def main() -> int:
    """Return 0 when every goal was reached, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--out", type=Path, default=Path("out"), help="where its JSON goes")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison, A B B A ...")
    parser.add_argument("--data", type=Path, help="cifar-10-python.tar.gz, for the search")
    parser.add_argument(
        "--only",
        nargs="*",
        help="these parts: "
        + "; ".join(f"{name}: {', '.join(parts)}" for name, parts in TABLES.items()),
    )
    asked = parser.parse_args()
    parts = TABLES[asked.table]
    if unknown := set(asked.only or ()) - parts.keys():
        parser.error(
            f"{asked.table} has no part {', '.join(sorted(unknown))}: expected {', '.join(parts)}"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked.out.mkdir(parents=True, exist_ok=True)
    folder, rows = Path(tempfile.mkdtemp(prefix="job-bench-")), []
    try:
        with World(folder, asked.out, asked.data) as world:
            for name in asked.only or parts:
                started = time.monotonic()
                rows += parts[name](world, asked.rounds)
                print(f"== {name}: {time.monotonic() - started:.0f} s", flush=True)
    finally:
        shutil.rmtree(folder)
    file = asked.out / f"{asked.table}.json"
    file.write_text(json.dumps(document(rows), indent=1))
    print(f"{date.today()}, {machine()}\n{table(rows)}\n{file}")
    return int(not all(row.reached for row in rows))


if __name__ == "__main__":
    sys.exit(main())
