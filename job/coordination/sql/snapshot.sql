-- name: one_moment
set transaction isolation level repeatable read, read only
