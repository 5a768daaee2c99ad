-- Optuna's tables, as far as we write them ourselves, and what Optuna sees. The schema is that of
-- optuna 5; a contract test checks it.

-- name: add_trials
-- A WAITING trial for each task, its number the task's index. In order: Optuna lists trials by id.
insert into trials (number, study_id, state)
select i, %(study)s, 'WAITING' from generate_series(0, %(trials)s - 1) i
where not exists (select 1 from trials where study_id = %(study)s and number = i)
order by i

-- name: many_rows
-- The planner does not know yet how many rows are new, and would compare each with each.
set local enable_nestloop = off

-- name: bind_trials
update task set optuna_trial_id = o.trial_id
from trials o
where (task.experiment, task.model, task.stage) = (%(experiment)s, %(model)s, 'trial')
  and o.study_id = %(study)s and o.number = task.index and task.optuna_trial_id is null

-- name: history
-- What a sampler sees of a model's trials: the best, which it stays near; those that run, which it
-- keeps away from; and enough of the others to tell where they are, spread evenly by the golden
-- ratio. Of few trials it sees every one; many trials cost no more.
with best as (
    (select index from task
     where (experiment, model, stage, state) = (%(experiment)s, %(model)s, 'trial', 'complete')
       and %(sign)s > 0 order by value desc limit %(best)s)
    union all
    (select index from task
     where (experiment, model, stage, state) = (%(experiment)s, %(model)s, 'trial', 'complete')
       and %(sign)s < 0 order by value limit %(best)s)
), running as (
    select index from task
    where (experiment, model, stage, state) = (%(experiment)s, %(model)s, 'trial', 'running')
      and parameters is not null limit %(running)s
), spread as (
    select index from task
    where (experiment, model, stage) = (%(experiment)s, %(model)s, 'trial')
      and parameters is not null
      and state not in ('running', 'failed')
    order by mod(index::bigint * 2654435769, 4294967296) limit %(spread)s
)
select t.index, t.state, t.parameters, t.value,
       case when t.state = 'pruned' then (
           select max(epoch) + 1 from epoch e
           where (e.experiment, e.model, e.stage, e.index)
                 = (t.experiment, t.model, t.stage, t.index)
       ) end as epochs
from task t
where (t.experiment, t.model, t.stage) = (%(experiment)s, %(model)s, 'trial')
  and t.parameters is not null
  and t.index <> %(index)s and t.state <> 'failed'
  and t.index in (
      select index from best union select index from running union select index from spread
  )
order by t.index
