-- The life of a task. A claim locks, looks and owns; every later write runs behind `fence` in one
-- transaction, or names attempt and owner itself.

-- name: experiment
select id, name, spec, fingerprint, data, weights, splits from experiment where name = %(name)s

-- name: lock
-- In a statement of its own: one that joins would see the other tables as they were before it waited.
select 1 from task where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s) for update

-- name: look
-- What a claim needs to decide. A lease counts from the start of the database too, so that after an
-- outage nobody steals from the living.
select t.state, t.attempt, t.owner, t.progress, t.counted, t.counted_at, t.parameters, t.reason,
       a.scheduler, a.host,
       extract(epoch from greatest(t.lease_until, pg_postmaster_start_time() + make_interval(secs => %(lease_s)s)) - clock_timestamp())::float as lease_left_s
from task t
left join attempt a on (a.experiment, a.model, a.stage, a.index, a.number) = (t.experiment, t.model, t.stage, t.index, t.attempt)
where (t.experiment, t.model, t.stage, t.index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: peek
select state, reason from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: own
update task set state = 'running', attempt = attempt + 1, owner = %(owner)s,
       lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
returning attempt

-- name: begin_attempt
insert into attempt (experiment, model, stage, index, number, owner, host, scheduler, first_step, last_step)
values (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s, %(host)s, %(scheduler)s, %(progress)s, %(progress)s)

-- name: computes_on
update attempt set machine = %(machine)s
where (experiment, model, stage, index, number) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)

-- name: end_attempt
update attempt set ended = clock_timestamp(), outcome = %(outcome)s, reason = %(reason)s, seconds = %(seconds)s
where (experiment, model, stage, index, number) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s) and outcome is null

-- name: count
update task set counted = %(counted)s, counted_at = progress
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: fail
update task set state = 'failed', reason = %(reason)s, owner = null, lease_until = null, finished = clock_timestamp()
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: fence
select 1 as mine from task
where (experiment, model, stage, index, attempt, owner) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
  and state = 'running'
for update

-- name: renew
with mine as (
    update task set lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), progress = greatest(progress, %(step)s)
    where (experiment, model, stage, index, attempt, owner) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)
      and state = 'running'
    returning 1
)
update attempt set last_beat = clock_timestamp(), last_step = greatest(last_step, %(step)s)
where (experiment, model, stage, index, number) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)
  and exists (select 1 from mine)
returning number

-- name: chosen
select parameters from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: record
-- What a decided task can be trained again from.
select parameters, artifact, reason from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: parameters
update task set parameters = %(parameters)s
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: epochs
select epoch, metrics, value, pruned from epoch
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
order by epoch

-- name: add_epoch
insert into epoch (experiment, model, stage, index, epoch, attempt, metrics, value, pruned, rungs)
values (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(epoch)s, %(attempt)s, %(metrics)s, %(value)s, %(pruned)s, %(rungs)s)

-- name: progress
with moved as (
    update task set progress = greatest(progress, %(step)s)
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
)
update attempt set last_step = greatest(last_step, %(step)s), last_beat = clock_timestamp()
where (experiment, model, stage, index, number) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s)

-- name: commit
update task set state = %(state)s, value = %(value)s, metrics = %(metrics)s, artifact = %(artifact)s, reason = %(reason)s,
       counted = 0, owner = null, lease_until = null, finished = clock_timestamp()
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: release
-- Progress ends the row of attempts that count, and the next attempt is measured from here.
update task set state = 'waiting', owner = null, lease_until = null,
       counted = case when progress > counted_at then 0 else counted end, counted_at = progress
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)

-- name: artifacts
select artifact from task
where (experiment, model, stage, state) = (%(experiment)s, %(model)s, %(stage)s, 'complete')
order by index

-- name: outcome
select outcome from attempt
where (experiment, model, stage, index, number, owner) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s, %(owner)s)

-- name: earlier
-- What the attempts before this one spent.
select outcome, coalesce(seconds, '{}') as seconds, coalesce(last_step > first_step, false) as progressed,
       greatest(extract(epoch from case when outcome = 'vanished' then last_beat else coalesce(ended, last_beat) end - started), 0)::float as wall_s
from attempt
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s) and number < %(attempt)s

-- name: opening
-- Once an attempt, also when it did not hear that it was written.
insert into opening (experiment, model, stage, index, attempt)
select %(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s
where not exists (
    select 1 from opening
    where (experiment, model, stage, index, attempt) = (%(experiment)s, %(model)s, %(stage)s, %(index)s, %(attempt)s))

-- name: counts
select state, count(*)::int as tasks from task
where (experiment, model, stage) = (%(experiment)s, %(model)s, %(stage)s)
group by state

-- name: selection
select trial, value, parameters from selection where (experiment, model) = (%(experiment)s, %(model)s)

-- name: close
-- Who selects, and who would make a trial unfinished again, take turns: a trial is open or selected from.
select 1 from experiment where id = %(experiment)s for no key update

-- name: select_best
insert into selection (experiment, model, trial, value, parameters)
select experiment, model, index, value, parameters from task
where (experiment, model, stage, state) = (%(experiment)s, %(model)s, 'trial', 'complete')
  and not exists (
    select 1 from task where (experiment, model, stage) = (%(experiment)s, %(model)s, 'trial')
      and state in ('waiting', 'running'))
order by value * %(sign)s desc, index
limit 1
on conflict do nothing
returning trial, value, parameters

-- name: retry
-- Once a model is selected, its trials are closed. What a trial failed of before is no word on it any more, for Optuna neither.
with retried as (
    update task set state = 'waiting', counted = 0, counted_at = progress, reason = null, finished = null
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s) and state = 'failed'
      and not (stage = 'trial' and exists (select 1 from selection where (experiment, model) = (%(experiment)s, %(model)s)))
    returning index, optuna_trial_id
), forgotten as (
    delete from trial_user_attributes using retried where trial_id = optuna_trial_id and key = 'reason'
)
select index from retried
