"""A shared database: our role never runs what a second role puts next to our tables."""

import re
import time
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from job.coordination import status, study, tasks
from job.coordination.attempt import UNJUDGED
from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.errors import Invalid, NotReady
from job.experiment.specification import parse
from job.experiment.task import Key
from job.export import trained
from job.report.collect import collect
from job.storage.cache_folder import CacheFolder
from job.storage.store import FolderStore
from job.verify import collect as recorded
from job.verify.garbage import garbage
from job.work.prepare import drop, register
from tests.support.refusals import role
from tests.support.staged import STAGED

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 3, "sampler": "random"},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}},
}
TYPES = (
    "int4 int8 float8 numeric text varchar jsonb timestamptz interval bool text[] float8[]"
).split()
OPERATORS = "= <> < > <= >= + - * / || -> ->> @>".split()
# What PostgreSQL would prefer to its own functions and operators: those of the same name,
# for types that its own accept only after a conversion.
PLANT = """
do $plant$
declare
    name text;
    a text;
    b text;
    body text := 'language plpgsql as '
        '$$ begin raise exception ''somebody else''''s was called''; end $$';
begin
    execute 'create function public.jsonb_set(jsonb, text, jsonb) returns jsonb ' || body;
    foreach a in array %(types)s loop
        foreach name in array %(functions)s loop
            if to_regprocedure(format('pg_catalog.%%I(%%s)', name, a)) is null then
                execute format('create function public.%%I(secs %%s) returns %%s %%s',
                               name, a, a, body);
            end if;
        end loop;
        foreach b in array %(types)s loop
            foreach name in array %(functions_of_two)s loop
                if to_regprocedure(format('pg_catalog.%%I(%%s, %%s)', name, a, b)) is null then
                    execute format('create function public.%%I(%%s, %%s) returns %%s %%s',
                                   name, a, b, a, body);
                end if;
            end loop;
            execute format('create function public.planted(%%s, %%s) returns bool %%s',
                           a, b, body);
            foreach name in array %(operators)s loop
                if to_regoperator(format('pg_catalog.%%s(%%s, %%s)', name, a, b)) is null then
                    execute format('create operator public.%%s (leftarg = %%s, rightarg = %%s, '
                                   'function = public.planted)', name, a, b);
                end if;
            end loop;
        end loop;
    end loop;
end $plant$
"""


@contextmanager
def another(database_url: str, right: str = ""):
    """Yield the URL and name of another role; its objects and its right end with the block."""
    with role(database_url) as url:
        name = url[len("postgresql://") :].partition(":")[0]
        if right:
            execute(database_url, f"grant {right} to {name}")
        yield url, name
        execute(url, "drop owned by current_user cascade")
        if right:
            execute(database_url, f"revoke {right} from {name}")


@pytest.fixture
def neighbour(database_url):
    """A role that may create objects in the schema `public`."""
    with another(database_url, "create on schema public") as both:
        yield both


def may_make_schemas(database_url: str) -> str:
    return f"create on database {database_url.rpartition('/')[2]}"


def execute(url: str, *statements: str) -> None:
    """Execute statements in a session of their own, without `job`."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def prepared(url: str) -> Database:
    database = Database(url, outage_s=5)
    database.create_schema()
    register(database, parse(SPEC), STAGED)
    return database


def schemas(database: Database) -> set[str]:
    """Return the schemas that hold our tables and Optuna's."""
    rows = database.rows(
        """
        select relname, nspname from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind = 'r' and relname in ('task', 'trials', 'alembic_version')"""
    )
    assert {row["relname"] for row in rows} == {"task", "trials", "alembic_version"}
    return {row["nspname"] for row in rows}


def live(database: Database, owner: Database, reader: Database, store: FolderStore) -> None:
    """Do all that workers and readers do between `job prepare` and `job drop`.

    The owner retries one failed task.
    """
    registered = find(database, "small")
    worker = Tasks(database, registered, Worker(owner="a", host="here"), 60.0, 0.0)
    for index in range(3):
        attempt = worker.claim(Key("cnn", "trial", index))
        study.choose(registered.experiment, attempt)
        attempt.record_machine({"cpu": "x"})
        for epoch, pruner in enumerate(("median", "hyperband", None)):
            rule = UNJUDGED | {"pruner": pruner, "bracket": 0, "sign": 1}
            attempt.report(epoch, {"loss": 0.5}, 0.25 * index, rule)
        attempt.record_step(2)
        attempt.note(["a note"], 5)
        if index == 1:
            attempt.release("a signal")
            attempt = worker.claim(Key("cnn", "trial", index))
            attempt.error("a fault")
            attempt = worker.claim(Key("cnn", "trial", index))
            assert attempt.lost_before_s() >= 0
        attempt.commit("complete", 0.25 * index, {}, {})
    assert worker.selection("cnn").trial == 2
    fold = worker.claim(Key("cnn", "fold", 0))
    for again in range(3):
        fold.error("a fault")
        fold = worker.claim(Key("cnn", "fold", 0)) if again < 2 else None
    tasks.retry(owner, registered, Key("cnn", "fold", 0))
    for stage, indices in (("fold", range(2)), ("final", range(1))):
        for index in indices:
            attempt = worker.claim(Key("cnn", stage, index))
            attempt.record_opening()
            attempt.commit("complete", 0.5, {}, {})
    assert status.experiments(reader) and status.collect(reader, registered)["experiment"]
    assert trained.published_final(reader, registered, "cnn")["state"] == "complete"
    assert collect(reader, store, registered, CacheFolder(store.root / "cache"))
    assert recorded.read(reader, "small", deep=True)[1] == []
    assert garbage(reader, store, None, 60) == []


def find_all(pattern: str) -> list[str]:
    """Return all matches of a pattern in our SQL statements."""
    folder = resources.files("job.coordination").joinpath("sql")
    text = "".join(path.read_text() for path in Path(str(folder)).rglob("*.sql"))
    return sorted(set(re.findall(pattern, re.sub(r"--.*", "", text))))


def test_what_a_life_does_not_reach():
    """No statement has an argument of a guessed type that a neighbour's function matches better."""
    json = r"->>? *'\w+'(?!::)"
    varchar = r"\bkey = '\w+'"
    paths = r"jsonb_set\(\w+, '\{\w+\}'(?!::)"
    numbers = r"(?:secs =>|[*/]) %\(\w+\)s(?!::)"
    polymorphic = "array_agg|jsonb?_agg|jsonb?_object_agg|to_jsonb?|unnest"
    any_type = rf"(?<!pg_catalog\.)\b(?:{polymorphic})\("
    assert find_all("|".join((json, varchar, paths, numbers, any_type))) == []


def plant(url: str) -> None:
    """Create all that PostgreSQL would prefer to its own."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        called = find_all(r"(\w+)\(")
        statement = "select distinct proname, pronargs from pg_proc where proname = any(%s)"
        cursor.execute(statement, (called,))
        known = sorted(cursor.fetchall())
        names = {
            "functions": sorted({name for name, _ in known}),
            "functions_of_two": [name for name, n in known if n == 2],
        }
        cursor.execute(PLANT, {"types": TYPES, "operators": OPERATORS} | names)


def test_a_better_matching_function(neighbour, database_url, tmp_path):
    """A neighbour's better matching functions and operators are never called.

    This holds for tables that an earlier version made in the neighbour's schema.
    In our own schema it holds for Optuna's statements, too.
    """
    store = FolderStore(tmp_path, 5, time.sleep)
    shared = prepared(f"{database_url}?options=-csearch_path%3Dpublic")
    plant(neighbour[0])
    live(shared, shared, shared, store)
    execute(database_url, "drop table public.job_schema")
    own = prepared(database_url)
    assert schemas(own) == {"public", "job"}
    live(own, own, own, store)
    drop(own, store, "small")


def test_the_schema_is_ours(database_url, tmp_path):
    """All tables, Optuna's included, are made in the schema `job`, whatever the session's path.

    Trigger functions search no other schema.
    """
    with another(database_url, may_make_schemas(database_url)) as (url, _):
        database = prepared(url)
        assert schemas(database) == {"job"}
        paths = "select distinct proconfig from pg_proc where proname like 'optuna_follows%%'"
        assert database.rows(paths) == [{"proconfig": ["search_path=job, pg_temp"]}]


def test_tables_of_an_earlier_version(database_url, caplog):
    """Tables in `public` stay in use there, and a migration fixes their trigger functions.

    If others may create objects there, a warning names the grant to revoke.
    """
    before = prepared(f"{database_url}?options=-csearch_path%3Dpublic")
    for name in ("task", "epoch"):
        before.rows(f"alter function optuna_follows_{name}() reset search_path")
    before.rows("update job_schema set version = 3")
    before.rows("grant create on schema public to public")
    after = prepared(database_url)
    assert schemas(after) == {"public"}
    worker = Tasks(after, find(after, "small"), Worker(), 60.0, 0.0)
    worker.claim(Key("cnn", "trial", 0)).commit("complete", 0.5, {}, {})
    fixed = """
        select count(*)::int as n from pg_proc
        where proconfig = array['search_path=public, pg_temp']"""
    assert after.rows(fixed) == [{"n": 2}]
    warning = (
        "others may create in the schema public, where our tables are: "
        "`revoke create on schema public from public`"
    )
    assert warning in caplog.text


def test_a_search_path_in_the_url(database_url):
    """A schema named in the URL holds the tables, and two schemas in one database are separate."""
    execute(database_url, "create schema team")
    own = prepared(database_url)
    team = prepared(f"{database_url}?options=-csearch_path%3Dteam")
    assert schemas(own) == {"job", "team"}
    team.rows("update experiment set name = 'theirs'")
    assert find(own, "small").id != find(team, "theirs").id


def test_tables_that_a_stranger_made(neighbour, database_url, caplog):
    """A stranger's tables with our names are not used, before `job prepare` and after it."""
    neighbours_url, neighbours_name = neighbour
    execute(
        neighbours_url,
        "create table public.job_schema (version int)",
        "insert into public.job_schema values (4)",
        "create table public.experiment (id text, name text, spec jsonb, fingerprint text, "
        "data jsonb, weights jsonb, splits jsonb)",
        "grant all on all tables in schema public to public",
    )
    execute(database_url, "create schema team")
    for url in (database_url, f"{database_url}?options=-csearch_path%3Dteam,public"):
        with pytest.raises(NotReady, match="has no tables yet"):
            find(Database(url, 5), "small")
    belongs = f"public.job_schema belongs to {neighbours_name}"
    expected = rf"has no tables yet.* \({belongs}, a stranger to our role"
    with pytest.raises(NotReady, match=expected):
        find(Database(database_url, 5), "small")
    # No schema has the name of this role.
    with another(database_url, may_make_schemas(database_url)) as (url, _):
        prepared(url)
        assert f"{belongs}; our tables are made in the schema job" in caplog.text
        assert find(Database(url, 5), "small").id


def test_a_schema_that_is_not_ours_alone(neighbour, database_url):
    """A stranger's schema `job`, or one open to others, is refused with what to do."""
    theirs, name = neighbour
    database = Database(database_url, 5)
    with another(database_url, may_make_schemas(database_url)) as (url, preparer):
        execute(url, f"create schema job; grant create, usage on schema job to {name}")
        revoke = f"`revoke create on schema job from {name}`"
        with pytest.raises(Invalid, match=f"others may create in the schema job, .*: {revoke}"):
            Database(url, 5).create_schema()
        belongs = f"belongs to {preparer}, a stranger to {name}: "
        with pytest.raises(Invalid, match=f"the schema job, where our tables are, {belongs}"):
            Database(theirs, 5).create_schema()
        execute(url, f"revoke all on schema job from {name}")
        Database(url, 5).create_schema()
        expected = (
            "our role may not use the schema job, where our tables are: `grant usage on schema job`"
        )
        with pytest.raises(Invalid, match=expected):
            Database(theirs, 5).check_schema()
    assert database.rows("select 1 as n") == [{"n": 1}]


def test_the_least_that_is_needed(database_url, tmp_path):
    """The grants of docs/guides/services.md suffice for a worker and for a reader.

    The worker can neither delete rows nor create tables; the reader cannot write.
    """
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "services.md").read_text()
    (grants,) = re.findall(r"^set search_path = job;\n(?:.*;\n)+", guide, re.M)
    right = may_make_schemas(database_url)
    with (
        another(database_url, right) as (preparer, _),
        role(database_url) as worker,
        role(database_url) as reader,
    ):
        owner = prepared(preparer)
        names = {"worker": urlsplit(worker).username, "reader": urlsplit(reader).username}
        execute(preparer, re.sub("worker|reader", lambda match: names[match[0]], grants))
        live(Database(worker, 5), owner, Database(reader, 5), FolderStore(tmp_path, 5, time.sleep))
        for refused in ("delete from task", "create table more ()"):
            with pytest.raises(Invalid, match="permission denied"):
                Database(worker, 5).rows(refused)
        with pytest.raises(Invalid, match="permission denied for table task"):
            Database(reader, 5).rows("update task set value = 1")
        # The other roles cannot be dropped before this.
        execute(preparer, "drop owned by current_user cascade")
