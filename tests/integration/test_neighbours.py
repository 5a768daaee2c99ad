"""A database that others use: what a second role puts beside our tables is never run by ours."""

import re
import time
from contextlib import closing
from importlib import resources

import psycopg2
import pytest
from refusal import role

from job import status, study, tasks, trained
from job.attempt import UNJUDGED
from job.database import Database
from job.gc import garbage
from job.index import Key
from job.prepare import _register
from job.report.collect import collect
from job.specification import parse
from job.store import FolderStore
from job.tasks import Tasks, Worker
from job.verify import collect as recorded

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 3, "sampler": "random"},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 2, "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}},
}
STAGED = {"data": {"id": "d", "files": {}, "train": 60, "validation": 6}, "weights": {}, "splits": {}}
TYPES = ("int4", "int8", "float8", "numeric", "text", "varchar", "jsonb", "timestamptz", "interval", "bool", "text[]", "float8[]")
OPERATORS = ("=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "||", "->", "->>", "@>")
# What PostgreSQL would take before its own: of the same name, and for types that its own takes after a conversion only.
PLANT = """
do $plant$
declare name text; a text; b text; body text := '$$ begin raise exception ''somebody else''''s was called''; end $$';
begin
    execute 'create function public.jsonb_set(jsonb, text, jsonb) returns jsonb language plpgsql as ' || body;
    foreach a in array %(types)s loop
        foreach name in array %(functions)s loop
            if to_regprocedure(format('pg_catalog.%%I(%%s)', name, a)) is null then
                execute format('create function public.%%I(secs %%s) returns %%s language plpgsql as %%s', name, a, a, body);
            end if;
        end loop;
        foreach b in array %(types)s loop
            foreach name in array %(functions_of_two)s loop
                if to_regprocedure(format('pg_catalog.%%I(%%s, %%s)', name, a, b)) is null then
                    execute format('create function public.%%I(%%s, %%s) returns %%s language plpgsql as %%s', name, a, b, a, body);
                end if;
            end loop;
            execute format('create function public.planted(%%s, %%s) returns bool language plpgsql as %%s', a, b, body);
            foreach name in array %(operators)s loop
                if to_regoperator(format('pg_catalog.%%s(%%s, %%s)', name, a, b)) is null then
                    execute format('create operator public.%%s (leftarg = %%s, rightarg = %%s, function = public.planted)', name, a, b);
                end if;
            end loop;
        end loop;
    end loop;
end $plant$
"""


@pytest.fixture
def shared(database_url):
    """A database as the first versions made it, whose schema `public` others may use, too."""
    database = Database(f"{database_url}?options=-csearch_path%3Dpublic", outage_s=5)
    database.create_schema()
    _register(database, parse(SPEC), STAGED)
    return database


def live(database: Database, store: FolderStore) -> None:
    """Do all that workers and readers do between `job prepare` and `job drop`."""
    registered = tasks.find(database, "small")
    worker = Tasks(database, registered, Worker(owner="a", host="here"), 60.0, 0.0)
    for index in range(3):
        attempt = worker.claim(Key("cnn", "trial", index))
        study.choose(registered.experiment, attempt)
        attempt.computes_on({"cpu": "x"})
        for epoch, pruner in enumerate(("median", "hyperband", None)):
            attempt.report(epoch, {"loss": 0.5}, 0.25 * index, UNJUDGED | {"pruner": pruner, "bracket": 0, "sign": 1})
        attempt.durable(2)
        attempt.note(["a note"], 5)
        if index == 1:
            attempt.release("a signal")
            attempt = worker.claim(Key("cnn", "trial", index))
            attempt.error("a fault")
            attempt = worker.claim(Key("cnn", "trial", index))
            assert attempt.lost_before() >= 0
        attempt.commit("complete", 0.25 * index, {}, {})
    assert worker.selection("cnn")["trial"] == 2
    fold = worker.claim(Key("cnn", "fold", 0))
    for again in range(3):
        fold.error("a fault")
        fold = worker.claim(Key("cnn", "fold", 0)) if again < 2 else None
    tasks.retry(database, registered, Key("cnn", "fold", 0))
    for stage, indices in (("fold", range(2)), ("final", range(1))):
        for index in indices:
            attempt = worker.claim(Key("cnn", stage, index))
            attempt.opened_test_part()
            attempt.commit("complete", 0.5, {}, {})
    assert status.experiments(database) and status.collect(database, registered)["experiment"]
    assert trained.published(database, registered, "cnn")["state"] == "complete"
    assert collect(database, store, registered)
    assert recorded.read(database, "small", deep=True)[1] == []
    assert garbage(database, store, None, 60) == []


def functions(words: str) -> list[str]:
    """Return the names of what is called in all our statements, among them words of SQL's own."""
    text = "".join(path.read_text() for path in resources.files("job").joinpath("sql").iterdir())
    return sorted(set(re.findall(words, re.sub(r"--.*", "", text))))


def plant(url: str) -> None:
    """Create all that PostgreSQL would take before its own."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("select distinct proname, pronargs from pg_proc where proname = any(%s)", (functions(r"(\w+)\("),))
        known = sorted(cursor.fetchall())
        named = {"functions": sorted({name for name, _ in known}), "functions_of_two": [name for name, n in known if n == 2]}
        cursor.execute(PLANT, {"types": list(TYPES), "operators": list(OPERATORS)} | named)


def test_a_better_matching_function(shared, database_url, tmp_path):
    """Functions and operators of a neighbour that match our arguments better than PostgreSQL's are not called."""
    with role(database_url) as neighbour:
        name = neighbour[len("postgresql://") :].partition(":")[0]
        shared.rows(f"grant create on schema public to {name}")
        plant(neighbour)
        live(shared, FolderStore(tmp_path, 5, time.sleep))
        with closing(psycopg2.connect(neighbour)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("drop owned by current_user cascade")
        shared.rows(f"revoke create on schema public from {name}")
