"""slurm/site.env: how each runtime calls `job`, with stand-ins for the containers' programs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SLURM = Path(__file__).parents[2] / "slurm"
STAND_IN = """#!/bin/sh
printf '%s\\n' "${0##*/}" "$@"
env | sed 's/^/variable /'
"""
TASK = "job trial --index 0"
CALLS = {
    "apptainer": (
        "apptainer exec --nv --cleanenv --no-home --env-file {here}/environment"
        f" --bind={{top}} --bind={{node}} --bind=/data --pwd {{top}} {{top}}/image {TASK}"
    ),
    "charliecloud": (
        "ch-run --unset-env=* --set-env --set-env=HOME={here} --set-env={here}/environment"
        f" --bind={{top}} --bind={{node}} --bind=/data --cd={{top}} {{top}}/image -- {TASK}"
    ),
    "pyxis": (
        "srun --export=ALL --ntasks=1 --container-image={top}/image"
        " --container-mounts={top}:{top},{node}:{node},/data:/data --container-workdir={top}"
        f" --no-container-mount-home --no-container-entrypoint {TASK}"
    ),
    "venv": TASK,
}
SITE = """BINDS=(/data)
IMAGE=$PWD/image
VENV=$PWD
SCRATCH=$PWD
export JOB_STORE_URL='s3://bucket/a b' AWS_REGION=eu PYTHONPATH=$PWD/own
"""


@pytest.fixture
def top(tmp_path):
    """Return a folder with slurm/ and stand-ins for the containers' programs."""
    shutil.copytree(SLURM, tmp_path / "slurm")
    (tmp_path / "bin").mkdir()
    for name in ("apptainer", "ch-run", "srun", "job"):
        (tmp_path / "bin" / name).write_text(STAND_IN)
        (tmp_path / "bin" / name).chmod(0o755)
    with open(tmp_path / "slurm" / "site.env", "a") as file:
        file.write(SITE)
    return tmp_path


def call(top, runtime: str, then: str = "become_job trial --index 0") -> list[str]:
    """Return what is called, and the variables it sees, as lines."""
    environ = {"PATH": f"{top}/bin:{os.environ['PATH']}", "HOME": "/home/me"}
    environ |= {"PYTHONPATH": "/mine", "JOB_STORE_URL": "file:///mine"}
    environ |= {"SLURM_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3"}
    environ |= {"CUDA_VISIBLE_DEVICES": "1", "AWS_SECRET_ACCESS_KEY": "leaked"}
    script = f". slurm/run.sh\nRUNTIME={runtime}\n{then}\n"
    done = bash("-c", script, cwd=top, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def bash(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run bash, and return what it printed."""
    command = ["bash", *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("runtime", CALLS)
def test_the_command_line_of_a_runtime(top, runtime):
    """The program is called by name, never through ENTRYPOINT.

    The command line holds no value of the environment and not the user's HOME.
    """
    node = f"{top}/job-{os.getuid()}"
    lines = call(top, runtime)
    called = [line for line in lines if not line.startswith("variable ")]
    assert " ".join(called) == CALLS[runtime].format(here=f"{node}/17", node=node, top=top)


@pytest.mark.parametrize("runtime", CALLS)
def test_the_environment_of_a_runtime(top, runtime):
    """The program sees what the site's file and Slurm set, but not what the shell had."""
    if runtime in ("apptainer", "charliecloud"):  # by file, of mode 0600
        then = "write_environment x; stat -c %a $here/environment; cat $here/environment"
        lines = call(top, runtime, then)
        assert lines[0] == "600"
        seen = dict(line.replace("'", "").partition("=")[::2] for line in lines[1:])
        assert not {"PATH", "HOME", "LD_LIBRARY_PATH"} & seen.keys(), "the image knows better"
    else:
        lines = [line for line in call(top, runtime) if line.startswith("variable ")]
        seen = dict(line.removeprefix("variable ").partition("=")[::2] for line in lines)
    assert (seen["JOB_STORE_URL"], seen["AWS_REGION"]) == ("s3://bucket/a b", "eu")
    assert (seen["SLURM_JOB_ID"], seen["SLURM_ARRAY_TASK_ID"]) == ("17", "3")
    assert seen["CUDA_VISIBLE_DEVICES"] == "1"
    assert seen["JOB_SCHEDULER_JOB"] == "slurm - 17"
    assert seen["JOB_CACHE_DIR"] == f"{top}/job-{os.getuid()}/cache"
    assert seen["PYTHONPATH"] == f"{top}/own", "the site's value, not the shell's"
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    if runtime == "venv":
        assert seen["HOME"] == seen["TMPDIR"] == f"{top}/job-{os.getuid()}/17"


def test_nothing_temporary_is_left(top):
    """A job's folder is removed with it; the cache of the node stays."""
    call(top, "venv", "mkdir -p $JOB_CACHE_DIR; (become_job plan)")
    assert [p.name for p in (top / f"job-{os.getuid()}").iterdir()] == ["cache"]


# How a runtime reads the file: Apptainer as a shell, Charliecloud line by line, less one quote at
# each end of a value.
READERS = {
    "apptainer": """#!/bin/bash
for word; do case $word in */environment) . "$word" ;; esac; done
printf %s "$AWS_REGION"
""",
    "ch-run": """#!/bin/bash
for word; do
    case $word in --set-env=*/environment)
        sed -n "s/^AWS_REGION='\\(.*\\)'$/\\1/p" "${word#--set-env=}" | tr -d '\\n' ;;
    esac
done
""",
}


@pytest.mark.parametrize(
    ("runtime", "program"), [("apptainer", "apptainer"), ("charliecloud", "ch-run")]
)
def test_a_value_may_hold_quotes(top, runtime, program):
    """Quotes, dollars and backslashes in a value of the site's file arrive unchanged.

    A value of several lines does too, where the runtime supports it.
    """
    (top / "bin" / program).write_text(READERS[program])
    for value in ("""it's '$HOME' "and\\ `more`&""", "''", "two\nlines"):
        environ = {"PATH": f"{top}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
        (top / "value").write_text(value)
        lines = [". slurm/run.sh", f"RUNTIME={runtime}", 'export AWS_REGION="$(<value)"']
        script = "\n".join([*lines, "become_job trial", ""])
        done = bash("-c", script, cwd=top, env=environ)
        if runtime == "charliecloud" and "\n" in value:
            assert done.returncode == 78
            assert "AWS_REGION has several lines: charliecloud takes one" in done.stderr
        else:
            assert (done.returncode, done.stdout) == (0, value), done.stderr


# What a shell may export that changes every script.
SHELLS = {
    "strict": {"SHELLOPTS": "errexit:nounset:pipefail:noglob:noclobber"},
    "traced": {"SHELLOPTS": "xtrace:verbose:allexport"},
    "names": {"BASHOPTS": "failglob:nocasematch:inherit_errexit:extdebug"},
    "posix": {"SHELLOPTS": "posix", "POSIXLY_CORRECT": "1"},
    "folders": {"CDPATH": "elsewhere", "GREP_OPTIONS": "--invert-match", "ENV": "elsewhere/env"},
    "read-only": {"BASH_ENV": "elsewhere/env"},
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_options_of_a_shell_change_no_script(top, shell):
    """Whatever options the shell exports, scripts do the same and log no value."""
    (top / "elsewhere" / "slurm").mkdir(parents=True)
    (top / "elsewhere" / "env").write_text("readonly TMOUT=600; export TMOUT\n")
    (top / "elsewhere" / "slurm" / "run.sh").write_text("echo of another project; exit 3\n")
    shutil.copy(top / "slurm" / "task.sbatch", top / "slurm_script")
    environ = {"PATH": f"{top}/bin:{os.environ['PATH']}", "HOME": "/home/me"}
    environ |= {"SLURM_JOB_ID": "17"} | SHELLS[shell]
    for command, first in (
        (["slurm/submit.sh", "--help"], "slurm/submit.sh EXPERIMENT.toml [options]"),
        (["./slurm_script", "trial"], "job"),
    ):
        done = bash(*command, cwd=top, env=environ)
        assert (done.returncode, done.stdout.partition("\n")[0]) == (0, first), done.stderr
        assert "bucket" not in done.stderr
        assert "variable TMOUT" not in done.stdout
        assert "OPTS" not in done.stdout


def test_a_link_in_scratch_is_not_followed(top):
    """A link under this user's name is refused, since others may have made it.

    Its target stays as it is.
    """
    home = top / "home"
    home.mkdir(mode=0o755)
    (top / f"job-{os.getuid()}").symlink_to(home)
    done = bash("-c", ". slurm/run.sh", cwd=top, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, "is a link: remove it" in done.stderr) == (78, True)
    assert home.stat().st_mode & 0o777 == 0o755
    assert not list(home.iterdir())
