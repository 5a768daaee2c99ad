"""Who receives the database's password, and how.

Nobody who merely listens at the database's address receives it in clear.
"""

import socket
import struct
import threading
from contextlib import closing, contextmanager

import pytest

from job.coordination import address as coordinates
from job.coordination.address import proof
from job.coordination.database import Database
from job.errors import Invalid, UsageError
from tests.support.servers import address

SCRAM = {"require_auth": "scram-sha-256"}
ASKS = {
    "in clear": struct.pack("!cii", b"R", 8, 3),
    "by MD5": struct.pack("!cii4s", b"R", 12, 5, b"salt"),
    "not at all": struct.pack("!cii", b"R", 8, 0),
}


@contextmanager
def stranger(host: str, ask: bytes):
    """Listen in a server's place, without TLS, and ask for the password in this way.

    Yields:
        The port, and what was received after the request.
    """
    # The client asks for TLS or GSSAPI first, until it sends the start of protocol 3.0.
    protocol = struct.pack("!i", 3 << 16)
    heard = []

    def serve():
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            with client:
                client.settimeout(5)
                while (start := client.recv(4096))[4:8] != protocol:
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
    """A stranger at the database's address who asks other than by SCRAM gets no password."""
    with (
        stranger(address(), ask) as (port, heard),
        pytest.raises(Invalid, match=r"was not sent the password: .*requirement.* failed"),
    ):
        Database(f"postgresql://job:secret@{address()}:{port}/job", 60).rows("select 1")
    assert heard == [b""]


def test_a_site_that_cannot(caplog):
    """With JOB_DATABASE_AUTH=any the password is sent, and the log says what that means."""
    with stranger(address(), ASKS["in clear"]) as (port, heard):
        database = Database(f"postgresql://job:secret@{address()}:{port}/job", 0, auth="any")
        with pytest.raises(Exception, match="closed the connection"):
            database.rows("select 1")
    assert heard == [b"p\0\0\0\x0bsecret\0"]
    words = "JOB_DATABASE_AUTH = any: whoever listens in place of the database postgresql://"
    assert words in caplog.text


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
    """A server elsewhere without a verified certificate must use SCRAM.

    The user may name another way.
    """
    for name in ("HOST", "HOSTADDR", "SERVICE", "SSLMODE", "SSLROOTCERT", "REQUIREAUTH"):
        monkeypatch.delenv(f"PG{name}", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert proof(given, "scram-sha-256", "there") == asked


def test_what_cannot_be_asked(monkeypatch):
    """An unknown way and a libpq that is too old get one sentence each."""
    unknown = "JOB_DATABASE_AUTH = 'md5': expected `scram-sha-256` or `any`"
    with pytest.raises(UsageError, match=unknown):
        proof({}, "md5", "there")
    # psycopg2 is linked with one libpq here; only its answer can be another.
    monkeypatch.setattr(coordinates.extensions, "libpq_version", lambda: 150004)
    old = "libpq 15 would send its password in the clear to whoever asks: install"
    with pytest.raises(Invalid, match=old):
        proof({"host": "node17"}, "scram-sha-256", "there")
