"""To whom the database's password is told, and how: not in clear to whoever listens at its address."""

import socket
import struct
import threading
from contextlib import closing, contextmanager

import pytest
from world import address

from job.coordination import address as coordinates
from job.coordination.address import proof
from job.coordination.database import Database
from job.errors import Invalid, UsageError

SCRAM = {"require_auth": "scram-sha-256"}
ASKS = {
    "in clear": struct.pack("!cii", b"R", 8, 3),
    "by MD5": struct.pack("!cii4s", b"R", 12, 5, b"salt"),
    "not at all": struct.pack("!cii", b"R", 8, 0),
}


@contextmanager
def stranger(host: str, ask: bytes):
    """Listen in a server's place, without TLS, and ask for the password in this way; yields the port and what was heard after that."""
    heard = []

    def serve():
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            with client:
                client.settimeout(5)
                while (start := client.recv(4096))[4:8] != struct.pack(
                    "!i", 3 << 16
                ):  # TLS, GSSAPI: no
                    if not start:
                        break
                    client.sendall(b"N")
                client.sendall(ask)
                heard.append(client.recv(4096))

    with closing(socket.create_server((host, 0))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_stranger_in_its_place(ask):
    """Who listens at the address of the database and wants the password otherwise than by SCRAM hears nothing of it."""
    with (
        stranger(address(), ask) as (port, heard),
        pytest.raises(Invalid, match="was not sent the password: .*requirement.* failed"),
    ):
        Database(f"postgresql://job:secret@{address()}:{port}/job", 60).rows("select 1")
    assert heard == [b""]


def test_a_site_that_cannot(caplog):
    """By JOB_DATABASE_AUTH=any it is told, and the log says what that means."""
    with stranger(address(), ASKS["in clear"]) as (port, heard):
        database = Database(f"postgresql://job:secret@{address()}:{port}/job", 0, auth="any")
        with pytest.raises(Exception, match="closed the connection"):
            database.rows("select 1")
    assert heard == [b"p\0\0\0\x0bsecret\0"]
    assert (
        "JOB_DATABASE_AUTH = any: whoever listens in place of the database postgresql://"
        in caplog.text
    )


@pytest.mark.parametrize(
    "given, environ, asked",
    [
        ({"host": "node17"}, {}, SCRAM),
        ({"host": "127.0.0.1,10.1.2.3"}, {}, SCRAM),
        ({"host": "localhost", "hostaddr": "10.1.2.3"}, {}, SCRAM),
        ({"host": "node17", "sslmode": "verify-ca"}, {}, SCRAM),
        ({"service": "site"}, {}, SCRAM),
        ({}, {"PGHOST": "node17"}, SCRAM),
        ({}, {}, {}),
        ({"host": "127.0.0.2,::1,localhost,/run/postgresql"}, {}, {}),
        ({"host": "node17", "hostaddr": "127.0.0.1"}, {}, {}),
        ({"host": "node17", "sslmode": "verify-full"}, {}, {}),
        ({"host": "node17", "sslrootcert": "system"}, {}, {}),
        ({"host": "node17"}, {"PGSSLMODE": "verify-full"}, {}),
        ({"host": "node17", "require_auth": "md5"}, {}, {}),
        ({"host": "node17"}, {"PGREQUIREAUTH": "md5"}, {}),
    ],
)
def test_whom_it_is_asked_of(monkeypatch, given, environ, asked):
    """SCRAM is asked of a server elsewhere whose certificate is not verified, unless the user names a way."""
    for name in (
        "PGHOST",
        "PGHOSTADDR",
        "PGSERVICE",
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "PGREQUIREAUTH",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proof(given, "scram-sha-256", "there") == asked


def test_what_cannot_be_asked(monkeypatch):
    """A word that is no way, and a libpq that is too old, are one sentence each."""
    with pytest.raises(
        UsageError, match="JOB_DATABASE_AUTH = 'md5': expected `scram-sha-256` or `any`"
    ):
        proof({}, "md5", "there")
    # No mock of ours: which libpq it is linked with is psycopg2's to say, and there is one here.
    monkeypatch.setattr(coordinates.extensions, "libpq_version", lambda: 150004)
    with pytest.raises(
        Invalid, match="libpq 15 would send its password in the clear to whoever asks: install"
    ):
        proof({"host": "node17"}, "scram-sha-256", "there")
