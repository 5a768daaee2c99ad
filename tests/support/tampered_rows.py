"""What is done to the tables of a finished experiment, and the violations that it is.

The experiment is that of tests/integration/test_verify.py.
"""

TRIAL_3 = "(model, stage, index) = ('cnn', 'trial', 3)"
NEW_ETAG = """
update task set artifact = jsonb_set(artifact, '{result.json,etag}', '"x"') where stage = 'final'
"""
# What is done to the tables: the statement, and patterns of the violations by promise.
ROWS = {
    "a task too few": (
        "delete from task where (stage, index) = ('fold', 1)",
        {"exactly N": "cnn fold has 1 tasks, not the plan's 2: missing 1"},
    ),
    "a task too many": (
        "insert into task (experiment, model, stage, index) "
        "select id, 'cnn', 'final', 1 from experiment",
        {"exactly N": "cnn final has 2 tasks, not the plan's 1: extra 1"},
    ),
    "a trial too many": (
        "insert into trials (number, study_id, state) select 7, study_id, 'WAITING' from studies",
        {"exactly N": "has 8 trials, not 7"},
    ),
    "Optuna's state": (
        "update trials set state = 'RUNNING' where number = 3",
        {"exactly N": "trial 3 is RUNNING, but its task is complete"},
    ),
    "Optuna's value": (
        "update trial_values set value = 2",
        {"exactly N": r"trial 0 has the value \[2\]"},
    ),
    "Optuna's parameter": (
        "update trial_params set param_value = 0.5",
        {"exactly N": "trial 0 has other parameters than its task"},
    ),
    "Optuna's steps": (
        "delete from trial_intermediate_values where step = 2",
        {"exactly N": "trial 0 has intermediate values that differ"},
    ),
    "a gap in the attempts": (
        f"update attempt set number = 2 where {TRIAL_3}; "
        f"update task set attempt = 2 where {TRIAL_3}",
        {
            "done is done": "cnn trial 3 has the attempts 2, not 1 to 2",
            "one owner": "epochs by unknown attempts: 1",
        },
    ),
    "two finished attempts": (
        f"""
        update attempt set number = 2 where {TRIAL_3};
        update task set attempt = 2 where {TRIAL_3};
        insert into attempt select experiment, model, stage, index, 1, owner, host, machine,
               scheduler, started - interval '1 h', last_beat, started, outcome, reason, 0, 0,
               seconds
        from attempt where {TRIAL_3}""",
        {"done is done": r"cnn trial 3 has two finished attempts \(1, 2\)"},
    ),
    "an attempt after the end": (
        f"""
        insert into attempt (experiment, model, stage, index, number, owner, host, ended,
                             outcome, first_step, last_step)
        select experiment, model, stage, index, 2, 'x', 'x', clock_timestamp(),
               'interrupted', 0, 0
        from task where {TRIAL_3};
        update task set attempt = 2 where {TRIAL_3}""",
        {
            "done is done": "cnn trial 3 was finished by attempt 1, but attempt 2 came after it|"
            "but attempt 2 began after that"
        },
    ),
    "a decided task no attempt decided": (
        f"update attempt set outcome = 'vanished' where {TRIAL_3}",
        {"done is done": "cnn trial 3 is complete, but no attempt decided it"},
    ),
    "an end without an outcome": (
        f"update attempt set outcome = null where {TRIAL_3}",
        {"done is done": "an end but no outcome|no attempt decided it"},
    ),
    "a failure without a reason": (
        "update task set state = 'failed', reason = null where stage = 'final'",
        {
            "done is done": "cnn final 0 is failed without a reason|"
            "cnn final 0 is failed, but attempt 1 finished it"
        },
    ),
    "an owner after the end": (
        f"update task set lease_until = now() where {TRIAL_3}",
        {"done is done": "cnn trial 3 is complete and still has an owner or a lease"},
    ),
    "two at work": (
        f"update attempt set ended = null, outcome = null where {TRIAL_3}",
        {
            "one owner": "the attempts without an end are: 1",
            "done is done": "no attempt decided it",
        },
    ),
    "attempts that overlap": (
        f"""
        insert into attempt select experiment, model, stage, index, 2, owner, host, machine,
               scheduler, started, last_beat, ended, outcome, reason, 0, last_step, seconds
        from attempt where {TRIAL_3};
        update attempt set outcome = 'interrupted' where {TRIAL_3} and number = 1;
        update task set attempt = 2 where {TRIAL_3};
        update epoch set attempt = 2 where {TRIAL_3} and epoch < 2""",
        {
            "one owner": "attempt 2 began before attempt 1 ended|"
            "has epoch 2 by attempt 1 after epoch 1 by attempt 2"
        },
    ),
    "an epoch lost": (
        "delete from epoch where (stage, index, epoch) = ('fold', 0, 1)",
        {
            "epochs": "cnn fold 0 has the epochs 0, 2: not contiguous from 0|"
            "cnn fold 0 is complete with 2 of 3 epochs"
        },
    ),
    "a pruned trial that was not to end": (
        "update epoch set pruned = false where pruned",
        {"epochs": "cnn trial 5 was pruned, but of [123] epochs these are marked as pruned: none"},
    ),
    "a complete trial that was to end": (
        f"update epoch set pruned = true where {TRIAL_3} and epoch = 1",
        {"epochs": "cnn trial 3 is complete, but epoch 1 of 6 is marked as its last"},
    ),
    "another value": (
        "update task set value = 0.001 where (stage, index) = ('trial', 5)",
        {"epochs": "cnn trial 5 has the value 0.001, but its last epoch"},
    ),
    "progress beyond the plan": (
        "update task set progress = 1000 where stage = 'final'",
        {"epochs": "is at step 1000, beyond the 150 of its plan"},
    ),
    "progress behind an attempt": (
        "update task set progress = 1 where stage = 'final'",
        {"epochs": "is at step 1, but its attempt 1 went from 0 to 150"},
    ),
    "a file its row does not name": (
        "update task set artifact = artifact - 'model.keras' where (stage, index) = ('fold', 0)",
        {"bytes first": "cnn fold 0 names no model.keras"},
    ),
    "a file of a foreign folder": (
        "update task set artifact = "
        "(select artifact from task where (stage, index) = ('fold', 1)) "
        "where (stage, index) = ('fold', 0)",
        {
            "bytes first": "cnn fold 0 names files that do not come "
            "from a single attempt of this task"
        },
    ),
    "another etag": (
        NEW_ETAG,
        {
            "bytes first": "cnn final 0 names result.json, "
            "but the store has another object of this size"
        },
    ),
    "an artifact that cannot be read": (
        "update task set artifact = '{\"result.json\": 1}' where stage = 'final'",
        {"bytes first": "cnn final 0 cannot be checked"},
    ),
    "artifacts of another form": (
        "update task set artifact = '[1]' where stage = 'final'",
        {"bytes first": "cnn final 0 names no result.json"},
    ),
    "data that cannot be read": (
        "update experiment set data = '{}'",
        {"data": "the experiment's row cannot be read"},
    ),
    "data without its files": (
        "update experiment set data = jsonb_set(data, '{files,train-images.npy}', '1')",
        {"data": "cannot be checked to the end"},
    ),
    "a specification that cannot be read": (
        "update experiment set spec = jsonb_set(spec, '{threads}', '0')",
        {"exactly N": "the stored specification cannot be read: threads = 0"},
    ),
    "another selection": (
        "update selection s set trial = t.index, value = t.value, parameters = t.parameters "
        "from task t where t.stage = 'trial' and t.index = 5",
        {"selection": "cnn uses trial 5, but its best complete trial is"},
    ),
    "a selection too early": (
        "update selection set made = made - interval '1 day'",
        {"selection": "cnn was selected before trial 0 was finished"},
    ),
    "a selection changed later": (
        "update selection set made = now()",
        {"selection": "cnn fold 0 began before the selection was made"},
    ),
    "no selection": (
        "delete from selection",
        {"selection": "cnn has no selection, but fold 0 has begun"},
    ),
    "other parameters": (
        """
        update task set parameters = '{"learning_rate": 0.5}'
        where (stage, index) = ('fold', 1)""",
        {"selection": "cnn fold 1 has other parameters than the selection"},
    ),
    "the test part opened by a fold": (
        "insert into opening (experiment, model, stage, index, attempt) "
        "select id, 'cnn', 'fold', 0, 1 from experiment",
        {"the test part is locked": "by cnn fold 0, attempt 1, is not by a final"},
    ),
    "the test part opened by nobody": (
        "insert into opening (experiment, model, stage, index, attempt) "
        "select id, 'cnn', 'final', 0, 7 from experiment",
        {"the test part is locked": "by cnn final 0, attempt 7, is by an unknown attempt"},
    ),
    "a final that never opened it": (
        "delete from opening",
        {"the test part is locked": "cnn final 0 is complete, but never opened the test part"},
    ),
    "another specification": (
        "update experiment set spec = jsonb_set(spec, '{seed}', '9')",
        {"data": "the specification in the database is not the one its fingerprint was made of"},
    ),
    "splits of another place": (
        """update experiment set splits = jsonb_set(splits, '{key}', '"data/none"')""",
        {"data": "data/none is not in the store"},
    ),
    "a URL with a password": (
        "update attempt set reason = 'no postgresql://me:secret@host/db' where stage = 'final'",
        {"nothing leaks": "cnn final 0, attempt 1, holds a URL with a password"},
    ),
}
