"""A database of an older version is migrated, and its experiment goes on."""

import os
import shutil
import signal
import subprocess
import tarfile
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from job.coordination import migrations, schema
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.errors import Invalid, NotReady
from job.experiment.task import Key
from job.local.postgres import binaries
from tests.support.refusals import role
from tests.support.wire import Wire, through

OLD = Path(__file__).parent / "schema_3"
# All that makes up a table, but the order of its columns.
CATALOGS = """
with ours as (
    select c.oid, c.relname::text as name from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'job' and c.relkind = 'r' and c.relname = any(%(tables)s)
)
select 'column' as kind, name || ' ' || attname || ' ' || format_type(atttypid, atttypmod)
       || ' ' || attnotnull || attidentity::text || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
       as what
from ours join pg_attribute on attrelid = oid and attnum > 0 and not attisdropped
left join pg_attrdef on (adrelid, adnum) = (attrelid, attnum)
union all
select 'index', pg_get_indexdef(indexrelid) from ours join pg_index on indrelid = ours.oid
union all
select 'constraint', name || ' ' || conname || ' ' || pg_get_constraintdef(c.oid)
from ours join pg_constraint c on conrelid = ours.oid
union all
select 'trigger', pg_get_triggerdef(t.oid) from ours join pg_trigger t on tgrelid = ours.oid
where not tgisinternal
union all
select 'function', pg_get_functiondef(p.oid) from pg_proc p
where pronamespace = 'job'::regnamespace::oid
union all
select 'sequence', c.oid::regclass::text from pg_class c
join pg_depend d on (d.objid, d.deptype) = (c.oid, 'i') join ours on ours.oid = d.refobjid
where relkind = 'S'
union all
select 'version', version::text from job_schema
order by 1, 2
"""


def load(url: str) -> Database:
    """Load the dump into an empty database."""
    parts = urlsplit(url)
    where = ["-h", parts.hostname, "-p", str(parts.port), "-U", parts.username, parts.path[1:]]
    subprocess.run(
        [binaries() / "psql", "-XqAt1", "-v", "ON_ERROR_STOP=1", "-f", OLD / "dump.sql", *where],
        env=os.environ | {"PGPASSWORD": parts.password},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return Database(url, 10)


def unpack(folder: Path) -> None:
    """Unpack the store, with the nanoseconds of each file's time: they are its etag."""
    with tarfile.open(OLD / "store.tar.gz") as archive:
        archive.extractall(folder, filter="data")
        for member in archive:
            seconds, _, fraction = member.pax_headers["mtime"].partition(".")
            ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
            os.utime(folder / member.name, ns=(ns, ns))


def made_of(database: Database) -> list[tuple[str, str]]:
    """Return what the catalogs say of our tables."""
    rows = database.rows(CATALOGS, tables=schema._tables())
    return [(row["kind"], row["what"]) for row in rows]


@pytest.fixture
def old(database_url) -> Database:
    """The database of version 3."""
    return load(database_url)


def test_migrations_are_numbered_without_gaps():
    """Each migration leads from one version to the next, and the last one to this program's."""
    versions = [migration.version for migration in migrations.read_migrations()]
    assert versions == list(range(schema.OLDEST_VERSION + 1, schema.SCHEMA_VERSION + 1))
    for migration in migrations.read_migrations():
        assert f"update job_schema set version = {migration.version};" in migration.sql


def test_a_migrated_database_is_as_a_new_one(old, database_url, postgres):
    """A migrated database has the tables, indexes, constraints and functions of a new one."""
    old.migrate()
    migrated = made_of(old)
    old.rows("drop schema job cascade")
    new = Database(database_url, 10)
    new.create_schema()
    assert migrated == made_of(new)
    assert {kind for kind, _ in migrated} >= {
        "column",
        "index",
        "constraint",
        "trigger",
        "function",
    }


@pytest.mark.parametrize("lost", ["task_states, job.epoch_values", "task_running"])
def test_an_older_database_of_version_3(old, lost, database_url):
    """Indexes that came within version 3 may be missing, and functions may search any schema."""
    old.rows(f"drop index job.{lost}")
    old.rows("alter function optuna_follows_task() reset search_path")
    old.create_schema()
    migrated = made_of(old)
    old.rows("drop schema job cascade")
    new = Database(database_url, 10)
    new.create_schema()
    assert migrated == made_of(new)


def test_a_migration_that_is_killed_changes_nothing(site, postgres):
    """A process killed before its commit leaves the database as it was, for the next to migrate."""
    old = load(site.database_url)
    before = made_of(old)
    applied = threading.Event()

    def obey(data):
        if b"access exclusive" in data:
            applied.set()
        if b"commit" not in data or not applied.is_set():
            return "pass"
        child.send(signal.SIGKILL)
        return "swallow"

    with closing(Wire(postgres.ports[0], obey)) as wire:
        child = site.start("migrate", JOB_DATABASE_URL=through(site.database_url, wire))
        child.wait(check=-signal.SIGKILL)
    assert made_of(old) == before
    assert "applied: 0004_leaner_indexes" in site.job("migrate", check=0).stdout
    assert made_of(old) != before


def test_migrators_take_turns(old, database_url):
    """Of several that migrate at once, one applies it, and the others find it done."""
    applied = []

    def migrate():
        applied.append(len(Database(database_url, 60).migrate()))

    crowd = [threading.Thread(target=migrate) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(60)
    assert sorted(applied) == [0, 0, 0, len(migrations.read_migrations())]


def test_a_role_that_may_not_migrate(old, database_url):
    """Another role than the owner of the tables is told whose they are; nothing is changed."""
    before = made_of(old)
    owner = urlsplit(database_url).username
    with role(database_url) as url:
        name = urlsplit(url).username
        for right in ("usage on schema job", "select on all tables in schema job"):
            old.rows(f"grant {right} to {name}")
        expected = f"belong to {owner}, who alone can bring them to schema version 4: run `job mi"
        for attempt in (Database(url, 0).migrate, Database(url, 0).create_schema):
            with pytest.raises(Invalid, match=expected):
                attempt()
        for right in ("select on all tables in schema job", "usage on schema job"):
            old.rows(f"revoke {right} from {name}")
    assert made_of(old) == before


TOLD = {
    2: "schema version 2, and this program can migrate from 3 on: use the version of `job` that",
    3: "schema version 3, but this program expects 4: run `job migrate`, or `job prepare` with an",
    5: "schema version 5, but this program expects 4: use the newer version of `job` that migrated",
    None: "no schema version: restore a backup, or use an empty database and `job prepare`",
}


def test_every_other_version_is_told_what_to_do(old, site):
    """An older, a too old and a newer version are refused with 78 and one sentence each."""
    for version, expected in TOLD.items():
        old.rows("delete from job_schema")
        if version:
            old.rows("insert into job_schema values (%(version)s)", version=version)
        before = made_of(old)
        commands = [["trial", "--index", 0]]
        commands += [["migrate", "--dry-run"]] if version != 3 else [["list"]]
        for command in commands:
            said = site.job(*command, JOB_EXPERIMENT="half", check=78).stderr
            assert expected in said, (command, said)
            assert len(said.splitlines()) == 1
        if version != 3:
            for refused in (old.migrate, old.create_schema):
                with pytest.raises(Invalid, match=expected):
                    refused()
        assert made_of(old) == before


def test_nothing_to_migrate(database_url):
    """A database without tables is not ready; a new one needs no migration."""
    database = Database(database_url, 0)
    with pytest.raises(NotReady, match="has no tables yet: run `job prepare"):
        database.migrate()
    database.create_schema()
    assert database.migrate() == []


def test_a_worker_of_the_old_version(old, monkeypatch):
    """A worker that has a task while others migrate finishes it, and refuses the next one."""
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "SCHEMA_VERSION", 3)
        attempt = Tasks(old, find(old, "half"), Worker(), 60, 0).claim(Key("cnn", "trial", 2))
    old.migrate()
    epochs = len(attempt.epochs())
    attempt.report(epochs, {"loss": 1.0}, 0.5)
    attempt.commit("complete", 0.5, {}, {})
    assert old.rows("select outcome from attempt where (model, index, number) = ('cnn', 2, 2)") == [
        {"outcome": "complete"}
    ]
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "SCHEMA_VERSION", 3)
        with pytest.raises(Invalid, match="have schema version 4, but this program expects 3"):
            find(old, "half")


def test_a_worker_whose_columns_are_gone(old):
    """A worker under which a later migration removes a column writes nothing more, and is told."""
    old.migrate()
    attempt = Tasks(old, find(old, "half"), Worker(), 60, 0).claim(Key("cnn", "trial", 2))
    old.rows("alter table task rename column metrics to scores")
    old.rows("update job_schema set version = 5")
    with pytest.raises(Invalid, match='column "metrics" .* if a newer one has migrated it, use t'):
        attempt.commit("complete", 0.5, {}, {})
    assert old.rows("select state, value from task where (model, index) = ('cnn', 2)")[0] == {
        "state": "running",
        "value": None,
    }


def test_an_experiment_half_done_goes_on(site):
    """An experiment begun by the old version is finished by this one, from its checkpoints on.

    The released trial and the killed one resume; `job verify` finds every promise kept.
    """
    database = load(site.database_url)
    unpack(site.folder / "store")
    for file in ("half.toml", "net.py"):
        shutil.copy(OLD / file, site.folder)
    site.environ.update(
        JOB_STORE_URL=f"file://{site.folder}/store",
        JOB_EXPERIMENT="half",
        JOB_LEASE_S="3",
        JOB_WAIT_S="30",
    )
    refused = site.job("status", check=78).stderr
    assert "have schema version 3, but this program expects 4: run `job migrate`" in refused
    dry = site.job("migrate", "--dry-run", check=0).stdout
    assert "-- 0004_leaner_indexes.sql\n" in dry
    assert "update job_schema set version = 4;" in dry
    assert database.rows("select version from job_schema") == [{"version": 3}]
    assert "have schema version 4" in site.job("migrate", check=0).stdout
    assert "nothing" not in site.job("migrate", check=0).stdout
    assert "10 of 16 tasks decided, 1 running" in site.job("status", check=0).stdout

    site.job("retry", "trial", "--model", "cnn", "--index", 4, check=0)
    left = [("trial", "cnn", 2), ("trial", "cnn", 3), ("trial", "cnn", 4), ("fold", "net", 1)]
    logs = together(site, left)
    assert "resuming from the checkpoint at step 97" in logs[0]
    assert "resuming from the checkpoint at step 98" in logs[1]
    together(site, [("fold", "cnn", 0), ("fold", "cnn", 1), ("final", "cnn", 0)])
    ended = database.rows(
        "select index, number, first_step, outcome from attempt"
        " where (model, stage) = ('cnn', 'trial') and index in (2, 3) order by index, number"
    )
    assert [tuple(row.values()) for row in ended] == [
        (2, 1, 0, "interrupted"),
        (2, 2, 97, "complete"),
        (3, 1, 0, "vanished"),
        (3, 2, 68, "complete"),
    ]
    site.job("verify", "--deep", check=0)
    site.job("report", "--out", "report", check=0)
    assert "net" in (site.folder / "report" / "index.html").read_text()


def together(site, tasks: list[tuple[str, str, int]]) -> list[str]:
    """Run tasks to their end, all at a time; return their logs."""
    children = [site.start(stage, "--model", m, "--index", i) for stage, m, i in tasks]
    for child in children:
        child.wait(check=0)
    return [child.text() for child in children]
