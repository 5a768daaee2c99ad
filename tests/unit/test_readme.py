"""The README says what the code does."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from job.cli.cli import GROUPS, job
from job.errors import EXIT_CODES
from job.experiment.parameters import AUGMENT, MODELS, OWN
from job.experiment.specification import SECTIONS
from job.settings import SETTINGS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_setting_stands_there():
    """Each variable has a row with its meaning."""
    for setting in SETTINGS.values():
        assert re.search(rf"^\| `{setting.variable}`.*{re.escape(setting.help)}", README, re.M), (
            setting.variable
        )


def test_every_exit_code_stands_there():
    """The table of exit codes is the code's."""
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in README


def test_every_key_of_a_file_stands_there():
    """Each key of an experiment file and each hyperparameter is named."""
    keys = (
        {key for keys in SECTIONS.values() for key in keys}
        | {p for kinds in MODELS.values() for p in kinds}
        | set(AUGMENT)
        | set(OWN)
    )
    assert [k for k in sorted(keys) if not re.search(rf"\b{k}\b", README)] == []


def test_every_room_stands_there():
    """The file tree names each folder of the package."""
    rooms = {p.name for p in (ROOT / "job").iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert [r for r in sorted(rooms) if not re.search(rf"^job/{r}/ ", README, re.M)] == []


def test_commands_exist():
    """Every `job` command the README names exists, and every command's help has an example but for `--version`'s kind."""
    named = set(re.findall(r"(?:`|\$ |^)job ([a-z]+)", README, re.M))
    assert named <= set(job.commands)
    for name, command in job.commands.items():
        assert "Example: job " in (command.help or ""), name
        assert CliRunner().invoke(job, [name, "--help"]).exit_code == 0


def test_every_command_stands_in_the_help():
    """`job --help` lists each command once, under what one wants to do, with a sentence that is not cut off."""
    assert sorted(
        name for names in GROUPS.values() for name in names if name in job.commands
    ) == sorted(job.commands)
    text = CliRunner().invoke(job, ["--help"], terminal_width=110).output
    assert [
        name for name in job.commands if not re.search(rf"^  {name} +[A-Z].*\.$", text, re.M)
    ] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_locks_share_their_pins(lock):
    """What is in two locks is there in one version, and no lock names an index."""
    pins = {
        name: dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.M))
        for name in (lock, "requirements-dev.lock")
    }
    shared = pins[lock].keys() & pins["requirements-dev.lock"].keys()
    assert len(shared) > 30
    assert {n for n in shared if pins[lock][n] != pins["requirements-dev.lock"][n]} == set()
    assert "http" not in (ROOT / lock).read_text()


def test_the_version_is_one():
    """The package's version is the distribution's."""
    from job import __version__

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
