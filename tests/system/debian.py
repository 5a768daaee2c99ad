"""Debian's PostgreSQL, which comes with translations and TLS."""

import os
import subprocess
from pathlib import Path

from job.local.postgres import NOBODY, Postgres, as_nobody

DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


class Debian(Postgres):
    """The embedded server's settings on Debian's binaries, with a certificate of `host`."""

    encoding, locale, language, host_of_certificate = "UTF8", "C.UTF-8", "en", "localhost"

    @property
    def certificate(self) -> Path:
        return self.folder / "data" / "server.crt"

    def _run(self, program, *arguments, statements=""):
        if program == "initdb":
            arguments = [
                *(a for a in arguments if a not in ("-E", "UTF8", "--no-locale")),
                "-E",
                self.encoding,
                "--locale",
                self.locale,
            ]
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
        return [
            *(
                DEBIAN / "postgres" if Path(part).name == "postgres" else part
                for part in super()._command()
            ),
            "-c",
            "ssl=on",
        ]

    def _environment(self, **more):
        return super()._environment(
            **{
                "LC_ALL": self.locale,
                "LANGUAGE": self.language,
                "LOCPATH": str(self.folder.parent),
                **more,
            }
        )


def certificate(name: str, key: Path, crt: Path) -> None:
    """Make a key, readable by the servers' user alone, and a certificate signed by itself."""
    subject = ["-subj", f"/CN={name}", "-days", "2", "-keyout", key, "-out", crt]
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-nodes", *subject], check=True, capture_output=True
    )
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, NOBODY, NOBODY)
