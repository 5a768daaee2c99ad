"""Debian's pgbouncer in transaction mode before Debian's PostgreSQL.

It has TLS both ways, a password, three connections, and only the rights that
docs/guides/services.md requires.
"""

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from bench import workers
from job.coordination.database import Database
from job.local.postgres import NOBODY, as_nobody
from tests.support.site import Site
from tests.support.waiting import wait_for
from tests.system.debian import Debian, certificate

CONNECTIONS = 3
CROWD = 64
FILE = """
name = "small"
threads = 1
[data]
source = "digits"
[search]
trials = 2
pruner = "median"
[folds]
count = 2
[models.cnn]
epochs = 2
width = 2
blocks = 1
batch_size = 256
learning_rate = { low = 1e-3, high = 1e-2, log = true }
"""
INI = """
[databases]
* = host=localhost port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
client_tls_sslmode = require
client_tls_key_file = {folder}/key
client_tls_cert_file = {folder}/crt
server_tls_sslmode = verify-full
server_tls_ca_file = {authority}
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with Debian(tmp_path_factory.mktemp("debian")) as server:
        yield server


@pytest.fixture(scope="module")
def pooled(postgres, tmp_path_factory):
    """The URL, through the pooler, of a role with the rights of docs/guides/services.md."""
    owner = Database(postgres.url)
    owner.rows("create role worker login password 'secret'")
    owner.rows("grant connect on database job to worker")
    owner.rows("grant create on database job to worker")
    with bouncer(postgres, tmp_path_factory.mktemp("bouncer")) as (port, authority):
        url = f"postgresql://worker:secret@localhost:{port}/job"
        yield f"{url}?sslmode=verify-full&sslrootcert={authority}"


@contextmanager
def bouncer(postgres, folder):
    """Run a pgbouncer; yield its port and its certificate."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    certificate("localhost", folder / "key", folder / "crt")
    (folder / "users").write_text('"worker" "secret"\n')
    ini = INI.format(
        server=postgres.ports[0],
        port=port,
        folder=folder,
        connections=CONNECTIONS,
        authority=folder / "authority",
    )
    (folder / "authority").write_bytes(postgres.certificate.read_bytes())
    (folder / "ini").write_text(ini)
    for path in (folder, *folder.iterdir()):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    with open(folder / "log", "wb") as log:
        command = [*as_nobody(), "/usr/sbin/pgbouncer", folder / "ini"]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

    def decided() -> bool:
        return process.poll() is not None or b"process up" in (folder / "log").read_bytes()

    try:
        wait_for(decided)
        assert process.poll() is None, (folder / "log").read_text()
        yield port, folder / "crt"
    finally:
        process.kill()
        process.wait()


def test_no_more_rights(pooled):
    """The role is no superuser and cannot create databases or roles, and the pooler uses TLS."""
    rights = (
        "select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls as more"
        " from pg_roles where rolname = current_user"
    )
    assert Database(pooled, 5).rows(rights) == [{"more": False}]
    tls = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
    assert Database(pooled, 5).rows(tls) == [{"ssl": True}]


def test_an_experiment(pooled, tmp_path):
    """All stages of an experiment run as real processes, and `job verify` finds no fault."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "SLURM_", "AWS_"))}
    store_url = f"file://{tmp_path}/store"
    environ = clean | {
        "JOB_DATABASE_URL": pooled,
        "JOB_STORE_URL": store_url,
        "JOB_CACHE_DIR": f"{tmp_path}/cache",
        "JOB_EXPERIMENT": "small",
        "JOB_WAIT_S": "30",
    }
    site = Site(pooled, store_url, environ, tmp_path)
    (tmp_path / "small.toml").write_text(FILE)
    prepare = ("prepare", "small.toml")
    trials = [("trial", "--index", 0), ("trial", "--index", 1)]
    folds = ("fold", "--index", 0, "--count", 2)
    final = ("final", "--index", 0)
    for commands in ([prepare, prepare], trials, [folds, final]):
        for child in [site.start(*command) for command in commands]:
            child.wait(120, check=0)
    site.job("status", check=0)
    site.job("report", "--out", "report", check=0)
    site.job("verify", "--deep", check=0)
    site.job("drop", "small", check=0)


def test_a_crowd(pooled):
    """No worker fails when there are many more workers than connections."""
    spec = workers.specification("crowd", CROWD)
    workers.create(pooled, spec)

    def work(index: int) -> None:
        side = workers.Ours(pooled, spec)
        trial = side.take(index)
        for epoch in range(3):
            side.report(trial, epoch, 0.5)
        side.finish(trial, 0.5)

    with ThreadPoolExecutor(CROWD) as pool:
        list(pool.map(work, range(CROWD)))
    states = "select state, count(*)::int as n from task where stage = 'trial' group by state"
    assert Database(pooled, 5).rows(states) == [{"state": "complete", "n": CROWD}]
