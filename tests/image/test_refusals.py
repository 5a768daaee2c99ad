"""A container reports an error as one sentence and an exit code."""

import re
import subprocess

import pytest

from tests.image.engine import CLIENT, IMAGE, timed


def test_help_and_version(docker, image):
    """Without an argument the image prints its help, and `--version` prints its version."""
    assert docker.run("run", "--rm", "--network=none", image).startswith(
        "Usage: job [OPTIONS] COMMAND"
    )
    with timed("job --version"):
        output = docker.run("run", "--rm", "--network=none", image, "--version")
    assert re.fullmatch(r"job, version \d+\.\d+\.\d+\n", output)


@pytest.mark.parametrize(
    "file, sentence",
    [
        ("/run/secrets/none", "JOB_DATABASE_URL_FILE = /run/secrets/none: "),
        ("wrong", "refused us: "),
    ],
)
def test_permanent_errors(unprepared, file, sentence):
    """A missing secret file or a wrong password is one sentence without the secret, and 78."""
    user, _, rest = unprepared.database_url.partition("@")
    unprepared.secret("wrong", f"{user}x@{rest}")
    done = unprepared.job("status", check=78, JOB_DATABASE_URL_FILE=file)
    assert sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert user.rpartition(":")[2] not in done.stderr


def test_an_unreadable_folder(two_models):
    """A folder of weights that the container's user cannot enter is one sentence and 78."""
    closed = two_models.folder.parent / "closed"
    closed.mkdir(0o700)
    text = (two_models.folder / "tiny.toml").read_text()
    (two_models.folder / "other.toml").write_text(text.replace('"tiny"', '"other"'))
    done = two_models.job("prepare", "other.toml", "--weights", closed, check=78)
    assert (
        f"--weights (or JOB_WEIGHTS) = {closed}: this user (12345) may not read it" in done.stderr
    )


def test_no_setting(docker, image):
    """Without settings the first missing one is named, and the exit code is 2."""
    done = subprocess.run(
        [CLIENT, "run", "--rm", "--network=none", IMAGE, "status"],
        env=docker.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "JOB_DATABASE_URL (or JOB_DATABASE_URL_FILE) is not set" in done.stderr
