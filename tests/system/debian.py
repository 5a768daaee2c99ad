"""Debian's PostgreSQL, which has translations and TLS."""

import os
import subprocess
from pathlib import Path

from job.local.postgres import NOBODY, Postgres, as_nobody

DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


class Debian(Postgres):
    """Debian's binaries with the embedded server's settings and a certificate."""

    encoding = "UTF8"
    locale = "C.UTF-8"
    language = "en"
    host_of_certificate = "localhost"

    @property
    def certificate(self) -> Path:
        """The certificate of the server."""
        return self.folder / "data" / "server.crt"

    def _run(self, program, *arguments, statements=""):
        if program == "initdb":
            kept = [a for a in arguments if a not in ("-E", "UTF8", "--no-locale")]
            arguments = [*kept, "-E", self.encoding, "--locale", self.locale]
        command = [*as_nobody(), DEBIAN / program, *arguments]
        subprocess.run(
            command,
            input=statements.encode(),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env=self._environment(),
            timeout=60,
        )

    def _prepare(self):
        super()._prepare()
        key = self.folder / "data" / "server.key"
        certificate(self.host_of_certificate, key, self.certificate)

    def _command(self):
        parts = super()._command()
        command = [DEBIAN / "postgres" if Path(part).name == "postgres" else part for part in parts]
        return [*command, "-c", "ssl=on"]

    def _environment(self, **more):
        words = {"LC_ALL": self.locale, "LANGUAGE": self.language}
        return super()._environment(**words | {"LOCPATH": str(self.folder.parent)} | more)


def certificate(name: str, key: Path, crt: Path) -> None:
    """Write a key that only the servers' user can read, and a self-signed certificate."""
    subject = ["-subj", f"/CN={name}", "-days", "2", "-keyout", key, "-out", crt]
    command = ["openssl", "req", "-new", "-x509", "-nodes", *subject]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, NOBODY, NOBODY)
