-- What `job status` shows.

-- name: states
select stage, model, state, count(*)::int as tasks from task where experiment = %(experiment)s
group by stage, model, state order by model

-- name: running
select t.model, t.stage, t.index, t.attempt, a.host, a.last_step,
       extract(epoch from clock_timestamp() - a.last_beat)::float as beat_s
from task t
join attempt a on (a.experiment, a.model, a.stage, a.index, a.number) = (t.experiment, t.model, t.stage, t.index, t.attempt)
where t.experiment = %(experiment)s and t.state = 'running'
order by t.stage, t.model, t.index

-- name: failed
select model, stage, index, reason from task where experiment = %(experiment)s and state = 'failed'
order by stage, model, index
