"""Every kind of trouble of PostgreSQL, on real servers: what is retried, what is refused, and in which words."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import closing

import psycopg2
import pytest
from refusal import refused, refused_in, role, sockets
from wire import Wire, through
from world import stopped

from job.coordination.connection import Limits
from job.coordination.database import Database, alone
from job.errors import Invalid, JobError, Unreachable
from job.experiment.specification import parse
from job.local.embedded import Postgres
from job.work.prepare import _register

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
    """A server of the test's own, to be stopped."""
    with Postgres(tmp_path / "own") as server:
        yield server


class Ledger:
    """A counter that every key raises once: work as `Database.run` wants it."""

    def __init__(self, url: str, **settings):
        self.database, self.tries = Database(url, **settings), 0

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

        self.database.run(work)

    def count(self) -> int:
        return self.database.rows("select n from counter")[0]["n"]


def in_thread(call) -> Future:
    """Call in a thread that does not keep the tests from ending."""
    future = Future()

    def target():
        try:
            future.set_result(call())
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=target, daemon=True).start()
    return future


def test_a_restart_in_the_middle(own):
    """A server that is away for 3 s in the middle of a transaction: `run` comes through, and the work is done once."""
    ledger = Ledger(own.url, outage_s=60).open()
    halfway, away = threading.Event(), threading.Event()
    worker = in_thread(lambda: ledger.raise_by(1, lambda: (halfway.set(), away.wait(30))))
    assert halfway.wait(10)
    own.stop()
    away.set()
    time.sleep(3)
    own.start()
    worker.result(60)
    assert (ledger.count(), ledger.tries) == (1, 2)


def test_connections_dropped_one_by_one(database_url):
    """At least 100 increments, each idempotent by its key, under a rain of pg_terminate_backend: all there, each once."""
    ledger = Ledger(database_url, outage_s=60, sleep=lambda s: time.sleep(s / 20)).open()

    def work() -> int:
        key = 0
        while key < 100 or ledger.tries < key + 10:  # ten were hit in the middle
            ledger.raise_by(key)
            key += 1
        return key

    worker = in_thread(work)
    others = "from pg_stat_activity where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        other.autocommit = True
        while not worker.done():
            cursor.execute(f"select pg_terminate_backend(pid) {others}")
            time.sleep(0.03)
    assert ledger.count() == worker.result() >= 100


def test_a_lost_answer_to_the_commit(database_url, postgres):
    """A commit that was done and not heard of is tried again, and counts once."""
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
    """A server of which no answer comes is given up with its connection, and asked again on a new one."""
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
            database.run(work, patience_s=0)
        assert database.run(work) == 42


def test_a_stopped_server(own):
    """A server that hangs is given up in the middle of a transaction and at the door; when it goes on, so do we."""
    ledger = Ledger(own.url, outage_s=60, limits=QUICK).open()
    halfway, halted, given_up = threading.Event(), threading.Event(), threading.Event()
    ledger.database = Database(
        own.url, 60, sleep=lambda s: (given_up.set(), time.sleep(s)), limits=QUICK
    )
    worker = in_thread(lambda: ledger.raise_by(1, lambda: (halfway.set(), halted.wait(30))))
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
    """Of several hosts the first that answers is taken, though one before it is switched off; times in the URL go before ours."""
    head, _, tail = database_url.rpartition("@")
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        dead.listen(0)
        port = dead.getsockname()[1]
        waiting = [
            socket.socket() for _ in range(3)
        ]  # the queue is full: the next SYN is dropped, as by a machine without power
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
    """A server that is full is asked again until there is room; without patience one sentence says so."""
    with role(database_url, "connection limit 1") as url:
        with closing(psycopg2.connect(url)):
            with pytest.raises(
                Unreachable, match='cannot serve us now: too many connections for role "r'
            ):
                Database(url, 0).rows("select 1")
            waits = threading.Event()
            worker = in_thread(
                lambda: Database(url, 30, sleep=lambda s: (waits.set(), time.sleep(s))).rows(
                    "select 1 as n"
                )
            )
            assert waits.wait(10)
        assert worker.result(60) == [{"n": 1}]


@pytest.mark.parametrize(
    "state", ["25P03", "40001", "40P01", "53100", "53300", "55P03", "57P01", "57014", "58030"]
)
def test_what_waiting_can_mend(database_url, state):
    """A statement that fails for want of peace, room or time is tried again until it succeeds."""
    failures = []

    def work(cursor):
        if len(failures) < 2:
            failures.append(state)
            cursor.execute(
                f"do $$ begin raise exception 'in trouble' using errcode = '{state}'; end $$"
            )
        return "done"

    with pytest.raises(Unreachable, match="in trouble"):
        Database(database_url, 0).run(work)
    assert Database(database_url, 30).run(work) == "done"
    assert len(failures) == 2


@pytest.mark.parametrize(
    "kind, states",
    [
        (
            Unreachable,
            "08000 08003 08006 25P03 25P04 40001 40P01 53000 53100 53200 53300 55P03 57014 57P01 57P02 57P03 57P04 58030 72000 F0000 XX000",
        ),
        (Invalid, "25006 28000 28P01 3D000 3F000 42501 42703 42883 XX001 XX002"),
        (JobError, "0A000 22012 22P02 23503 23505 P0001"),
    ],
)
def test_every_kind_of_trouble_has_its_end(database_url, kind, states):
    """What waiting can mend ends with 69, what no node can mend with 78, and only what may be the task's own with 1."""
    database, found = Database(database_url, 0), {}
    with database.kept():
        for state in states.split():
            with pytest.raises(JobError, match="the database postgresql://") as caught:
                database.run(
                    lambda cursor, s=state: cursor.execute(
                        f"do $$ begin raise 'in trouble' using errcode = '{s}'; end $$"
                    )
                )
            found[state] = type(caught.value)
    assert found == dict.fromkeys(states.split(), kind)


def test_a_primary_that_became_a_standby(database_url):
    """A read-only database is refused, with where to point instead."""
    assert "read-only" in refused(
        f"{database_url}?options=-cdefault_transaction_read_only%3Don", "create table t ()"
    )


def test_what_waiting_cannot_mend(database_url):
    """Wrong password, missing role, database or grant: refused at once."""
    refused_in(
        database_url,
        "division by zero",
        "password authentication failed for",
        "does not exist",
        "permission denied for table closed",
    )


def test_what_a_client_cannot_mend(postgres, monkeypatch, tmp_path):
    """No password, no TLS where it is required, options that cannot be: refused at once."""
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    password = postgres.url.partition("job:")[2].partition("@")[0]
    assert "no password supplied" in refused(postgres.url.replace(f":{password}", ""))
    assert "SSL was required" in refused(f"{postgres.url}?sslmode=require")
    assert "invalid sslmode value" in refused(f"{postgres.url}?sslmode=of-course")
    assert "invalid port number" in refused("postgresql://job:secret@127.0.0.1:99999/job")
    assert 'definition of service "nix" not found' in refused(f"{postgres.url}?service=nix")


def test_a_variable_of_libpq_is_named(database_url, monkeypatch):
    """What the shell sets for libpq acts on a database of the user's; the refusal names it, but for a password's value."""
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("PGDATA", "/var/lib/postgresql")
    assert refused(database_url).endswith(
        "; check JOB_DATABASE_URL, and PGPASSWORD, PGSSLMODE = require in the environment, which libpq also reads"
    )
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    with pytest.raises(
        Unreachable,
        match="; PGTARGETSESSIONATTRS = standby in the environment, which libpq also reads",
    ):
        Database(database_url, 0).rows("select 1")


@pytest.mark.parametrize("by", ["URL", "shell"])
def test_a_schema_that_does_not_exist(database_url, monkeypatch, by):
    """A search path that leads nowhere is refused as that, by `prepare` and by a worker: waiting makes no schema."""
    url = database_url if by == "shell" else f"{database_url}?options=-csearch_path%3Dteam"
    if by == "shell":
        monkeypatch.setenv("PGOPTIONS", "-csearch_path=team")
    with pytest.raises(
        Invalid,
        match=r"its search_path = team names no schema that exists: create the schema, or correct",
    ):
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
    """A URL whose password holds characters of a URL is refused with the way out, and no part of it is shown."""
    assert "write @ / ? # % in user, password and parameters as %40" in refused(url)


def test_an_unknown_parameter():
    """A parameter libpq does not know is named, before anything is tried."""
    assert 'postgresql://host/job: invalid dsn: invalid URI query parameter: "colour"' in refused(
        "postgresql://u:secret@host/job?colour=1"
    )


@pytest.mark.parametrize(
    "host", ["127.0.0.1:1", "no-such-host.invalid", "invalid-certificate.invalid"]
)
def test_a_server_that_is_not_there(host):
    """A refused connection and a name that is not known (yet) are outages: both may come."""
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
Database(sys.argv[1], 30, limits=Limits(idle_s=2)).run(work)
print(tries)
"""


def test_a_worker_paused_in_the_middle(database_url):
    """A row locked by a paused process is free once the server has ended its transaction; when it goes on, it begins anew."""
    ledger = Ledger(database_url, outage_s=30, limits=QUICK).open()
    child = subprocess.Popen(
        [sys.executable, "-c", PAUSED, database_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(
            Unreachable, match="cannot serve us now: canceling statement due to lock timeout"
        ):
            ledger.database.run(
                lambda cursor: cursor.execute("select n from counter for update"), patience_s=0
            )
        ledger.raise_by(1)
    finally:
        os.kill(child.pid, signal.SIGCONT)
        out, err = child.communicate(timeout=60)
    assert (out.strip(), child.returncode) == ("[0, 1]", 0), err
    assert "idle-in-transaction timeout" in err
    assert ledger.count() == 11


def test_preparers_of_an_empty_database_are_more_than_it_has_room_for(database_url):
    """Six who all find nothing, on a server that lets three in at a time: nobody fails, and there is one of everything."""
    database = Database(database_url)
    staged = {"data": {"id": "d", "files": {}}, "weights": {}, "splits": {}}
    with role(database_url, "connection limit 3") as url:
        name = url[len("postgresql://") :].partition(":")[0]
        database.rows(f"grant create on database {database_url.rpartition('/')[2]} to {name}")
        crowd = [Database(url, 120) for _ in range(6)]
        workers = [
            in_thread(lambda d=d: (d.create_schema(), _register(d, parse(SPEC), staged)))
            for d in crowd
        ]
        for worker in workers:
            worker.result(120)
        assert crowd[0].rows("select count(*)::int as n from task") == [{"n": 3 + 2 + 1}]
        assert crowd[0].rows("select count(*)::int as n from trials") == [{"n": 3}]
        crowd[0].rows("drop owned by current_user")
        database.rows(f"revoke create on database {database_url.rpartition('/')[2]} from {name}")


def test_a_burst_shares_one_connection(database_url):
    """Statements and transactions of a burst go through one connection, of this thread alone; one that breaks is replaced, and none is left."""
    database, backend = Database(database_url, 30), "select pg_backend_pid() as pid"
    before = sockets()
    with database.kept():
        first = database.rows(backend)
        with database.kept():
            assert (
                database.run(lambda cursor: (cursor.execute(backend), cursor.fetchall())[1])
                == first
            )
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


def test_an_older_database_gets_the_indexes_it_lacks(database_url):
    """By a `prepare` of who owns the tables; of who may only use them it is not asked, and what is there stays."""
    database = Database(database_url)
    database.create_schema()
    indexes = "select oid, relname from pg_class where relname in ('task_states', 'epoch_values', 'task_best') order by relname"
    made = database.rows(indexes)
    assert [row["relname"] for row in made] == ["epoch_values", "task_best", "task_states"]
    database.create_schema()
    assert database.rows(indexes) == made
    database.rows("drop index task_states, epoch_values")
    with role(database_url) as url:
        name = url[len("postgresql://") :].partition(":")[0]
        database.rows(
            f"grant usage on schema job to {name}; grant select on all tables in schema job to {name}"
        )
        Database(url).create_schema()
        database.rows(
            f"revoke select on all tables in schema job from {name}; revoke usage on schema job from {name}"
        )
    assert len(database.rows(indexes)) == 1
    database.create_schema()
    assert [row["relname"] for row in database.rows(indexes)] == [
        "epoch_values",
        "task_best",
        "task_states",
    ]


def test_preparers_wait_for_a_slow_one(database_url):
    """Whoever prepares while another holds the locks for 20 s, longer than one statement may wait, succeeds after it."""
    database = Database(database_url)
    database.create_schema()
    locked = threading.Event()

    def slow(cursor):
        for name in ("schema", "prepare"):
            alone(cursor, name)
        locked.set()
        for _ in range(20):
            cursor.execute("select pg_sleep(1)")

    holder = in_thread(lambda: database.run(slow))
    assert locked.wait(10)
    started = time.monotonic()
    staged = {"data": {"id": "d", "files": {}}, "weights": {}, "splits": {}}
    waiters = [
        in_thread(database.create_schema),
        *(in_thread(lambda: _register(database, parse(SPEC), staged)) for _ in range(2)),
    ]
    holder.result(60)
    for waiter in waiters:
        waiter.result(120)
    assert time.monotonic() - started > 15
    assert database.rows("select count(*)::int as n from task") == [{"n": 3 + 2 + 1}]
