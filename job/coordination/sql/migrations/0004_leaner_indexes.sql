-- Fewer indexes to write. `task_states` finds the running trials as well as `task_running` did, and
-- only hyperband's epochs have rivals. It also adds what databases of version 3 may lack: indexes,
-- and trigger functions that search our tables only.

-- All at once: a worker's statement runs before all of this, or after it.
lock table task, epoch in access exclusive mode;

drop index if exists task_running;
drop index if exists epoch_rivals;
create index epoch_rivals on epoch (experiment, model, epoch, bracket) where bracket is not null;
create index if not exists task_best on task (experiment, model, value) where stage = 'trial' and state = 'complete';
create index if not exists task_spread on task (experiment, model, (mod(index::bigint * 2654435769, 4294967296))) where stage = 'trial' and parameters is not null;
create index if not exists task_states on task (experiment, state, model, stage, index);
create index if not exists epoch_values on epoch (experiment, model, epoch, index) include (value) where stage = 'trial';

create or replace function optuna_follows_task() returns trigger language plpgsql set search_path from current as $$
begin
    update trials set
        state = (case new.state when 'waiting' then (case when new.parameters is null then 'WAITING' else 'RUNNING' end)
                 when 'running' then 'RUNNING' when 'complete' then 'COMPLETE'
                 when 'pruned' then 'PRUNED' else 'FAIL' end)::trialstate,
        datetime_start = case when new.attempt > 0 then coalesce(datetime_start, localtimestamp) end,
        datetime_complete = case when new.state in ('complete', 'pruned', 'failed') then coalesce(datetime_complete, localtimestamp) end
    where trial_id = new.optuna_trial_id;
    if new.state in ('complete', 'pruned') and new.value is not null then
        insert into trial_values (trial_id, objective, value, value_type)
        values (new.optuna_trial_id, 0, new.value, 'FINITE')
        on conflict (trial_id, objective) do update set value = excluded.value;
    end if;
    if new.reason is not null then
        insert into trial_user_attributes (trial_id, key, value_json)
        values (new.optuna_trial_id, 'reason', pg_catalog.to_json(new.reason)::text)
        on conflict (trial_id, key) do update set value_json = excluded.value_json;
    end if;
    return null;
end $$;

create or replace function optuna_follows_epoch() returns trigger language plpgsql set search_path from current as $$
begin
    insert into trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
    select optuna_trial_id, new.epoch + 1, new.value, 'FINITE'
    from task
    where (experiment, model, stage, index) = (new.experiment, new.model, new.stage, new.index) and optuna_trial_id is not null
    on conflict (trial_id, step) do nothing;
    return null;
end $$;

update job_schema set version = 4;
