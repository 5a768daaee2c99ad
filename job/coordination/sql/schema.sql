-- Our tables as of the newest version, beside Optuna's in one database. The task decides. Optuna's
-- rows follow it by trigger, in the same transaction, so that no crash can come between them.
-- Whoever changes this file adds a migration that makes the same of the version before.

create table job_schema (version int primary key);

create table experiment (
    id text primary key,                 -- the name and a random part: new even in an old bucket
    name text not null unique,
    spec jsonb not null,                 -- the checked file, every default filled in
    fingerprint text not null,           -- sha256 over what a result depends on
    -- dataset id, counts, classes, hashes, duplicates; notes of prepare and of the tasks
    data jsonb not null,
    weights jsonb not null,              -- model -> store key and sha256
    splits jsonb not null,               -- store key and sha256 of the frozen splits
    created timestamptz not null default clock_timestamp()
);

create table task (
    experiment text not null references experiment on delete cascade,
    model text not null,
    stage text not null check (stage in ('features', 'trial', 'fold', 'final')),
    index int not null check (index >= 0),
    state text not null default 'waiting' check (state in ('waiting', 'running', 'complete', 'pruned', 'failed')),
    attempt int not null default 0,      -- number of the latest; every later write names it
    owner text,                          -- the process that holds the lease
    lease_until timestamptz,
    -- steps (features: images) that are durable: in a checkpoint, or committed
    progress int not null default 0,
    counted int not null default 0,      -- attempts that count, in a row: errors and vanished ones
    counted_at int not null default 0,   -- progress at the last of them
    parameters jsonb,
    value double precision,              -- the metric at the last epoch; if pruned, at that epoch
    metrics jsonb,
    artifact jsonb,                      -- file -> key, sha256, size, etag
    reason text,
    optuna_trial_id int,
    finished timestamptz,
    primary key (experiment, model, stage, index)
);

create table attempt (
    experiment text not null,
    model text not null,
    stage text not null,
    index int not null,
    number int not null,
    owner text not null,
    host text not null,
    machine jsonb,                       -- processor, TensorFlow, device; null until one computes
    scheduler text,                      -- the scheduler's job: its requeued run takes the task
    started timestamptz not null default clock_timestamp(),
    last_beat timestamptz not null default clock_timestamp(),
    ended timestamptz,
    outcome text check (outcome in ('complete', 'pruned', 'interrupted', 'error', 'vanished')),
    reason text,
    first_step int,
    last_step int,
    seconds jsonb,                       -- import, stage, build, train, evaluate, upload
    primary key (experiment, model, stage, index, number),
    foreign key (experiment, model, stage, index) references task on delete cascade
);

create table epoch (
    experiment text not null,
    model text not null,
    stage text not null,
    index int not null,
    epoch int not null,                  -- from 0
    attempt int not null,
    metrics jsonb not null,              -- loss, accuracy, val_loss, val_accuracy, learning_rate
    value double precision,              -- the metric on the validation part
    pruned boolean not null default false,
    bracket int,                         -- hyperband's, if its trials compete at this epoch
    primary key (experiment, model, stage, index, epoch),
    foreign key (experiment, model, stage, index) references task on delete cascade
);

create table selection (
    experiment text not null references experiment on delete cascade,
    model text not null,
    trial int not null,
    value double precision not null,
    parameters jsonb not null,
    made timestamptz not null default clock_timestamp(),
    primary key (experiment, model)
);

-- Each time the test part was opened.
create table opening (
    experiment text not null references experiment on delete cascade,
    model text not null,
    stage text not null,
    index int not null,
    attempt int not null,
    opened timestamptz not null default clock_timestamp(),
    primary key (experiment, model, stage, index, attempt)
);

-- For reads that would cost more with every finished trial: a sampler's, a pruner's, and what is
-- left.
create index task_best on task (experiment, model, value) where stage = 'trial' and state = 'complete';
create index task_spread on task (experiment, model, (mod(index::bigint * 2654435769, 4294967296))) where stage = 'trial' and parameters is not null;
create index task_states on task (experiment, state, model, stage, index);
create index epoch_rivals on epoch (experiment, model, epoch, bracket) where bracket is not null;
create index epoch_values on epoch (experiment, model, epoch, index) include (value) where stage = 'trial';

create trigger optuna_follows_task after update of state, parameters, value, reason on task
for each row when (new.optuna_trial_id is not null) execute function optuna_follows_task();

create trigger optuna_follows_epoch after insert on epoch
for each row when (new.stage = 'trial' and new.value is not null) execute function optuna_follows_epoch();
