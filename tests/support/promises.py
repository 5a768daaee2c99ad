"""The promises of the task table as SQL, and a table on which state and storm tests try them."""

import threading
from contextlib import contextmanager

import psycopg2
import psycopg2.extras

from job.coordination.database import Database
from job.coordination.registered import find
from job.experiment.specification import parse
from job.experiment.task import Key
from job.work.prepare import register
from tests.support.staged import STAGED

SPEC = {
    "name": "small",
    "data": {"source": "digits"},
    "search": {"trials": 3},
    "folds": {"count": 2},
    "models": {"cnn": {"epochs": 4}},
}
TRIALS = [Key("cnn", "trial", i) for i in range(3)]
KEYS = [*TRIALS, Key("cnn", "fold", 0), Key("cnn", "fold", 1), Key("cnn", "final", 0)]
# The schedulers of the four workers: two workers are runs of one requeued job.
SCHEDULERS = [None, None, "slurm 7", "slurm 7"]
SAME = "(a.experiment, a.model, a.stage, a.index) = (t.experiment, t.model, t.stage, t.index)"
BEST = """
        select row(index, value, parameters) from task
        where (stage, state) = ('trial', 'complete') order by value desc, index limit 1"""

# Each promise, with a query that returns a row where it is broken.
BROKEN = {
    "exactly the registered tasks exist": """
        select 1 where (select count(*) from task) <> 6""",
    "only a running task has an owner, a lease and one open attempt, which is its latest": f"""
        select 1 from task t
        where (state = 'running') <> (owner is not null)
           or (state = 'running') <> (lease_until is not null)
           or (select array_agg((number, a.owner)) from attempt a
               where {SAME} and outcome is null)
              is distinct from
              (case when state = 'running' then array[(t.attempt, t.owner)] end)""",
    "attempts are numbered from 1 without gaps, and the task knows the latest": f"""
        select 1 from task t
        where attempt <> (select count(*) from attempt a where {SAME})
           or attempt <> (select coalesce(max(number), 0) from attempt a where {SAME})""",
    "three errors or ten vanished attempts in a row, no more and no less, fail a task": f"""
        select 1 from task t cross join lateral (
            select count(*) filter (where outcome = 'error') as errors,
                   count(*) filter (where outcome = 'vanished') as vanished
            from (select outcome from attempt a
                  where {SAME} and outcome in ('error', 'vanished')
                  order by number desc limit counted) x) y
        where errors > 3 or vanished > 10
           or (errors = 3 or vanished = 10) <> (state = 'failed')""",
    "interrupted and progressing attempts never count": f"""
        select 1 from task t
        where counted > (
            select count(*) from attempt a
            where {SAME} and outcome in ('error', 'vanished') and number > (
                select coalesce(max(number), 0) from attempt a
                where {SAME} and outcome is not null and last_step > first_step))""",
    "a decided task has one deciding attempt, its latest, with the same outcome": f"""
        select 1 from task t
        where (select array_agg((number, outcome)) from attempt a
               where {SAME} and outcome in ('complete', 'pruned'))
              is distinct from
              (case when state in ('complete', 'pruned') then array[(attempt, state)] end)""",
    "each trial task has one trial of Optuna, with its number and state": """
        select 1 from (select * from task where stage = 'trial') t
        full join trials o on o.trial_id = t.optuna_trial_id
        where (o.number, o.state::text) is distinct from (t.index, case
            when t.state = 'waiting' then
                case when t.parameters is null then 'WAITING' else 'RUNNING' end
            when t.state = 'failed' then 'FAIL'
            else upper(t.state) end)""",
    "Optuna has the value of a decided trial, and no other": """
        select 1 from (select * from task where stage = 'trial' and value is not null) t
        full join trial_values v on v.trial_id = t.optuna_trial_id
        where t.value is distinct from v.value or t.state not in ('complete', 'pruned')""",
    "Optuna has the value of each epoch of a trial, and no other": """
        select 1 from (
            select e.*, optuna_trial_id
            from epoch e join task using (experiment, model, stage, index)
            where stage = 'trial' and e.value is not null) e
        full join trial_intermediate_values v
            on (v.trial_id, v.step) = (e.optuna_trial_id, e.epoch + 1)
        where e.value is distinct from v.intermediate_value""",
    "Optuna has the parameters of each trial, and no other": """
        select 1 from (
            select optuna_trial_id, j.* from task, jsonb_each(parameters) j
            where stage = 'trial') t
        full join trial_params p on (p.trial_id, p.param_name) = (t.optuna_trial_id, t.key)
        where t.value::text::float is distinct from p.param_value""",
    "the best complete trial is selected once all are finished, ties to the lowest index": f"""
        select 1 from selection s
        where row(trial, value, parameters) is distinct from ({BEST})
           or exists (select 1 from task
                      where stage = 'trial' and state in ('waiting', 'running'))""",
    "folds and finals begin after the selection, with its parameters": """
        select 1 from task left join selection s using (experiment, model)
        where stage <> 'trial' and task.attempt > 0
          and task.parameters is distinct from s.parameters""",
}
CHECK = " union all ".join(
    f"select '{promise}' as promise where exists ({query})" for promise, query in BROKEN.items()
)

# History is never rewritten. Triggers check every statement, and their error fails the test.
HISTORY = """
create function refuse() returns trigger language plpgsql as $$ begin
    if current_setting('test.cleaning', true) is distinct from 'on' then
        raise exception 'history rewritten: %% of %%', tg_op, to_jsonb(old);
    end if;
    return null;
end $$;
create trigger decided_again after update or delete on task for each row
    when (old.state in ('complete', 'pruned')) execute function refuse();
create trigger task_turned_back after update on task for each row
    when (new.attempt not between old.attempt and old.attempt + 1 or new.progress < old.progress
          or (old.parameters is not null and new.parameters is distinct from old.parameters))
    execute function refuse();
create trigger ended_again after update or delete on attempt for each row
    when (old.outcome is not null) execute function refuse();
create trigger epoch_again after update or delete on epoch for each row
    execute function refuse();
create trigger selected_again after update or delete on selection for each row
    execute function refuse();
create table as_prepared as table task;
"""
OURS = ("task", "attempt", "epoch", "selection", "opening")
OPTUNAS = (
    "trials trial_params trial_values trial_intermediate_values trial_user_attributes"
).split()
CLEAN = f"""
set local test.cleaning = 'on';
{" ".join(f"delete from {table};" for table in (*OURS, *OPTUNAS[1:]))}
update trials set state = 'WAITING', datetime_start = null, datetime_complete = null;
insert into task table as_prepared;
"""
EVERYTHING = " union all ".join(
    f"select '{table}' || t::text as line from {table} t" for table in (*OURS, *OPTUNAS)
)
DIGEST = f"select md5(string_agg(line, ';' order by line)) as digest from ({EVERYTHING}) x"


class ConnectionPerThread(Database):
    """A database whose transactions share one connection per thread.

    Opening new connections would take most of the time.
    """

    def __init__(self, url: str):
        super().__init__(url, outage_s=10)
        self.mine = threading.local()
        self.all = []

    def _once(self, work):
        if not hasattr(self.mine, "connection"):
            rows_as_dicts = psycopg2.extras.RealDictCursor
            connection = psycopg2.connect(self.url, cursor_factory=rows_as_dicts)
            connection.autocommit = True
            self.mine.connection = connection
            self.all.append(connection)
        with self.mine.connection.cursor() as cursor:
            return work(cursor)


@contextmanager
def prepared(database_url: str):
    """Yield a database with six tasks, guarded by HISTORY, and the registered experiment."""
    Database(database_url).create_schema()
    register(Database(database_url), parse(SPEC), STAGED)
    database = ConnectionPerThread(database_url + "?options=-csynchronous_commit%3Doff")
    database.rows(HISTORY)
    try:
        yield database, find(database, "small")
    finally:
        for connection in database.all:
            connection.close()


def choose(attempt, value: float) -> dict:
    """Give an attempt parameters, in Optuna's rows too, as `study.choose` does.

    Return the parameters that the attempt has now.
    """
    of_optuna = {"name": "learning_rate", "internal": value, "distribution": "{}"}
    return attempt.set_parameters({"learning_rate": value}, [of_optuna])
