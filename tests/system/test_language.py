"""Debian's PostgreSQL in German, in Latin-1, and over TLS. Run by `make test-system`."""

import subprocess

import pytest

from job.coordination.database import Database
from tests.support.refusals import refused, refused_in
from tests.system.debian import Debian, certificate


class German(Debian):
    """A server with German messages and the certificate of another host."""

    language = "de"
    host_of_certificate = "somewhere.else"


class Latin(German):
    """The same server in another encoding, which libpq does not convert."""

    encoding = "LATIN1"
    locale = "de_DE.ISO-8859-1"

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
def test_permanent_errors(request, server, u):
    """A wrong password, role, database or grant is refused at once, in any language or encoding."""
    url = request.getfixturevalue(server).url
    password = f"Passwort-Authentifizierung f{u}r Benutzer .* fehlgeschlagen"
    refused_in(
        url,
        "Division durch Null",
        password,
        "existiert nicht",
        "keine Berechtigung für Tabelle closed",
    )


def test_tls(german, tmp_path):
    """TLS works, and a wrong, misnamed or missing certificate is refused at once."""
    query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    assert Database(f"{german.url}?sslmode=require", 0).rows(query) == [{"ssl": True}]
    misnamed = f"{german.url}?sslmode=verify-full&sslrootcert={german.certificate}"
    assert "does not match host name" in refused(misnamed)
    certificate("a", tmp_path / "key", tmp_path / "crt")
    wrong = f"{german.url}?sslmode=verify-ca&sslrootcert={tmp_path}/crt"
    assert "certificate verify failed" in refused(wrong)
    missing = f"{german.url}?sslmode=verify-ca&sslrootcert=/nowhere"
    assert 'root certificate file "/nowhere" does not exist' in refused(missing)
