-- Decided tasks that are done again, because the store has lost the objects they name.

-- name: close
-- As in tasks.sql: a selection, and whatever makes a trial unfinished again, take turns.
select 1 from experiment where id = %(experiment)s for no key update

-- name: undo
-- Its parameters and epochs stay, with what the pruner decided. Nothing that its attempts did is
-- durable any more.
with undone as (
    update task set state = 'waiting', progress = 0, counted = 0, counted_at = 0, value = null,
           metrics = null, artifact = null,
           reason = null, finished = null
    where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
      and state in ('complete', 'pruned')
      and artifact = %(artifact)s
    returning index, optuna_trial_id
), valueless as (
    delete from trial_values using undone where trial_id = optuna_trial_id
), forgotten as (
    delete from trial_user_attributes using undone
    where trial_id = optuna_trial_id and key::text = 'reason'
), ended as (
    update attempt set first_step = 0, last_step = 0,
           reason = case when outcome in ('complete', 'pruned') then %(reason)s else reason end,
           outcome = case when outcome in ('complete', 'pruned') then 'interrupted' else outcome end
    from undone
    where (experiment, model, stage, attempt.index)
          = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
)
select index from undone

-- name: note
update task set artifact = %(noted)s
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, %(stage)s, %(index)s)
  and state in ('complete', 'pruned')
  and artifact = %(artifact)s
returning index
