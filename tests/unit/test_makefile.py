"""What `make` passes to `job`, and what `make clean` removes."""

import subprocess
from pathlib import Path

import pytest

from job.errors import Invalid
from job.local import folder

ROOT = Path(__file__).parents[2]


def arguments(*words: str) -> list[str]:
    """Return the arguments with which a target of the Makefile calls `job`."""
    command = ["make", "--silent", "--old-file=.venv/.installed", "JOB=printf '%s\\n'", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_value_may_hold_spaces():
    """Paths with spaces and quotes arrive as one argument each; an empty value is not passed."""
    given = {"EXPERIMENT": "my exp.toml", "OUT": "o'ut 1", "DATA": 'my "data"', "WEIGHTS": "w w"}
    expected = ["local", "my exp.toml", "--out", "o'ut 1"]
    expected += ["--data", 'my "data"', "--weights", "w w"]
    assert arguments("local", *(f"{k}={v}" for k, v in given.items())) == expected
    assert arguments("local") == ["local", "examples/quick.toml", "--out", "out"]
    words = arguments("dashboard", "OUT=my out", "JOB_DATABASE_URL=", "JOB_DATABASE_URL_FILE=")
    assert words[:3] == ["dashboard", "--local", "my out"]


def test_env_says_what_it_does(tmp_path):
    """Each step of the installation prints one line before it begins, and nothing else."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements-dev.lock").write_text("a==1 \\\n    --hash=x\nb-c==2\n")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nmkdir -p .venv/bin && cp pip .venv/bin/pip\n")
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@" >>calls\n')
    for program in ("python", "pip"):
        (tmp_path / program).chmod(0o755)
    command = ["make", "--no-print-directory", "env", "PYTHON=./python"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[1/3] creating the virtual environment .venv",
        "[2/3] installing 2 packages from PyPI; this takes minutes",
        "[3/3] installing job",
    ]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert ["--require-hashes" in call for call in calls] == [True, False]
    python.write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / ".venv" / ".installed").unlink()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "run apt-get install python3-venv" in done.stderr


def clean(folder: Path, out: str) -> subprocess.CompletedProcess:
    """Run `make clean` in a folder that is no checkout."""
    command = ["make", "--file", ROOT / "Makefile", "clean", f"OUT={out}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_clean_removes_what_make_local_has_made(tmp_path):
    """`make clean` removes an OUT that `job local` made, whatever its name.

    Any other OUT is left, and then nothing else is removed either.
    """
    for name in (".venv", "my", "my thesis"):
        (tmp_path / name).mkdir()
    with folder.hold(tmp_path / "my thesis" / "results"):
        pass
    (tmp_path / "my thesis" / "chapter").touch()
    done = clean(tmp_path, "my thesis")
    assert done.returncode != 0
    assert "OUT = my thesis holds more than the output of `make local`" in done.stderr
    names = sorted(p.name for p in tmp_path.rglob("*") if p.name[0] in ".cmr")
    ours = [".job-local", ".lock", ".venv"]
    assert names == [*ours, "chapter", "my", "my thesis", "results"]
    assert clean(tmp_path, "my thesis/results").returncode == 0
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["chapter", "my", "my thesis"]
    (tmp_path / ".venv").mkdir()
    assert clean(tmp_path, "").returncode == 0 and not (tmp_path / ".venv").exists(), (
        "OUT= leaves it out"
    )


def test_out_is_this_users_alone(tmp_path):
    """OUT is made with mode 0700, and refused where others may write.

    Only an OUT that held nothing else is marked as ours.
    """
    for name, content in (
        ("new", None),
        ("empty", ()),
        ("old", (".lock", "report")),
        ("thesis", ("report",)),
        ("both", (".lock", "x")),
    ):
        if content is not None:
            (tmp_path / name).mkdir()
            for file in content:
                (tmp_path / name / file).touch()
        with folder.hold(tmp_path / name):
            pass
    assert {p.parent.name for p in tmp_path.rglob(folder.MARK)} == {"new", "empty", "old"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (tmp_path / "empty").chmod(0o777)
    with (
        pytest.raises(Invalid, match=r"OUT = .*empty: others may write there"),
        folder.hold(tmp_path / "empty"),
    ):
        pass
