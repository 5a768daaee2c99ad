"""PostgreSQL in another language, another encoding, and over TLS: Debian's server, run by `make test-system`."""

import os
import subprocess
from pathlib import Path

import pytest
from refusal import refused, refused_in

from job.database import Database
from job.embedded import NOBODY, Postgres, _as_nobody

DEBIAN = max(Path("/usr/lib/postgresql").glob("*/bin"))


class German(Postgres):
    """Debian's PostgreSQL, which comes with translations and TLS, speaking German."""

    encoding, locale = "UTF8", "C.UTF-8"

    def _run(self, program, *arguments, statements=""):
        if program == "initdb":
            arguments = [*(a for a in arguments if a not in ("-E", "UTF8", "--no-locale")), "-E", self.encoding, "--locale", self.locale]
        command = [*_as_nobody(), DEBIAN / program, *arguments]
        subprocess.run(
            command, input=statements.encode(), check=True, stdout=subprocess.DEVNULL, cwd=self.folder, env=self._environment(), timeout=60
        )

    def _prepare(self):
        super()._prepare()
        crt, key = (self.folder / "data" / name for name in ("server.crt", "server.key"))
        _certificate("somewhere.else", key, crt)
        key.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(key, NOBODY, NOBODY)

    def _command(self):
        return [*(DEBIAN / "postgres" if Path(part).name == "postgres" else part for part in super()._command()), "-c", "ssl=on"]

    def _environment(self, **more):
        return super()._environment(**{"LC_ALL": self.locale, "LANGUAGE": "de", "LOCPATH": str(self.folder.parent), **more})


class Latin(German):
    """The same in another encoding: libpq hands its words on as they are."""

    encoding, locale = "LATIN1", "de_DE.ISO-8859-1"

    def _prepare(self):
        compiled = self.folder.parent / self.locale
        subprocess.run(["localedef", "-i", "de_DE", "-f", "ISO-8859-1", compiled], check=True)
        super()._prepare()


@pytest.fixture(scope="module")
def german(tmp_path_factory):
    with German(tmp_path_factory.mktemp("german")) as server:
        yield server


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    with Latin(tmp_path_factory.mktemp("latin")) as server:
        yield server


@pytest.mark.parametrize("server, u", [("german", "ü"), ("latin", "\ufffd")])
def test_what_waiting_cannot_mend(request, server, u):
    """Wrong password, missing role, database or grant: refused at once, by their SQLSTATE, whatever the language and encoding."""
    url = request.getfixturevalue(server).url
    password = f"Passwort-Authentifizierung f{u}r Benutzer .* fehlgeschlagen"
    refused_in(url, "Division durch Null", password, "existiert nicht", "keine Berechtigung für Tabelle closed")


def test_tls(german, tmp_path):
    """TLS is spoken; a certificate that is another's, of another name, or not there, is refused at once."""
    assert Database(f"{german.url}?sslmode=require", 0).rows("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [{"ssl": True}]
    crt = german.folder / "data" / "server.crt"
    assert "does not match host name" in refused(f"{german.url}?sslmode=verify-full&sslrootcert={crt}")
    _certificate("a", tmp_path / "key", tmp_path / "crt")
    assert "certificate verify failed" in refused(f"{german.url}?sslmode=verify-ca&sslrootcert={tmp_path}/crt")
    assert 'root certificate file "/nowhere" does not exist' in refused(f"{german.url}?sslmode=verify-ca&sslrootcert=/nowhere")


def _certificate(name: str, key: Path, crt: Path) -> None:
    subject = ["-subj", f"/CN={name}", "-days", "2", "-keyout", key, "-out", crt]
    subprocess.run(["openssl", "req", "-new", "-x509", "-nodes", *subject], check=True, capture_output=True)
