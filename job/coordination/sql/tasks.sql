-- The life of a task. Each step is one statement, and so one message to the server and one back.
-- Only a claim of a running task, and an end with an error, first look under a lock. Every write
-- names attempt and owner. `mine` is the fence: no other transaction can pass it before the
-- statement is over.

-- name: experiment
select version, id, name, spec, fingerprint, data, weights, splits
from job_schema left join experiment on name = %(name)s

-- name: lock
-- A separate statement: a join would see the other tables as they were before it waited.
select 1 from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
for update

-- name: look
-- What a claim decides by. The reason of a running attempt says who has called its owner in.
select t.state, t.attempt, t.owner, t.progress, t.counted, t.counted_at, t.parameters, t.reason,
       a.scheduler, a.host, a.reason as called_in,
       extract(epoch from t.lease_until - clock_timestamp())::float8 as lease_left_s
from task t
left join attempt a on (a.experiment, a.model, a.stage, a.index, a.number)
    = (t.experiment, t.model, t.stage, t.index, t.attempt)
where (t.experiment, t.model, t.stage, t.index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: call_in
-- The silence of an owner is measured from this call on. So an earlier outage, or a jump of the
-- clock, takes no task from a live owner: a renewal withdraws the call.
with mine as (
    update task set lease_until = greatest(
        lease_until, clock_timestamp() + make_interval(secs => %(grace_s)s::float8)
    )
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
    returning attempt as number, lease_until
), called as (
    update attempt set reason = %(called_in)s from mine
    where (experiment, model, stage, index, attempt.number)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, mine.number)
)
select extract(epoch from lease_until - clock_timestamp())::float8 as lease_left_s from mine

-- name: peek
select state, reason from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: take
-- Only a waiting task; a running one needs a look first.
with mine as (
    update task set state = 'running', attempt = attempt + 1, owner = %(owner)s,
           parameters = coalesce(parameters, %(selected)s),
           lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s::float8)
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
      and state = 'waiting'
    returning attempt, parameters, progress
), begun as (
    insert into attempt (
        experiment, model, stage, index, number, owner, host, scheduler, first_step, last_step
    )
    select %(experiment)s, %(model)s, %(stage)s, %(index)s, attempt, %(owner)s, %(host)s,
           %(scheduler)s, progress, progress from mine
)
select attempt, parameters, progress from mine

-- name: computes_on
with mine as (
    select from task
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running' for update
)
update attempt set machine = %(machine)s from mine
where (experiment, model, stage, index, number)
      = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)
returning number

-- name: end_attempt
update attempt set ended = clock_timestamp(), outcome = %(outcome)s, reason = %(reason)s,
       seconds = %(seconds)s
where (experiment, model, stage, index, number)
      = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s) and outcome is null

-- name: in_a_row
-- How the attempts ended that count since the last progress or retry: the latest of them.
select count(*) filter (where outcome = 'error')::int as errors,
       count(*) filter (where outcome = 'vanished')::int as vanished
from (
    select outcome from attempt
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
      and outcome in ('error', 'vanished')
    order by number desc limit %(counted)s
) as latest

-- name: fail
update task set state = 'failed', reason = %(reason)s, owner = null, lease_until = null,
       counted = %(counted)s, counted_at = progress,
       finished = clock_timestamp()
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: renew
with mine as (
    update task set lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s::float8),
           progress = greatest(progress, %(step)s)
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running'
    returning 1
)
update attempt set last_beat = clock_timestamp(), last_step = greatest(last_step, %(step)s),
       reason = null
where (experiment, model, stage, index, number)
      = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)
  and exists (select 1 from mine)
returning number

-- name: record
-- What `job verify` trains a decided task again from.
select parameters, artifact, reason from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: parameters
-- Once chosen, they stay, and Optuna's rows with them.
with mine as (
    update task set parameters = coalesce(parameters, %(parameters)s)
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running'
    returning parameters, optuna_trial_id
), noted as (
    insert into trial_params (trial_id, param_name, param_value, distribution_json)
    select optuna_trial_id, name, internal, distribution
    from mine, jsonb_to_recordset(%(optuna)s::jsonb) as chosen (
        name text, internal double precision, distribution text
    )
    where optuna_trial_id is not null
    on conflict (trial_id, param_name) do nothing
)
select parameters from mine

-- name: epochs
select epoch, metrics, value, pruned from epoch
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
order by epoch

-- name: report
-- An epoch, and whether the pruner ends the trial after it, as Optuna's pruners would (tests
-- compare). Null if the epoch is already there.
with mine as (
    select from task
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running' for update
), hyperband as (
    -- Of the trials that came this far in a bracket the best third continues; of fewer than three,
    -- the best one.
    select count(*) filter (
               where value * %(sign)s::float8 > %(value)s::float8 * %(sign)s::float8
           ) >= greatest((count(*) + 1) / 3, 1) as pruned
    from epoch
    where (experiment, model, stage, epoch, bracket)
          = (%(experiment)s, %(model)s, %(stage)s, %(epoch)s, %(bracket)s)
), own as (
    select greatest(
               max(value * %(sign)s::float8), %(value)s::float8 * %(sign)s::float8
           ) * %(sign)s::float8 as best
    from epoch
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
      and epoch < %(epoch)s
), median as (
    -- A trial is pruned if its best is worse than the median of complete trials at this epoch, and
    -- never before five are complete. To count the trials on either side needs no sorting, and only
    -- the two indexes. When the halves are equal, the median is between them.
    select complete >= 5 and case when above * 2 <> complete then above * 2 > complete
           else (select best from own) * %(sign)s::float8
               < (upper - (upper - lower) * 0.5::float8) * %(sign)s::float8 end as pruned
    from (
        select complete, above, least(worse, better) as lower, greatest(worse, better) as upper
        from (
            select count(*) as complete,
                   count(*) filter (
                       where e.value * %(sign)s::float8 > (select best * %(sign)s::float8 from own)
                   ) as above,
                   max(e.value * %(sign)s::float8) filter (
                       where e.value * %(sign)s::float8 <= (select best * %(sign)s::float8 from own)
                   ) * %(sign)s::float8 as worse,
                   min(e.value * %(sign)s::float8) filter (
                       where e.value * %(sign)s::float8 > (select best * %(sign)s::float8 from own)
                   ) * %(sign)s::float8 as better
            from task t join epoch e on e.index = t.index
            where (t.experiment, t.state, t.model, t.stage)
                  = (%(experiment)s, 'complete', %(model)s, 'trial')
              and (e.experiment, e.model, e.epoch, e.stage)
                  = (%(experiment)s, %(model)s, %(epoch)s, 'trial')
        ) as sides
    ) as middle
), noted as (
    insert into epoch (
        experiment, model, stage, index, epoch, attempt, metrics, value, bracket, pruned
    )
    select %(experiment)s, %(model)s, %(stage)s, %(index)s, %(epoch)s, %(attempt)s, %(metrics)s,
           %(value)s, %(bracket)s,
           case %(pruner)s::text
               when 'hyperband' then (select pruned from hyperband)
               when 'median' then (select pruned from median)
               else false
           end
    from mine
    on conflict (experiment, model, stage, index, epoch) do nothing
    returning pruned
)
select pruned from mine left join noted on true

-- name: commit
with mine as (
    update task set state = %(state)s, value = %(value)s, metrics = %(metrics)s,
           artifact = %(artifact)s, reason = %(reason)s,
           progress = greatest(progress, %(step)s), counted = 0, owner = null, lease_until = null,
           finished = clock_timestamp()
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running'
    returning 1
)
update attempt set ended = clock_timestamp(), outcome = %(state)s, reason = %(reason)s,
       seconds = %(seconds)s,
       last_step = greatest(last_step, %(step)s), last_beat = clock_timestamp()
from mine
where (experiment, model, stage, index, number)
      = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)
returning number

-- name: release
-- Progress ends the run of attempts that count; the next attempt is measured from here.
with mine as (
    update task set state = 'waiting', owner = null, lease_until = null,
           progress = greatest(progress, %(step)s),
           counted = case when greatest(progress, %(step)s) > counted_at then 0 else counted end,
           counted_at = greatest(progress, %(step)s)
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running'
    returning 1
)
update attempt set ended = clock_timestamp(), outcome = 'interrupted', reason = %(reason)s,
       seconds = %(seconds)s,
       last_step = greatest(last_step, %(step)s), last_beat = clock_timestamp()
from mine
where (experiment, model, stage, index, number)
      = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)
returning number

-- name: again
-- After an attempt that counted, or progressed.
update task set state = 'waiting', owner = null, lease_until = null, counted = %(counted)s,
       counted_at = progress
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: artifacts
select artifact from task
where (experiment, model, stage, state) = (%(experiment)s, %(model)s, %(stage)s, 'complete')
order by index

-- name: note
update experiment set data = jsonb_set(
    data, '{notes}'::text[], coalesce(data->'notes'::text, '[]') || %(notes)s::jsonb
)
where id = %(experiment)s and jsonb_array_length(coalesce(data->'notes'::text, '[]')) < %(most)s
  and not coalesce(data->'notes'::text, '[]') @> %(notes)s::jsonb

-- name: outcome
select outcome from attempt
where (experiment, model, stage, index, number, owner)
      = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)

-- name: earlier
-- What the attempts before this one spent.
select outcome, coalesce(seconds, '{}') as seconds,
       coalesce(last_step > first_step, false) as progressed,
       greatest(extract(
           epoch from case when outcome = 'vanished' then last_beat
                      else coalesce(ended, last_beat) end - started
       ), 0)::float as wall_s
from attempt
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
  and number < %(attempt)s

-- name: opening
-- Once per attempt, even when the answer to the write was lost.
with mine as (
    select from task
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running' for update
), opened as (
    insert into opening (experiment, model, stage, index, attempt)
    select %(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s from mine
    on conflict do nothing
)
select 1 as mine from mine

-- name: left
-- What keeps a stage from being finished. Waiting processes ask often, so no more than `most` are
-- counted.
select (
           select count(*)::int from task
           where (experiment, state, model, stage)
                 = (%(experiment)s, 'failed', %(model)s, %(stage)s)
       ) as failed,
       count(*)::int as unfinished
from (
    select from task
    where (experiment, model, stage) = (%(experiment)s, %(model)s, %(stage)s)
      and state in ('waiting', 'running')
    limit %(most)s::int + 1
) as found

-- name: tell_again
-- What a complete result implies, and a database restored from an earlier backup lacks: its epochs,
-- and the opening of a final.
with mine as (
    select from task
    where (experiment, model, stage, index, attempt, owner)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running' for update
), noted as (
    insert into epoch (
        experiment, model, stage, index, epoch, attempt, metrics, value, bracket, pruned
    )
    select %(experiment)s, %(model)s, %(stage)s, %(index)s, e.epoch, %(attempt)s, e.metrics,
           e.value, e.bracket, e.pruned
    from mine, jsonb_to_recordset(%(epochs)s::jsonb) as e (
        epoch int, metrics jsonb, value double precision, bracket int, pruned boolean
    )
    on conflict (experiment, model, stage, index, epoch) do nothing
), opened as (
    insert into opening (experiment, model, stage, index, attempt)
    select %(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s from mine
    where %(stage)s::text = 'final' and not exists (
        select 1 from opening
        where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
    )
    on conflict do nothing
)
select 1 as mine from mine

-- name: counts
select state, count(*)::int as tasks from task
where (experiment, model, stage) = (%(experiment)s, %(model)s, %(stage)s)
group by state
order by state

-- name: selection
select trial, value, parameters from selection
where (experiment, model) = (%(experiment)s, %(model)s)

-- name: close
-- A selection, and whatever makes a trial unfinished again, take turns: a trial is either open or
-- selected from.
select 1 from experiment where id = %(experiment)s for no key update

-- name: select_best
insert into selection (experiment, model, trial, value, parameters)
select experiment, model, index, value, parameters from task
where (experiment, model, stage, state) = (%(experiment)s, %(model)s, 'trial', 'complete')
  and not exists (
    select 1 from task where (experiment, model, stage) = (%(experiment)s, %(model)s, 'trial')
      and state in ('waiting', 'running'))
order by value * %(sign)s::float8 desc, index
limit 1
on conflict do nothing
returning trial, value, parameters

-- name: retry
-- Once a model is selected, its trials are closed. The reason of an earlier failure no longer
-- applies, for Optuna neither.
with retried as (
    update task set state = 'waiting', counted = 0, counted_at = progress, reason = null,
           finished = null
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
      and state = 'failed'
      and not (stage = 'trial' and exists (
          select 1 from selection where (experiment, model) = (%(experiment)s, %(model)s)
      ))
    returning index, optuna_trial_id
), forgotten as (
    delete from trial_user_attributes using retried
    where trial_id = optuna_trial_id and key::text = 'reason'
)
select index from retried
