"""Every PostgreSQL failure, on real servers: what is retried or refused, and in which words."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from functools import partial

import psycopg2
import pytest

from job.coordination.connection import Limits
from job.coordination.database import Database, lock_work
from job.errors import Invalid, JobError, Unreachable
from job.experiment.specification import parse
from job.local.embedded import Postgres
from job.work.prepare import register
from tests.support.refusals import refused, refused_in, role, sockets
from tests.support.servers import stopped
from tests.support.staged import STAGED
from tests.support.wire import Wire, through

QUICK = Limits(connect_s=1, answer_s=2, idle_s=2, lock_s=1)
SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 3},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2}},
}


@pytest.fixture
def own(tmp_path):
    """A server of this test's own, which the test may stop."""
    with Postgres(tmp_path / "own") as server:
        yield server


class Ledger:
    """A counter that each key increments once: work as `Database.run` requires it."""

    def __init__(self, url: str, **settings):
        self.database = Database(url, **settings)
        self.tries = 0

    def open(self) -> "Ledger":
        self.database.rows("create schema job; create table job.ledger (key int primary key)")
        self.database.rows("create table counter (n int)")
        self.database.rows("insert into counter values (0)")
        return self

    def raise_by(self, key: int, between=lambda: None) -> None:
        def work(cursor):
            self.tries += 1
            cursor.execute("insert into ledger values (%s) on conflict do nothing", (key,))
            if cursor.rowcount:
                between()
                cursor.execute("update counter set n = n + 1")

        self.database.transaction(work)

    def count(self) -> int:
        return self.database.rows("select n from counter")[0]["n"]


def in_thread(call) -> Future:
    """Call a function in a thread that does not keep the test run from ending."""
    future = Future()

    def target():
        try:
            future.set_result(call())
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=target, daemon=True).start()
    return future


def set_then(event: threading.Event, call):
    """Return a function that sets an event, and then calls another function with its arguments."""

    def run(*arguments):
        event.set()
        return call(*arguments)

    return run


def raise_error(state: str) -> str:
    """Return a statement that fails with an SQLSTATE."""
    return f"do $$ begin raise exception 'in trouble' using errcode = '{state}'; end $$"


def test_a_restart_in_the_middle(own):
    """`run` survives a server restart in the middle of a transaction; the work is done once."""
    ledger = Ledger(own.url, outage_s=60).open()
    halfway = threading.Event()
    away = threading.Event()
    between = set_then(halfway, lambda: away.wait(30))
    worker = in_thread(lambda: ledger.raise_by(1, between))
    assert halfway.wait(10)
    own.stop()
    away.set()
    time.sleep(3)
    own.start()
    worker.result(60)
    assert (ledger.count(), ledger.tries) == (1, 2)


def test_connections_dropped_one_by_one(database_url):
    """Under repeated pg_terminate_backend, 100 or more idempotent increments each count once."""
    ledger = Ledger(database_url, outage_s=60, sleep=lambda s: time.sleep(s / 20)).open()

    def work() -> int:
        key = 0
        # At least ten increments are hit in the middle.
        while key < 100 or ledger.tries < key + 10:
            ledger.raise_by(key)
            key += 1
        return key

    worker = in_thread(work)
    terminate = """
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend'
          and pid <> pg_backend_pid()"""
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        other.autocommit = True
        while not worker.done():
            cursor.execute(terminate)
            time.sleep(0.03)
    assert ledger.count() == worker.result() >= 100


def test_a_lost_answer_to_the_commit(database_url, postgres):
    """A commit whose answer is lost is retried, and counts once."""
    commits = []

    def obey(data):
        if b"commit" not in data:
            return "pass"
        commits.append(data)
        return "cut" if len(commits) == 1 else "pass"

    direct = Ledger(database_url).open()
    with closing(Wire(postgres.ports[0], obey)) as wire:
        ledger = Ledger(through(database_url, wire), outage_s=30)
        ledger.raise_by(1)
    assert (direct.count(), ledger.tries, len(commits)) == (1, 2, 2)


def test_a_network_that_swallows(database_url, postgres):
    """A server that does not answer is given up with its connection, then asked on a new one."""
    swallowed = []

    def obey(data):
        if b"41 + 1" not in data or len(swallowed) == 2:
            return "pass"
        swallowed.append(data)
        return "swallow"

    def work(cursor):
        try:
            cursor.execute("select 41 + 1 as n")
        except psycopg2.OperationalError:
            assert cursor.connection.closed
            raise
        return cursor.fetchone()["n"]

    with closing(Wire(postgres.ports[0], obey)) as wire:
        database = Database(through(database_url, wire), 30, limits=Limits(answer_s=2))
        with pytest.raises(Unreachable, match="cannot be reached: no answer for 2 s"):
            database.transaction(work, patience_s=0)
        assert database.transaction(work) == 42


def test_a_stopped_server(own):
    """A hanging server is given up, in a transaction and at connect; the work resumes with it."""
    ledger = Ledger(own.url, outage_s=60, limits=QUICK).open()
    halfway = threading.Event()
    halted = threading.Event()
    given_up = threading.Event()
    ledger.database = Database(own.url, 60, sleep=set_then(given_up, time.sleep), limits=QUICK)
    between = set_then(halfway, lambda: halted.wait(30))
    worker = in_thread(lambda: ledger.raise_by(1, between))
    assert halfway.wait(10)
    with stopped(own):
        started = time.monotonic()
        with pytest.raises(Unreachable, match="cannot be reached: no answer for 1 s"):
            Database(own.url, 0, limits=QUICK).rows("select 1")
        halted.set()
        assert given_up.wait(20)
        assert time.monotonic() - started < 20
        assert not worker.done()
    worker.result(60)
    assert ledger.count() == 1
    assert ledger.tries > 1


def test_several_hosts(database_url, postgres):
    """Of several hosts, the first that answers is used, even after one that is switched off.

    Timeouts in the URL take precedence over ours.
    """
    head, _, tail = database_url.rpartition("@")
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        dead.listen(0)
        port = dead.getsockname()[1]
        # The queue is full, so the next SYN is dropped, as by a machine without power.
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        several = f"{head}@127.0.0.1:{port},{tail}"
        database = Database(f"{several}?tcp_user_timeout=1000", 0, limits=Limits(connect_s=5))
        assert database.rows("select 1 as n") == [{"n": 1}]
        with pytest.raises(Unreachable, match="no answer for 1 s"):
            Database(f"{several}?connect_timeout=1", 0).rows("select 1")
        for one in waiting:
            one.close()


def test_too_many_clients(postgres, database_url):
    """A full server is retried until there is room; without patience, one sentence says so."""
    with role(database_url, "connection limit 1") as url:
        with closing(psycopg2.connect(url)):
            expected = 'cannot serve us now: too many connections for role "r'
            with pytest.raises(Unreachable, match=expected):
                Database(url, 0).rows("select 1")
            waits = threading.Event()
            patient = Database(url, 30, sleep=set_then(waits, time.sleep))
            worker = in_thread(lambda: patient.rows("select 1 as n"))
            assert waits.wait(10)
        assert worker.result(60) == [{"n": 1}]


@pytest.mark.parametrize(
    "state", ["25P03", "40001", "40P01", "53100", "53300", "55P03", "57P01", "57014", "58030"]
)
def test_what_waiting_can_mend(database_url, state):
    """A statement that fails for a conflict, or a lack of space or time, is retried."""
    failures = []

    def work(cursor):
        if len(failures) < 2:
            failures.append(state)
            cursor.execute(raise_error(state))
        return "done"

    with pytest.raises(Unreachable, match="in trouble"):
        Database(database_url, 0).transaction(work)
    assert Database(database_url, 30).transaction(work) == "done"
    assert len(failures) == 2


RETRIED = (
    "08000 08003 08006 25P03 25P04 40001 40P01 53000 53100 53200 53300 55P03 "
    "57014 57P01 57P02 57P03 57P04 58030 72000 F0000 XX000"
)
REFUSED = "25006 28000 28P01 3D000 3F000 42501 42703 42883 XX001 XX002"
ERRORS = "0A000 22012 22P02 23503 23505 P0001"


@pytest.mark.parametrize(
    "kind, states", [(Unreachable, RETRIED), (Invalid, REFUSED), (JobError, ERRORS)]
)
def test_every_kind_of_trouble_has_its_end(database_url, kind, states):
    """Temporary trouble exits with 69, permanent trouble with 78, the task's own with 1."""
    database = Database(database_url, 0)
    kinds = {}
    with database.burst():
        for state in states.split():
            statement = raise_error(state)
            with pytest.raises(JobError, match="the database postgresql://") as caught:
                database.transaction(lambda cursor: cursor.execute(statement))
            kinds[state] = type(caught.value)
    assert kinds == dict.fromkeys(states.split(), kind)


def test_a_primary_that_became_a_standby(database_url):
    """A read-only database is refused, and the error says where to point instead."""
    read_only = f"{database_url}?options=-cdefault_transaction_read_only%3Don"
    assert "read-only" in refused(read_only, "create table t ()")


def test_what_waiting_cannot_mend(database_url):
    """A wrong password and a missing role, database or grant are refused at once."""
    refused_in(
        database_url,
        "division by zero",
        "password authentication failed for",
        "does not exist",
        "permission denied for table closed",
    )


def test_what_a_client_cannot_mend(postgres, monkeypatch, tmp_path):
    """A missing password, missing TLS and impossible options are refused at once."""
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    password = postgres.url.partition("job:")[2].partition("@")[0]
    assert "no password supplied" in refused(postgres.url.replace(f":{password}", ""))
    assert "SSL was required" in refused(f"{postgres.url}?sslmode=require")
    assert "invalid sslmode value" in refused(f"{postgres.url}?sslmode=of-course")
    assert "invalid port number" in refused("postgresql://job:secret@127.0.0.1:99999/job")
    assert 'definition of service "nix" not found' in refused(f"{postgres.url}?service=nix")


def test_a_variable_of_libpq_is_named(database_url, monkeypatch):
    """A refusal names the libpq variables of the shell, but never shows a password."""
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("PGDATA", "/var/lib/postgresql")
    hint = (
        "; check JOB_DATABASE_URL, and PGPASSWORD, PGSSLMODE = require in the environment, "
        "which libpq also reads"
    )
    assert refused(database_url).endswith(hint)
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    hint = "; PGTARGETSESSIONATTRS = standby in the environment, which libpq also reads"
    with pytest.raises(Unreachable, match=hint):
        Database(database_url, 0).rows("select 1")


@pytest.mark.parametrize("by", ["URL", "shell"])
def test_a_schema_that_does_not_exist(database_url, monkeypatch, by):
    """A search path without an existing schema is refused as such, by `prepare` and by workers.

    Waiting creates no schema.
    """
    url = database_url if by == "shell" else f"{database_url}?options=-csearch_path%3Dteam"
    if by == "shell":
        monkeypatch.setenv("PGOPTIONS", "-csearch_path=team")
    expected = "its search_path = team names no schema that exists: create the schema, or correct"
    with pytest.raises(Invalid, match=expected):
        Database(url, 0).create_schema()
    assert "search_path = team names no schema" in refused(url, "select version from job_schema")
    assert "names no schema that exists" in refused(url, "create table t ()")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://job:se@secret@host/job",
        "postgresql://job:se/secret@host/job",
        "postgresql://job:se?secret@host/job",
        "postgresql://job:se%secret@host/job",
        "postgresql://job:secret@host/job?password=%secret",
    ],
)
def test_a_password_that_ends_early(url):
    """A password with unescaped URL characters is refused with the fix, and never shown."""
    assert "write @ / ? # % in user, password and parameters as %40" in refused(url)


def test_an_unknown_parameter():
    """A parameter that libpq does not know is named before any attempt to connect."""
    expected = 'postgresql://host/job: invalid dsn: invalid URI query parameter: "colour"'
    assert expected in refused("postgresql://u:secret@host/job?colour=1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "no-such-host.invalid", "invalid-certificate.invalid"]
)
def test_a_server_that_is_not_there(host):
    """A refused connection and an unknown host name are outages: both may pass."""
    slept = []
    with pytest.raises(Unreachable, match="cannot be reached"):
        Database(f"postgresql://job:secret@{host}/job", 0.5, sleep=slept.append).rows("select 1")
    assert slept or "invalid" in host  # a resolver may take longer than our patience


PAUSED = """
import os, signal, sys
from job.coordination.database import Database, Limits
tries = []
def work(cursor):
    cursor.execute("select n from counter for update")
    n = cursor.fetchone()["n"]
    tries.append(n)
    if len(tries) == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    cursor.execute("update counter set n = %s", (n + 10,))
Database(sys.argv[1], 30, limits=Limits(idle_s=2)).transaction(work)
print(tries)
"""


def test_a_worker_paused_in_the_middle(database_url):
    """The server frees a row locked by a paused process; the process starts over when resumed."""
    ledger = Ledger(database_url, outage_s=30, limits=QUICK).open()
    command = [sys.executable, "-c", PAUSED, database_url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen(command, text=True, **pipes)

    def lock(cursor):
        cursor.execute("select n from counter for update")

    try:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        expected = "cannot serve us now: canceling statement due to lock timeout"
        with pytest.raises(Unreachable, match=expected):
            ledger.database.transaction(lock, patience_s=0)
        ledger.raise_by(1)
    finally:
        os.kill(child.pid, signal.SIGCONT)
        out, err = child.communicate(timeout=60)
    assert (out.strip(), child.returncode) == ("[0, 1]", 0), err
    assert "idle-in-transaction timeout" in err
    assert ledger.count() == 11


def test_preparers_of_an_empty_database_are_more_than_it_has_room_for(database_url):
    """Six preparers of an empty database, three at a time, succeed and make one of everything."""
    database = Database(database_url)
    create = f"create on database {database_url.rpartition('/')[2]}"

    def prepare(database: Database) -> None:
        database.create_schema()
        register(database, parse(SPEC), STAGED)

    with role(database_url, "connection limit 3") as url:
        name = url[len("postgresql://") :].partition(":")[0]
        database.rows(f"grant {create} to {name}")
        crowd = [Database(url, 120) for _ in range(6)]
        workers = [in_thread(partial(prepare, member)) for member in crowd]
        for worker in workers:
            worker.result(120)
        assert crowd[0].rows("select count(*)::int as n from task") == [{"n": 3 + 2 + 1}]
        assert crowd[0].rows("select count(*)::int as n from trials") == [{"n": 3}]
        crowd[0].rows("drop owned by current_user")
        database.rows(f"revoke {create} from {name}")


def test_a_burst_shares_one_connection(database_url):
    """Statements and transactions of a burst share one connection, which only this thread uses.

    A broken connection is replaced, and none is left open.
    """
    database = Database(database_url, 30)
    backend = "select pg_backend_pid() as pid"
    before = sockets()

    def ask(cursor) -> list[dict]:
        cursor.execute(backend)
        return cursor.fetchall()

    with database.burst():
        first = database.rows(backend)
        with database.burst():
            assert database.transaction(ask) == first
        assert database.rows(backend) == first
        assert in_thread(lambda: database.rows(backend)).result(10) != first
        with pytest.raises(JobError, match="division by zero"):
            database.rows("select 1/0")
        second = database.rows(backend)
        assert second != first
        Database(database_url).rows("select pg_terminate_backend(%(pid)s)", **second[0])
        third = database.rows(backend)
        assert third not in (first, second)
    assert sockets() == before
    assert database.rows(backend) != third


def test_preparers_wait_for_a_slow_one(database_url):
    """Preparers succeed after another one that holds the locks longer than a statement may wait."""
    limits = Limits(lock_s=1, answer_s=2)
    database = Database(database_url, limits=limits)
    database.create_schema()
    locked = threading.Event()

    def slow(cursor):
        for name in ("schema", "prepare"):
            lock_work(cursor, name)
        locked.set()
        for _ in range(10):
            cursor.execute("select pg_sleep(0.5)")

    holder = in_thread(lambda: database.transaction(slow))
    assert locked.wait(10)
    started = time.monotonic()
    waiters = [
        in_thread(database.create_schema),
        *(in_thread(lambda: register(database, parse(SPEC), STAGED)) for _ in range(2)),
    ]
    holder.result(60)
    for waiter in waiters:
        waiter.result(120)
    assert time.monotonic() - started > 2 * limits.answer_s
    assert database.rows("select count(*)::int as n from task") == [{"n": 3 + 2 + 1}]
