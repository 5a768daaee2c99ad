-- What a report reads: all of one experiment, in one read-only snapshot. Nothing here writes.

-- name: tasks
select model, stage, index, state, attempt, parameters, value, metrics, artifact, reason
from task
where experiment = %(experiment)s
order by model, stage, index

-- name: attempts
select model, stage, index, number, started, last_beat, ended, outcome, reason, first_step,
       last_step,
       coalesce(seconds, '{}'::jsonb) as seconds
from attempt
where experiment = %(experiment)s
order by model, stage, index, number

-- name: epochs
-- Only folds and finals have curves.
select model, stage, index, epoch, metrics
from epoch
where experiment = %(experiment)s and stage in ('fold', 'final')
order by model, stage, index, epoch

-- name: selections
select model, trial, value, parameters from selection where experiment = %(experiment)s

-- name: openings
select model, stage, index, attempt from opening where experiment = %(experiment)s order by opened
