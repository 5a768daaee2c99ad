-- What `job verify` and `job gc` read, each in one read-only snapshot. Nothing here writes.

-- name: experiments
select id, name, spec, fingerprint, data, weights, splits from experiment
where %(name)s::text is null or name = %(name)s
order by created, id

-- name: tasks
select model, stage, index, state, attempt, owner, lease_until, progress, parameters, value,
       metrics, artifact, reason,
       optuna_trial_id, finished
from task
where experiment = %(experiment)s
order by model, stage, index

-- name: attempts
select model, stage, index, number, owner, host, machine, scheduler, started, ended, outcome,
       reason, first_step, last_step
from attempt
where experiment = %(experiment)s
order by model, stage, index, number

-- name: epochs
-- One row per task: ten thousand trials have too many epochs for one row each.
select model, stage, index, pg_catalog.array_agg(epoch order by epoch) as epoch,
       pg_catalog.array_agg(attempt order by epoch) as attempt,
       pg_catalog.array_agg(value order by epoch) as value,
       pg_catalog.array_agg(pruned order by epoch) as pruned,
       case when %(deep)s::boolean then pg_catalog.json_agg(metrics order by epoch) end as metrics
from epoch
where experiment = %(experiment)s
group by model, stage, index

-- name: selections
select model, trial, value, parameters, made from selection where experiment = %(experiment)s
order by model

-- name: openings
select model, stage, index, attempt, opened from opening where experiment = %(experiment)s
order by opened

-- name: studies
select s.study_id, s.study_name, pg_catalog.array_agg(d.direction::text) as directions
from studies s
left join study_directions d on d.study_id = s.study_id
where starts_with(s.study_name::text, %(name)s::text || '/')
group by s.study_id, s.study_name

-- name: trials
select o.trial_id, o.number, o.state::text as state,
       (select pg_catalog.json_agg(v.value order by objective) from trial_values v
        where v.trial_id = o.trial_id) as values,
       (select pg_catalog.json_object_agg(param_name, param_value) from trial_params p
        where p.trial_id = o.trial_id) as parameters,
       (select pg_catalog.json_object_agg(step, intermediate_value) from trial_intermediate_values i
        where i.trial_id = o.trial_id) as steps
from trials o
where o.study_id = %(study)s
order by o.number, o.trial_id

-- name: ended
-- For gc, in one statement and so of one moment: what each task refers to, and which of its
-- attempts ended a lease ago.
select t.model, t.stage, t.index, t.state, t.artifact,
       clock_timestamp() - make_interval(secs => %(lease_s)s::float8) as a_lease_ago,
       array(
           select number from attempt a
           where (a.experiment, a.model, a.stage, a.index)
                 = (t.experiment, t.model, t.stage, t.index)
             and a.ended < clock_timestamp() - make_interval(secs => %(lease_s)s::float8)
       ) as ended
from task t
where t.experiment = %(experiment)s

-- name: ids
select id from experiment where %(name)s::text is null or name = %(name)s order by created, id

-- name: known
-- Which of these ids belong to existing experiments, and the time that was a lease ago.
select array(select id from experiment where id = any(%(ids)s::text[])) as known,
       clock_timestamp() - make_interval(secs => %(lease_s)s::float8) as a_lease_ago
