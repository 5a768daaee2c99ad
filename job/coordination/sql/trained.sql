-- What `job predict` and `job export` read: the published final, which is that of seed 0.

-- name: published
select state, reason, artifact, parameters from task
where (experiment, model, stage, index) = (%(experiment)s, %(model)s, 'final', 0)
