"""Databases that hold empty studies or finished trials, and processes that work on them."""

import json
import sys
from contextlib import closing

from bench import workers
from bench.world import World, live
from job.coordination import study
from job.coordination.connection import Limits, connect
from job.coordination.database import Database, json_value
from job.experiment.specification import parse

# Finish trials as `job trial` does; Optuna's rows are written by the trigger and here.
FILL = """
with filled as (
    update task
    set state = 'complete', attempt = 1, finished = clock_timestamp(),
        metrics = %(metrics)s, artifact = %(artifact)s,
        value = 0.5 + 0.3 * random(), progress = 100,
        parameters = jsonb_build_object(
            'learning_rate', 10 ^ (-5 + 4 * random()),
            'batch_size', (array[32, 64, 128])[1 + floor(3 * random())],
            'dropout', 0.7 * random(),
            'width', 4 * (1 + floor(16 * random())))
    where stage = 'trial' and index < %(upto)s and state = 'waiting'
    returning *
), attempts as (
    insert into attempt (experiment, model, stage, index, number, owner, host,
                         started, ended, outcome, first_step, last_step, seconds)
    select experiment, model, stage, index, 1, md5(index::text), 'node',
           finished - interval '1 minute', finished, 'complete', 0, 100,
           '{"train": 60, "import": 3.5}'
    from filled
)
insert into trial_params (trial_id, param_name, param_value, distribution_json)
select optuna_trial_id, d->>'name',
       case d->>'name'
       when 'batch_size' then
           case (parameters->>'batch_size')::int when 32 then 0 when 64 then 1 else 2 end
       else (parameters->>(d->>'name'))::float end,
       d->>'distribution'
from filled, jsonb_array_elements(%(optuna)s) d
"""
FILL_EPOCHS = """
insert into epoch (experiment, model, stage, index, epoch, attempt, metrics, value)
select t.experiment, t.model, t.stage, t.index, e, 1, %(metrics)s, t.value - (9 - e) * 0.01
from task t, generate_series(0, 9) e
where t.stage = 'trial' and t.index < %(upto)s and t.state = 'complete'
on conflict do nothing
"""
# The bytes and rows that the work so far has left in the database.
LEFT = """
select (select sum(pg_total_relation_size(c.oid))
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'job' and c.relkind = 'r')::float as bytes,
       (select count(*) from epoch)
       + (select count(*) from attempt where ended is not null)
       + (select count(*) from trial_params)
       + (select count(*) from trial_values)
       + (select count(*) from trial_intermediate_values) as rows
"""


def fresh(world: World, name: str) -> str:
    """Create an empty database; return its URL."""
    alone(world.postgres.url, f"create database {name}")
    return world.postgres.url.rpartition("/")[0] + f"/{name}"


def alone(url: str, statement: str) -> None:
    """Run a statement that PostgreSQL refuses inside a transaction."""
    with closing(connect(url, Limits(answer_s=600))) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def copied(world: World, url: str, name: str) -> str:
    """Copy a database for stock Optuna; return the URL of the copy.

    The copy has no waiting trials: Optuna would take those.
    """
    template = url.rpartition("/")[2]
    alone(world.postgres.url, f"create database {name} template {template}")
    copy = world.postgres.url.rpartition("/")[0] + f"/{name}"
    Database(copy).rows("delete from trials where state = 'WAITING'")
    Database(copy).rows("analyze")
    return copy


def fill(url: str, spec: dict, upto: int) -> None:
    """Finish the trials with an index below `upto`."""
    chosen = {"learning_rate": 0.01, "batch_size": 32, "dropout": 0.1, "width": 4}
    values = {
        "metrics": json_value(workers.METRICS),
        "artifact": json_value(workers.ARTIFACT),
        "optuna": json_value(study.internal(parse(spec), "cnn", chosen)),
        "upto": upto,
    }
    database = Database(url, limits=Limits(answer_s=600))
    database.rows(FILL, **values)
    database.rows(FILL_EPOCHS, **values)
    database.rows("analyze")


def load(side: str, verb: str, url: str, spec: dict, *numbers: object) -> dict:
    """Run one process of `bench.load`; return the object it prints."""
    command = [sys.executable, "-m", "bench.load", side, verb, url, json.dumps(spec), *numbers]
    return json.loads(live(*command).said.splitlines()[-1])
