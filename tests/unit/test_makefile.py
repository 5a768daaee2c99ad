"""What `make` hands on to `job`."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def arguments(*words: str) -> list[str]:
    """Return what a target of the Makefile calls `job` with."""
    command = ["make", "--silent", "--old-file=.venv/.installed", "JOB=printf '%s\\n'", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_value_may_hold_spaces():
    """Paths with spaces and quotes arrive as one argument each; what is empty is not handed on."""
    given = {"EXPERIMENT": "my exp.toml", "OUT": "o'ut 1", "DATA": 'my "data"', "WEIGHTS": "w w"}
    assert arguments("local", *(f"{k}={v}" for k, v in given.items())) == [
        "local", "my exp.toml", "--out", "o'ut 1", "--data", 'my "data"', "--weights", "w w",
    ]  # fmt: skip
    assert arguments("local") == ["local", "examples/quick.toml", "--out", "out"]
    assert arguments("dashboard", "OUT=my out", "JOB_DATABASE_URL=", "JOB_DATABASE_URL_FILE=")[:3] == ["dashboard", "--local", "my out"]
