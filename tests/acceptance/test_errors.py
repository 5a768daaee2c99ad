"""Invalid input of each kind: one clear sentence, the right exit code, nothing half-written."""

import json
import subprocess
import sys

import numpy as np
import pytest

from job.coordination.database import Database
from job.storage.store import open_store
from tests.support.experiments import SMALL
from tests.support.site import imports


def sentence(done):
    """Return the one line of ours on standard error; there is no traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("job: ", "Error: "))]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_before_prepare(unprepared):
    """A worker that comes before `prepare` exits with 75 and says what to run."""
    early = unprepared.job("trial", "--index", 0, check=75)
    assert "has no tables yet: run `job prepare" in sentence(early)
    unprepared.job("prepare", "small.toml", check=0)
    other = unprepared.job("trial", "--index", 0, "--experiment", "other", check=75)
    words = "experiment 'other' (from JOB_EXPERIMENT or --experiment) is not in the database yet"
    assert words in sentence(other)


def test_the_database_refuses(unprepared):
    """Wrong password: 78. No server: 69. No setting: 2. The password is never shown."""
    host = unprepared.database_url.rpartition("@")[2]
    refused = unprepared.job(
        "prepare", "small.toml", "--database-url", f"postgresql://job:wrongpw@{host}", check=78
    )
    assert "refused us" in sentence(refused)
    assert "wrongpw" not in refused.stderr
    no_server = {"JOB_DATABASE_URL": "postgresql://u:secretpw@127.0.0.1:9/x", "JOB_OUTAGE_S": "1"}
    away = unprepared.job("prepare", "small.toml", check=69, **no_server)
    assert "cannot be reached" in sentence(away)
    assert "secretpw" not in away.stderr
    assert "JOB_DATABASE_URL (or JOB_DATABASE_URL_FILE) is not set" in sentence(
        unprepared.job("status", check=2, JOB_DATABASE_URL="")
    )


def test_a_read_only_user_is_refused(unprepared, postgres):
    """A user without the right to create tables gets 78 and the reason."""
    database = Database(postgres.url, 5)
    database.rows("drop role if exists reader")
    database.rows("create role reader login password 'x'")
    try:
        refused = unprepared.job(
            "prepare",
            "small.toml",
            check=78,
            JOB_DATABASE_URL=unprepared.database_url.replace(
                postgres.url.partition("@")[0], "postgresql://reader:x"
            ),
        )
        assert "reader may not create the schema job, where our tables are" in sentence(refused)
    finally:
        database.rows("drop role reader")


def test_the_store_refuses(unprepared):
    """A missing bucket and wrong keys: 78; nothing is registered."""
    assert "NoSuchBucket; create the bucket" in sentence(
        unprepared.job("prepare", "small.toml", "--store-url", "s3://absent/x", check=78)
    )
    assert "SignatureDoesNotMatch; check AWS_ACCESS_KEY_ID" in sentence(
        unprepared.job("prepare", "small.toml", check=78, AWS_SECRET_ACCESS_KEY="wrongkey")
    )
    keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "")
    keyless = keys | {"AWS_EC2_METADATA_DISABLED": "true"}
    refused = unprepared.job("prepare", "small.toml", check=78, **keyless)
    assert "needs credentials" in sentence(refused)
    assert Database(unprepared.database_url, 5).rows("select * from experiment") == []


@pytest.mark.parametrize(
    ("size", "width", "blocks", "limit_kb"),
    [
        # TensorFlow itself needs 1.4 GB. The weights of one layer need 0.5 GB while it is built, or
        # the activations of one need 1.5 GB in the first step.
        (32, 320, 5, 2_000_000),
        (96, 160, 1, 2_500_000),
    ],
    ids=["weights", "activations"],
)
def test_a_net_too_large_for_the_memory(unprepared, size, width, blocks, limit_kb):
    """A trial that does not fit is infeasible at once, as `job check` says before."""
    large = SMALL.replace("width = 2", f"width = {width}").replace(
        "blocks = 1", f"blocks = {blocks}"
    )
    (unprepared.folder / "small.toml").write_text(
        large.replace('"digits"', f'"digits"\nimage_size = {size}')
    )
    job = ("-P", "-m", "job")
    looked = run_limited(unprepared, limit_kb, *job, "check", "small.toml")
    assert "out of memory at the costliest point (batch_size 256): a trial like it" in looked.stdout
    unprepared.job("prepare", "small.toml", check=0)
    done = run_limited(unprepared, limit_kb, *job, "trial", "--index", "0")
    assert done.returncode == 0, done.stderr
    database = Database(unprepared.database_url, 5)
    (row,) = database.rows("select state, attempt, reason from task where stage = 'trial'")
    assert (row["state"], row["attempt"]) == ("pruned", 1)
    assert row["reason"].startswith("out of memory with batches of 256: ")
    unprepared.job("verify", "--deep", check=0)


def test_no_memory_to_begin_with(digits):
    """Too little memory to load TensorFlow is reported as that, not as a missing package.

    The exit code is 1, and the attempt counts.
    """
    job = ("-P", "-m", "job")
    done = run_limited(digits, 800_000, *job, "trial", "--index", "0")
    assert (done.returncode, sentence(done)) == (1, OUT_OF_MEMORY)
    done = run_limited(digits, 800_000, *job, "check")
    assert "out of memory (" in done.stdout
    assert "`ulimit -v` allows" in done.stdout


OUT_OF_MEMORY = (
    "job: cnn trial 0: out of memory; give the task more, or search smaller batches and widths"
)


def run_limited(site, limit_kb: int, *arguments: str) -> subprocess.CompletedProcess:
    """Run Python with a limit on its memory, and return what it printed."""
    command = ["sh", "-c", f'ulimit -v {limit_kb} && exec "$@"', "sh", sys.executable, *arguments]
    return subprocess.run(
        command, env=site.environ, cwd=site.folder, capture_output=True, text=True, timeout=300
    )


def test_an_index_beyond_the_stage(digits):
    """An index beyond the stage: 2 from a person, 0 with a warning from a scheduler."""
    assert "trial index 5 (from --index) is not in 0..0" in sentence(
        digits.job("trial", "--index", 5, check=2)
    )
    assert "nothing to do" in digits.job("trial", check=0, JOB_COMPLETION_INDEX="5").stderr
    assert "--index = 'x': expected a whole number from 0" in sentence(
        digits.job("trial", "--index", "x", check=2)
    )
    assert "--model cn (did you mean 'cnn'?)" in sentence(
        digits.job("trial", "--index", 0, "--model", "cn", check=2)
    )


def test_weights_of_another_architecture(unprepared):
    """Weights that do not fit are refused before anything is stored."""
    import h5py

    folder = unprepared.folder / "weights"
    folder.mkdir()
    with h5py.File(folder / "vgg16_no_top.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.zeros(3))
    (unprepared.folder / "small.toml").write_text(
        SMALL.replace(
            "[models.cnn]\nepochs = 1\nwidth = 2\nblocks = 1",
            "[models.vgg16]\nepochs = 1\ninput_size = 32",
        )
    )
    assert "weights vgg16_no_top.weights.h5 do not fit vgg16" in sentence(
        unprepared.job("prepare", "small.toml", "--weights", folder, check=78)
    )
    assert open_store(unprepared.store_url, 5).listing("") == []


def test_a_loss_that_is_not_finite(unprepared):
    """A diverged trial is pruned with its reason, exits with 0 and is not retried.

    Without another trial, folds exit with 70.
    """
    (unprepared.folder / "small.toml").write_text(
        SMALL.replace(
            "learning_rate = 0.01", 'learning_rate = 10\nweight_decay = 10\nschedule = "constant"'
        ).replace("epochs = 1\n", "epochs = 30\n")
    )
    unprepared.job("prepare", "small.toml", check=0)
    unprepared.job("trial", "--index", 0, check=0)
    row = Database(unprepared.database_url, 5).rows(
        "select state, reason from task where stage = 'trial'"
    )[0]
    if row["state"] != "pruned":
        pytest.fail(f"it did not diverge: {row}")
    assert "loss is not finite in epoch" in row["reason"]
    assert (
        "is decided already: pruned (diverged"
        in unprepared.job("trial", "--index", 0, check=0).stderr
    )
    assert "cnn has no complete trial to continue with: 1 pruned" in sentence(
        unprepared.job("fold", "--index", 0, check=70)
    )
    (unprepared.folder / "photo.png").touch()
    assert "cnn will have no trained model" in sentence(
        unprepared.job("predict", "cnn", "photo.png", check=70)
    )
    assert "there will be no winner: cnn: no trial is complete" in sentence(
        unprepared.job("export", "--out", "out", check=70)
    )
    assert "cnn will have no trained model" in sentence(
        unprepared.job("export", "--model", "cnn", "--out", "out", check=70)
    )


def test_altered_data_is_not_trained_on(digits):
    """Staged bytes that differ from those of `prepare` are refused."""
    data = Database(digits.database_url, 5).rows("select data from experiment")[0]["data"]
    store = open_store(digits.store_url, 5)
    key = f"data/{data['id']}/train-images.npy"
    content = bytearray(store.get(key))
    content[-1] ^= 1
    store.put(key, bytes(content))
    assert "the object was altered" in sentence(digits.job("trial", "--index", 0, check=78))


def test_a_row_that_names_a_file_elsewhere(digits):
    """A row cannot make a worker write, read or map a file elsewhere.

    The key is refused in one sentence, and the task is released.
    """
    database = Database(digits.database_url, 5)
    victim = digits.folder / "victim"
    database.rows(
        "update experiment set splits = jsonb_set(splits, '{key}', to_jsonb(%(key)s::text))",
        key=str(victim),
    )
    assert f"the key '{victim}' leads elsewhere" in sentence(
        digits.job("trial", "--index", 0, check=78)
    )
    assert not victim.exists()
    assert database.rows("select state, counted from task where stage = 'trial'") == [
        {"state": "waiting", "counted": 0}
    ]


def test_a_cache_that_cannot_be_used(digits):
    """A cache below a file is invalid; the task is released."""
    assert "JOB_CACHE_DIR = " in sentence(
        digits.job("trial", "--index", 0, "--cache-dir", "/dev/null/x", check=78)
    )
    (task,) = Database(digits.database_url, 5).rows("select state from task where stage = 'trial'")
    assert task["state"] == "waiting"


def test_many_in_turn(unprepared):
    """--count K runs K tasks from I*K on; the exit code of a failed one is that of all."""
    (unprepared.folder / "small.toml").write_text(SMALL.replace("trials = 1", "trials = 3"))
    # It must not be imported in place of the package in a child process.
    (unprepared.folder / "job.py").write_text("raise SystemExit('a file of the user')")
    unprepared.job("prepare", "small.toml", check=0)
    unprepared.job("trial", "--count", 2, check=0, SLURM_ARRAY_TASK_ID="1")
    database = Database(unprepared.database_url, 5)
    rows = database.rows("select state from task where stage = 'trial' order by index")
    assert [row["state"] for row in rows] == ["waiting", "waiting", "complete"]
    unprepared.job("fold", "--index", 0, "--count", 2, check=75)
    database.rows(
        "update task set state = 'failed', reason = 'x', finished = now()"
        " where stage = 'trial' and index = 0"
    )
    database.rows(
        "update task set state = 'running', owner = 'x', lease_until = 'infinity'"
        " where stage = 'trial' and index = 1"
    )
    # The 70 of the first task must not be the code of all.
    unprepared.job("trial", "--index", 0, "--count", 3, check=75)
    database.rows(
        "update task set state = 'waiting', owner = null, lease_until = null"
        " where stage = 'trial' and index = 1"
    )
    unprepared.job("trial", "--index", 0, "--count", 3, check=70)
    unprepared.job("trial", "--experiment", "trial", "--index", 0, "--count", 1, check=75)
    assert unprepared.job("trial", "--index", 1, "--count", 2, check=2).returncode == 2


def test_plan_needs_nothing(unprepared):
    """`job plan` answers without a database."""
    done = unprepared.job(
        "plan", "small.toml", "--json", check=0, JOB_DATABASE_URL="", JOB_STORE_URL=""
    )
    assert json.loads(done.stdout)["fold"] == {"tasks": 5, "models": {"cnn": 5}}


def test_nothing_to_do_imports_nothing_heavy(unprepared):
    """A finished task, and an index too many, import neither TensorFlow, Optuna nor boto3.

    Status and report never import TensorFlow.
    """
    heavy = ("tensorflow", "keras", "optuna", "boto3")
    looking = {"check": 0, "PYTHONPROFILEIMPORTTIME": "1"}
    unprepared.job("prepare", "small.toml", check=0)
    first = unprepared.job("trial", "--index", 0, **looking)
    assert imports(first, *heavy) == ["boto3", "keras", "optuna", "tensorflow"]
    assert imports(unprepared.job("trial", "--index", 0, **looking), *heavy) == []
    assert imports(unprepared.job("trial", **looking, SLURM_ARRAY_TASK_ID="999"), *heavy) == []
    assert imports(unprepared.job("status", **looking), *heavy) == []
    assert (
        imports(unprepared.job("report", "--out", "report", **looking), "tensorflow", "keras") == []
    )
