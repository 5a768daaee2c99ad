"""`job serve`: a PostgreSQL where a site has none, and the file that Slurm's scripts read."""

import os
import signal
from contextlib import suppress

import pytest

from job.coordination.database import Database
from job.errors import Unreachable
from tests.support.servers import address
from tests.support.waiting import wait_for


def test_it_resumes_with_its_data(site):
    """A signal ends the server with 75; the next one has the same data and password.

    The URL has an address others can reach, asks for SCRAM, and is in a file of mode 0600.
    """
    folder = site.folder / "services"
    file = site.folder / "services" / "database-url"
    for row in range(2):
        where = ("--folder", folder, "--url-file", file, "--host", address())
        child = site.start("serve", *where, JOB_PROGRESS_FILE=site.folder / "progress")
        child.until("its URL is in")
        assert file.stat().st_mode & 0o777 == 0o600
        url = file.read_text().strip()
        assert f"@{address()}:" in url
        assert url.endswith("?require_auth=scram-sha-256")
        # A server on any address but loopback asks for SCRAM in any case.
        database = Database(url.partition("?")[0], 0)
        database.rows(
            "create schema if not exists job; create table if not exists job.kept (n int)"
        )
        database.rows("insert into kept values (%(n)s)", n=row)
        assert len(database.rows("select n from kept")) == row + 1
        assert database.url.split(":")[2] not in child.text(), "the password"
        child.send(signal.SIGTERM)
        child.wait(60, check=75)
        with pytest.raises(Unreachable):
            database.rows("select 1")
    assert (site.folder / "progress").exists()


def test_it_restarts_a_killed_server(site):
    """A killed server is restarted on its port.

    A second `job serve` on its folder exits with 75.
    """
    folder = site.folder / "services"
    file = site.folder / "database-url"
    child = site.start("serve", "--folder", folder, "--url-file", file)
    child.until("its URL is in")
    site.job("serve", "--folder", folder, "--url-file", file, check=75)
    database = Database(file.read_text().strip(), 60)

    def pid() -> int | None:
        with suppress(FileNotFoundError):  # between two of them there is none
            return int((folder / "postgres" / "pid").read_text().split()[0])

    killed = pid()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: pid() not in (None, killed))
    database.rows("select 1")
    child.send(signal.SIGINT)
    child.wait(60, check=75)


@pytest.mark.parametrize(
    "host, file, sentence",
    [
        ("192.0.2.1", "url", "must be an address of this machine"),
        ("127.0.0.1", "/proc/url", "--url-file /proc/url: cannot be written"),
    ],
)
def test_where_it_cannot_serve(site, host, file, sentence):
    """A foreign address, or a file that cannot be written, is one sentence."""
    where = ("--folder", site.folder / "services", "--url-file", file, "--host", host)
    done = site.job("serve", *where)
    assert done.returncode in (1, 78), done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_progress_is_a_checkpoint_or_a_decision(unprepared):
    """A decided task touches JOB_PROGRESS_FILE; one with nothing to do does not.

    A wrong path ends no task.
    """
    file = unprepared.folder / "progress"
    unprepared.job("prepare", "small.toml", check=0)
    unprepared.job("fold", "--index", 0, check=75, JOB_PROGRESS_FILE=str(file))
    assert not file.exists()
    unprepared.job("trial", "--index", 0, check=0, JOB_PROGRESS_FILE=str(file))
    assert file.exists()
    file.unlink()
    unprepared.job("trial", "--index", 0, check=0, JOB_PROGRESS_FILE=str(file))
    assert not file.exists()
    done = unprepared.job("fold", "--index", 0, check=0, JOB_PROGRESS_FILE="/no/such/file")
    assert "JOB_PROGRESS_FILE = /no/such/file: cannot be touched" in done.stderr
