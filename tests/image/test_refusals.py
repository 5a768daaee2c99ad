"""What is wrong is one sentence and a code, from a container as from anywhere."""

import re
import subprocess

import pytest
from engine import CLIENT, IMAGE, timed


def test_help_and_version(docker, image):
    """Without an argument the image explains itself, and `--version` tells which one it is."""
    assert docker.run("run", "--rm", "--network=none", image).startswith(
        "Usage: job [OPTIONS] COMMAND"
    )
    with timed("job --version"):
        said = docker.run("run", "--rm", "--network=none", image, "--version")
    assert re.fullmatch(r"job, version \d+\.\d+\.\d+\n", said)


@pytest.mark.parametrize(
    "file, sentence",
    [
        ("/run/secrets/none", "JOB_DATABASE_URL_FILE = /run/secrets/none: "),
        ("wrong", "refused us: "),
    ],
)
def test_what_waiting_does_not_mend(small, file, sentence):
    """A secret's file that is not there and a wrong password: one sentence without the secret, and 78."""
    user, _, rest = small.database_url.partition("@")
    small.secret("wrong", f"{user}x@{rest}")
    done = small.job("status", check=78, JOB_DATABASE_URL_FILE=file)
    assert sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert user.rpartition(":")[2] not in done.stderr


def test_a_folder_that_is_closed(tiny):
    """A folder of weights that the container's user may not enter is one sentence and 78."""
    closed = tiny.folder.parent / "closed"
    closed.mkdir(0o700)
    (tiny.folder / "other.toml").write_text(
        (tiny.folder / "tiny.toml").read_text().replace('"tiny"', '"other"')
    )
    done = tiny.job("prepare", "other.toml", "--weights", closed, check=78)
    assert (
        f"--weights (or JOB_WEIGHTS) = {closed}: this user (12345) may not read it" in done.stderr
    )


def test_nothing_is_set(docker, image):
    """Without any setting the first one that lacks is named, with 2."""
    done = subprocess.run(
        [CLIENT, "run", "--rm", "--network=none", IMAGE, "status"],
        env=docker.environ,
        capture_output=True,
        text=True,
    )
    assert (
        done.returncode,
        "JOB_DATABASE_URL (or JOB_DATABASE_URL_FILE) is not set" in done.stderr,
    ) == (2, True), done.stderr
