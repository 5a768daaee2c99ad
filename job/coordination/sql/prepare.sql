-- Registers an experiment and its tasks. All of it runs under one advisory lock.

-- name: add_experiment
insert into experiment (id, name, spec, fingerprint, data, weights, splits)
values (%(id)s, %(name)s, %(spec)s, %(fingerprint)s, %(data)s, %(weights)s, %(splits)s)
on conflict (name) do nothing

-- name: locked
select id, spec, fingerprint, data from experiment where name = %(name)s for update

-- name: weights
select distinct w.value ->> 'sha256'::text as sha256 from experiment, jsonb_each(weights) w

-- name: set_spec
update experiment set spec = %(spec)s where id = %(id)s

-- name: set_stored
-- The objects in the store, as of the last upload or check; not a part of the data's id.
update experiment set data = jsonb_set(data, '{stored}'::text[], %(stored)s::jsonb)
where id = %(id)s

-- name: add_tasks
insert into task (experiment, model, stage, index)
select %(experiment)s, %(model)s, %(stage)s, i from generate_series(0, %(tasks)s - 1) i
on conflict do nothing

-- name: selected
select model from selection where experiment = %(experiment)s order by model

-- name: drop
delete from experiment where id = %(id)s

-- name: at_work
select 1 from task where experiment = %(id)s and state = 'running' limit 1
