"""PostgreSQL in another language, another encoding, and over TLS: Debian's server, run by `make test-system`."""

import subprocess

import pytest
from debian import Debian, certificate
from refusal import refused, refused_in

from job.coordination.database import Database


class German(Debian):
    """A server that speaks German, with the certificate of another."""

    language, host_of_certificate = "de", "somewhere.else"


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
    refused_in(
        url,
        "Division durch Null",
        password,
        "existiert nicht",
        "keine Berechtigung für Tabelle closed",
    )


def test_tls(german, tmp_path):
    """TLS is spoken; a certificate that is another's, of another name, or not there, is refused at once."""
    assert Database(f"{german.url}?sslmode=require", 0).rows(
        "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    ) == [{"ssl": True}]
    assert "does not match host name" in refused(
        f"{german.url}?sslmode=verify-full&sslrootcert={german.certificate}"
    )
    certificate("a", tmp_path / "key", tmp_path / "crt")
    assert "certificate verify failed" in refused(
        f"{german.url}?sslmode=verify-ca&sslrootcert={tmp_path}/crt"
    )
    assert 'root certificate file "/nowhere" does not exist' in refused(
        f"{german.url}?sslmode=verify-ca&sslrootcert=/nowhere"
    )
