"""slurm/submit.sh as a user runs it: from the data to the report, and with every error."""

import json
import os
import re
import shutil
import signal
import subprocess
from itertools import accumulate
from pathlib import Path

import pytest

from job.coordination.outcome import MAX_VANISHED
from tests.slurm.cluster import PLAIN
from tests.slurm.conftest import ROOT
from tests.slurm.desk import environ, processes, words
from tests.support.experiments import SMALL, TINY, write_images
from tests.support.waiting import wait_for

SETTINGS = PLAIN  # MaxArraySize is 3
TWO_TRIALS = SMALL.replace("trials = 1", "trials = 2") + "[folds]\ncount = 2\n"
COUNTED_JOB = """#!/bin/sh
case $1 in
  plan) echo experiment big; echo trial 7 ;;
  trial) echo 1 >>ran; sleep 0.5; echo -1 >>ran ;;
esac
"""


def test_the_whole_chain(desk, site, weights):
    """One command runs every stage to the report, throttled, and shows no secret to others."""
    write_images(desk.folder / "images.npz")
    (desk.folder / "tiny.toml").write_text(TINY)
    desk.add(f"export JOB_WEIGHTS={weights}")
    output = desk.submit("tiny.toml", "--throttle", 2)
    ids = re.search(r"tiny is submitted: (.*)", output)[1].split()
    assert len(ids) == 1 + 2 + 2 + 1 + 1, "4 trials and 4 folds are two arrays each"
    secrets = [
        site.database_url.split(":")[2].partition("@")[0],
        site.environ["AWS_SECRET_ACCESS_KEY"],
    ]
    variables = set()

    def over():
        arguments = "\0".join(part for p in processes() for part in words(p))
        public = desk.cluster.run("scontrol", "show", "job", "--details") + arguments
        assert [s for s in secrets if s in public] == []
        jobs = [environ(p) for p in processes() if "bin/job" in " ".join(words(p)[:2])]
        variables.update(*(job for job in jobs if f"SLURM_SUBMIT_DIR={desk.folder}" in job))
        return not desk.cluster.queue()

    wait_for(over, 380)
    assert {desk.cluster.job(job)["JobState"] for job in ids} == {"COMPLETED"}
    report = json.loads((desk.folder / "out" / "tiny" / "report" / "report.json").read_text())
    folds = {m: len(of["fold"]["folds"]) for m, of in report["models"].items()}
    assert folds == {"cnn": 2, "mobilenetv2": 2}
    assert site.job("verify", "--deep", check=0, JOB_EXPERIMENT="tiny").stdout.count("FAIL") == 0
    assert len([v for v in variables if v.startswith("SLURM_JOB_ID=")]) > 5
    shell = ("PYTHONPATH=", f"HOME={os.environ['HOME']}")
    assert [v for v in variables if v.startswith(shell)] == [], "the submitting shell leaks in"
    at_work = trials_at_work(site)
    assert max(at_work) <= 2, "the throttle holds for the stage, not for each chunk"
    assert [p for p in (desk.folder.parent / "node").glob("job-*/*") if p.name != "cache"] == []


def trials_at_work(site) -> list[int]:
    """Return, for each start of a trial, how many trials were running."""
    from job.coordination.database import Database

    rows = Database(site.database_url, 5).rows(
        "select (select count(*)::int from attempt b where b.stage = 'trial'"
        " and b.started <= a.started and b.ended > a.started) as n"
        " from attempt a where a.stage = 'trial'"
    )
    return [row["n"] for row in rows]


def test_a_site_without_services(desk, site):
    """A chain needs only Slurm and a shared folder: PostgreSQL is a job that can be requeued."""
    (desk.folder / "small.toml").write_text(TWO_TRIALS)
    desk.add(
        "export JOB_DATABASE_URL_FILE=$PWD/services/database-url JOB_STORE_URL=file://$PWD/store",
        "SERVICES_HOST=127.0.0.1  # where it may listen in a test",
    )
    sentence = "no such file; write it with mode 0600, or run slurm/services.sbatch and wait"
    assert sentence in desk.submit("small.toml", check=False)
    services = desk.type("services.sbatch")
    url = desk.folder / "services" / "database-url"
    wait_for(url.exists)
    assert url.stat().st_mode & 0o777 == 0o600
    before = url.read_text()
    desk.submit("small.toml", "--prepare-job", "--count", 2)
    wait_for(lambda: list(desk.folder.rglob("small-trial-*_0.log")))
    desk.cluster.run("scontrol", "requeue", services)
    wait_for(lambda: [line.split()[0] for line in desk.cluster.queue()] == [services])
    report = json.loads((desk.folder / "out" / "small" / "report" / "report.json").read_text())
    cnn = report["models"]["cnn"]
    assert (cnn["trial"]["complete"], len(cnn["final"]["runs"])) == (2, 1)
    place = {
        "JOB_EXPERIMENT": "small",
        "JOB_DATABASE_URL": "",
        "JOB_DATABASE_URL_FILE": str(url),
        "JOB_STORE_URL": f"file://{desk.folder}/store",
    }
    done = site.job("verify", "--deep", **place)
    assert done.returncode == 0, done.stdout
    assert desk.cluster.job(services)["Restarts"] == "1"
    assert before.partition("@")[0] == url.read_text().partition("@")[0]
    desk.cluster.run("scancel", services)
    desk.cluster.wait(services, "CANCELLED")
    services_folder = str(desk.folder / "services")
    wait_for(lambda: not [p for p in processes() if services_folder in " ".join(words(p))])


def test_a_failing_prepare_stops_everything(desk, site):
    """Nothing runs after a failed prepare."""
    (desk.folder / "small.toml").write_text(SMALL.replace('"digits"', '"/no/such/folder"'))
    ids = re.search(r"submitted: (.*)", desk.submit("small.toml", "--prepare-job"))[1].split()
    wait_for(lambda: not desk.cluster.queue())
    first, *others = [desk.cluster.job(job)["JobState"] for job in ids]
    assert first == "FAILED"
    assert others == ["CANCELLED"] * (len(ids) - 1)
    assert [p.name.split("-")[1] for p in desk.folder.rglob("*.log")] == ["prepare"]


def test_a_failing_trial_does_not_stop_the_chain(desk, site):
    """A trial that is killed again and again fails permanently with 70, and the chain continues."""
    (desk.folder / "small.toml").write_text(TWO_TRIALS)
    ids = re.search(r"submitted: (.*)", desk.submit("small.toml"))[1].split()
    element = f"{ids[0]}_1"
    for attempt in range(1, MAX_VANISHED + 1):
        desk.until(element, f"element 1 = cnn trial 1, attempt {attempt}\n")
        os.kill(desk.process(element), signal.SIGKILL)
    assert desk.cluster.wait(element, "FAILED")["ExitCode"] == "70:0"
    assert desk.log(element).count("exit 137: retrying") == MAX_VANISHED
    wait_for(lambda: not desk.cluster.queue(), 300)
    assert {desk.cluster.job(job)["JobState"] for job in ids[1:]} == {"COMPLETED"}
    report = json.loads((desk.folder / "out" / "small" / "report" / "report.json").read_text())
    trial = report["models"]["cnn"]["trial"]
    assert trial | {"complete": 1, "failed": 1} == trial


def test_a_dry_run_prints_every_line(desk):
    """--dry-run prints the chain with its options, submits nothing, and needs no secret."""
    (desk.folder / "big.toml").write_text(SMALL.replace("trials = 1", "trials = 7"))
    (desk.folder / "database-url").unlink()
    options = ("--prepare-job", "--throttle=7", "--partition", "main", "--count=1")
    lines = desk.submit("big.toml", "--dry-run", *options).splitlines()
    assert [line.split()[0] for line in lines] == ["sbatch"] * 8
    assert all("--partition=main" in line for line in lines)
    arrays = [re.search(r"--array=(\S+)", line) for line in lines]
    trials = ["0-2%3", "0-2%2", "0-0%2"]
    folds = ["0-2%4", "0-1%3"]
    assert [a and a[1] for a in arrays] == [None, *trials, *folds, "0-0%7", None]
    after = [re.search(r"--dependency=(\S+) --kill-on-invalid-dep=yes", line) for line in lines]
    assert [a and a[1] for a in after] == [
        None,
        *["afterok:PREPARE"] * 3,
        *["afterok:PREPARE,afterany:TRIAL_0:TRIAL_1:TRIAL_2"] * 2,
        "afterok:PREPARE,afterany:FOLD_0:FOLD_1",
        "afterok:PREPARE,afterany:FINAL",
    ]
    assert lines[3].endswith("slurm/task.sbatch JOB_EXPERIMENT=small JOB_INDEX_OFFSET=6 trial")
    assert (desk.cluster.queue(), (desk.folder / "out").exists()) == ([], False)


def test_a_throttle_below_the_number_of_arrays(desk):
    """Three arrays run no more tasks at a time than --throttle: the third waits for the first.

    A script replaces `job`; Slurm is real.
    """
    (desk.folder / "big.toml").touch()
    job = desk.folder / "bin" / "job"
    job.parent.mkdir()
    job.write_text(COUNTED_JOB)
    job.chmod(0o755)
    desk.add("VENV=$PWD")
    lines = desk.submit("big.toml", "--dry-run", "--throttle=2").splitlines()[1:4]
    assert [re.search(r"--array=(\S+)", line)[1] for line in lines] == ["0-2%1", "0-2%1", "0-0%1"]
    assert ["--dependency=afterany:TRIAL_0 " in line for line in lines] == [False, False, True]
    ids = re.search(r"submitted: (.*)", desk.submit("big.toml", "--throttle=2"))[1].split()
    wait_for(lambda: not desk.cluster.queue())
    assert {desk.cluster.job(job)["JobState"] for job in ids} == {"COMPLETED"}
    steps = [int(line) for line in (desk.folder / "ran").read_text().split()]
    assert len(steps) == 14
    assert max(accumulate(steps)) <= 2


def test_a_typed_script_takes_the_sites_options(desk):
    """A script submits itself with the options of site.env, and typed options take precedence."""
    desk.add(
        "ALL_OPTIONS=(--partition=high)",
        "TASK_OPTIONS=(--mem=100 --time=7)",
        "CPU_OPTIONS=(--mem=100 --time=8)",
        "SERVICES_OPTIONS=(--partition=main)",
    )
    submitted = {}
    for script, options in (
        ("task.sbatch", ["--array=0"]),
        ("cpu.sbatch", []),
        ("services.sbatch", []),
        ("cpu.sbatch", ["--time=9"]),
    ):
        typed = (f"slurm/{script}", "--parsable", "--hold", *options, "NAME=value", "prepare")
        interactive = ("env", "SLURM_JOB_ID=1", "SLURM_MEM_PER_CPU=1")
        job = desk.cluster.run(*interactive, *typed, cwd=desk.folder).strip()
        record = desk.cluster.job(job)
        place = (record["Partition"], record["TimeLimit"], record.get("TresPerNode"))
        submitted[script, *options] = place
        desk.cluster.run("scancel", job)
    assert submitted == {
        ("task.sbatch", "--array=0"): ("high", "00:07:00", None),
        ("cpu.sbatch",): ("high", "00:08:00", None),
        ("services.sbatch",): ("main", "00:08:00", None),
        ("cpu.sbatch", "--time=9"): ("high", "00:09:00", None),
    }
    assert list((desk.folder.parent / "node").glob("job-*/*")) == []


def test_pyxis_on_the_login_node(desk):
    """Steps of submit.sh itself run in the partition and with the time limit of site.env."""
    (desk.folder / "small.toml").write_text(SMALL)
    desk.add(*desk.pyxis(), "CPU_OPTIONS=(--mem=100 --time=8)", "ALL_OPTIONS=(--partition=main)")
    desk.submit("small.toml", "--dry-run", "--partition=high")
    jobs = desk.cluster.run("scontrol", "--oneliner", "show", "job").splitlines()
    steps = [
        dict(word.partition("=")[::2] for word in job.split())
        for job in jobs
        if " JobName=job " in job
    ]
    assert [(step["Partition"], step["TimeLimit"]) for step in steps] == [("high", "00:08:00")]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((), "which experiment? slurm/submit.sh EXPERIMENT.toml"),
        (("no.toml",), "no.toml"),
        (("small.toml", "--throttle", "0"), "--throttle '0': expected a whole number from 1"),
        (("small.toml", "--count"), "--count '': expected a whole number from 1"),
        (("small.toml", "--partition"), "--partition: expected a value"),
        (("small.toml", "--partion=main"), "unknown option '--partion'"),
        (("small.toml", "other.toml"), "one experiment at a time"),
        (("small.toml", "--partition=none"), "invalid partition specified: none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage(desk, arguments, sentence):
    """Wrong usage is one sentence, and no job stays submitted."""
    (desk.folder / "small.toml").write_text(SMALL)
    assert sentence in desk.submit(*arguments, check=False)
    assert desk.cluster.queue() == []


@pytest.mark.parametrize(
    "line, sentence",
    [
        (
            "RUNTIME=docker",
            "RUNTIME = docker in slurm/site.env: expected venv, apptainer, pyxis or charliecloud",
        ),
        ("VENV=/nowhere", "it contains no bin/job; run 'make env'"),
        (
            "SCRATCH=/proc",
            "SCRATCH = /proc in slurm/site.env: expected a folder that this user may write",
        ),
        ("chmod 644 database-url", "mode 644, others can read the secret in it: chmod 600"),
        ("MODULES=(nothing/1)", "module load nothing/1: see MODULES in slurm/site.env"),
        (
            "export JOB_DATABASE_URL=postgresql://a:b@h/d",
            "the file with a secret = slurm/site.env: mode 644",
        ),
    ],
)
def test_a_wrong_site(desk, line, sentence):
    """A wrong site's file is one sentence, and nothing is submitted."""
    (desk.folder / "small.toml").write_text(SMALL)
    desk.add(line)
    assert sentence in desk.submit("small.toml", check=False)
    assert desk.cluster.queue() == []


def test_slurm_takes_every_script(desk):
    """`sbatch --test-only` and shellcheck accept each script."""
    for script in sorted((ROOT / "slurm").glob("*.sbatch")):
        command = ("sbatch", "--test-only", "--mem=100", script.relative_to(ROOT))
        text = desk.cluster.run(*command, check=False, cwd=desk.folder)
        assert re.search(r"Job \d+ to start at", text), f"{script}: {text}"
    files = [p for p in (ROOT / "slurm").iterdir() if p.suffix in (".sh", ".sbatch", ".env")]
    command = [shutil.which("shellcheck") or "shellcheck", "-x", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(files) == len(list(Path(ROOT / "slurm").iterdir()))
