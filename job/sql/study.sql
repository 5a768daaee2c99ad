-- Optuna's tables, as far as we write them ourselves (schema of optuna 5, checked by a contract test).

-- name: add_trials
-- A WAITING trial for each task, its number the task's index. In order: Optuna lists trials by id.
insert into trials (number, study_id, state)
select i, %(study)s, 'WAITING' from generate_series(0, %(trials)s - 1) i
where not exists (select 1 from trials where study_id = %(study)s and number = i)
order by i

-- name: bind_trials
update task set optuna_trial_id = o.trial_id
from trials o
where (task.experiment, task.model, task.stage) = (%(experiment)s, %(model)s, 'trial')
  and o.study_id = %(study)s and o.number = task.index and task.optuna_trial_id is null

-- name: add_parameter
insert into trial_params (trial_id, param_name, param_value, distribution_json)
select optuna_trial_id, %(name)s, %(internal)s, %(distribution)s from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
on conflict (trial_id, param_name) do nothing

-- name: history
-- All trials of a model in one query: what sampler and pruner need.
select t.index, t.state, t.parameters, t.value, e.steps, e.rungs
from task t
left join (
    select index, json_object_agg(epoch + 1, value) as steps,
           json_agg(rungs) filter (where rungs <> '{}') as rungs
    from epoch where (experiment, model, stage) = (%(experiment)s, %(model)s, 'trial') and value is not null
    group by index
) e on e.index = t.index
where (t.experiment, t.model, t.stage) = (%(experiment)s, %(model)s, 'trial')
order by t.index
