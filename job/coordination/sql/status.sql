-- What `job status` and `job list` show. Nothing here writes. Everything is counted here: ten
-- thousand tasks become a few rows.

-- name: states
select stage, model, state, count(*)::int as tasks from task where experiment = %(experiment)s
group by stage, model, state order by model

-- name: running
select t.model, t.stage, t.index, t.attempt, a.host, a.last_step,
       extract(epoch from clock_timestamp() - a.started)::float as running_s,
       extract(epoch from clock_timestamp() - a.last_beat)::float as beat_s,
       extract(epoch from t.lease_until - clock_timestamp())::float8 as lease_left_s
from task t
join attempt a on (a.experiment, a.model, a.stage, a.index, a.number)
    = (t.experiment, t.model, t.stage, t.index, t.attempt)
where t.experiment = %(experiment)s and t.state = 'running'
order by t.stage, t.model, t.index

-- name: failed
select model, stage, index, reason from task where experiment = %(experiment)s and state = 'failed'
order by stage, model, index

-- name: notes
select note from experiment cross join jsonb_array_elements_text(data->'notes'::text) note
where id = %(experiment)s

-- name: best
select model, best.index as trial, best.value
from pg_catalog.unnest(%(models)s::text[]) as model cross join lateral (
    (select index, value from task
     where (experiment, model, stage, state) = (%(experiment)s, model.model, 'trial', 'complete')
       and %(sign)s::float8 > 0::float8 order by value desc, index limit 1)
    union all
    (select index, value from task
     where (experiment, model, stage, state) = (%(experiment)s, model.model, 'trial', 'complete')
       and %(sign)s::float8 < 0::float8 order by value, index limit 1)
) as best

-- name: selected
select model, trial, value from selection where experiment = %(experiment)s

-- name: folds
select model, count(*)::int as folds, avg(value) as mean from task
where (experiment, stage, state) = (%(experiment)s, 'fold', 'complete')
group by model

-- name: attempts
select coalesce(outcome, 'running') as outcome, count(*)::int as attempts from attempt
where experiment = %(experiment)s
group by outcome order by outcome

-- name: seconds
-- What a decided task took, all its attempts together; one that vanished lived until its last beat.
-- The task is joined only for attempts that did not decide it.
select stage, model, extract(epoch from sum(time) / sum(tasks)::float8)::float8 as mean_s,
       extract(
           epoch from sum(time) filter (where state = 'complete')
           / (sum(tasks) filter (where state = 'complete'))::float8
       )::float8 as complete_s
from (
    select stage, model, outcome as state, sum(ended - started) as time, count(*) as tasks
    from attempt
    where experiment = %(experiment)s and outcome in ('complete', 'pruned')
    group by stage, model, outcome
    union all
    select a.stage, a.model, t.state,
           sum(case when a.outcome = 'vanished' then a.last_beat else a.ended end - a.started), 0
    from attempt a
    join task t on (t.experiment, t.model, t.stage, t.index)
        = (a.experiment, a.model, a.stage, a.index)
    where a.experiment = %(experiment)s and a.outcome in ('interrupted', 'error', 'vanished')
      and t.state in ('complete', 'pruned')
    group by a.stage, a.model, t.state
) as decided
group by stage, model

-- name: speed
-- The steps that attempts saved within the last `window_s` seconds, and how long they lived in it:
-- until their end, or their last beat.
select stage, model, batch_size, sum(steps::float8 * seconds / lifetime) as steps,
       sum(seconds) as seconds
from (
    select a.stage, a.model, t.parameters->>'batch_size'::text as batch_size,
           a.last_step - a.first_step as steps,
           extract(epoch from l.until - greatest(
               a.started, clock_timestamp() - make_interval(secs => %(window_s)s::float8)
           ))::float8 as seconds,
           extract(epoch from l.until - a.started)::float8 as lifetime
    from attempt a
    join task t on (t.experiment, t.model, t.stage, t.index)
        = (a.experiment, a.model, a.stage, a.index)
    cross join lateral (
        select case when a.outcome <> 'vanished' then a.ended else a.last_beat end as until
    ) l
    where a.experiment = %(experiment)s
      and (a.ended is null
           or a.ended > statement_timestamp() - make_interval(secs => %(window_s)s::float8))
) as lived
where seconds > 0::float8 and lifetime > 0::float8
group by stage, model, batch_size

-- name: experiments
select id, name, created, spec->'search'::text->>'metric'::text as metric from experiment
order by created, id

-- name: all_states
select experiment, stage, model, state, count(*)::int as tasks from task
group by experiment, stage, model, state

-- name: scores
-- For each model: its best complete trial, and the mean of its folds once all are complete.
select experiment, model,
       min(value) filter (where stage = 'trial' and state = 'complete') as lowest,
       max(value) filter (where stage = 'trial' and state = 'complete') as highest,
       case when bool_and(state = 'complete') filter (where stage = 'fold')
           then avg(value) filter (where stage = 'fold') end as fold_mean
from task
group by experiment, model
order by experiment, model
