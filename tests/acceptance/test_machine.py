"""What the machine lacks is one sentence and an exit code: a package, a right, space, a home.

Only a bug of ours shows a traceback.
"""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from job import __version__
from job.coordination import schema
from job.coordination.database import Database
from job.errors import Invalid
from tests.support.experiments import SMALL

JOB = f"{sys.executable} -m job"
PLAN = f"{JOB} plan small.toml"
REASON = os.strerror(errno.EACCES if os.getuid() else errno.EPERM)
STORE_ENVIRON = (
    "AWS_ENDPOINT_URL_S3=http://h:port AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b"
    " JOB_DATABASE_URL=postgresql://h/d JOB_STORE_URL=s3://b/x"
)
# What the shell runs; the exit code; what is on standard error.
SHORTAGES = {
    "nobody reads": (f"{PLAN} | head -c0; exit ${{PIPESTATUS[0]}}", 1, ""),
    "no output": (f"{PLAN} >&-", 0, ""),
    "no output and no errors": (f"{PLAN} >&- 2>&-", 0, ""),
    "a full disk for output": (
        f"{PLAN} >/dev/full",
        69,
        "job: no space left on the disk that is written to: free some,"
        " then run the command again\n",
    ),
    "a full disk for errors": (f"{JOB} plan none.toml 2>/dev/full", 78, ""),
    "nobody reads the log": (f"{JOB} trial | head -c0; exit ${{PIPESTATUS[0]}}", 2, ""),
    "a folder closed to us": (
        f"{JOB} serve --folder /sys/x --url-file u",
        78,
        f"job: /sys/x: {REASON}; this user ({os.getuid()}) needs the right to it\n",
    ),
    "a name too long": (
        f"JOB_DATABASE_URL= {JOB} dashboard --local /{'x' * 5000}",
        78,
        f'job: "/{"x" * 75}...: File name too long; expected a path\n',
    ),
    "binary for a URL": (
        f"JOB_DATABASE_URL_FILE=binary {JOB} status",
        78,
        "job: JOB_DATABASE_URL_FILE = binary: cannot be read (it is not UTF-8 text);"
        " expected a file holding postgresql://user:***@host:port/database\n",
    ),
    "a port that is none": (
        f"{STORE_ENVIRON} {JOB} gc",
        78,
        "job: the store s3://b/x cannot be opened: Port could not be cast to integer value as"
        " 'port'; check AWS_ENDPOINT_URL_S3 and AWS_REGION\n",
    ),
}


@pytest.mark.parametrize("name", SHORTAGES)
def test_a_shortage(tmp_path, name):
    """Closed, full or unread streams and unusable files get one sentence and no traceback."""
    command, code, words = SHORTAGES[name]
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "SLURM_", "AWS_"))}
    environ = clean | {"JOB_LOG": "json"} if "log" in name else clean
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, words)


def test_a_database_url_written_by_an_editor(site):
    """A byte order mark before a URL or an experiment is ignored."""
    (site.folder / "url").write_bytes(b"\xef\xbb\xbf" + site.database_url.encode() + b"\r\n")
    (site.folder / "small.toml").write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    environ = {"JOB_DATABASE_URL": "", "JOB_DATABASE_URL_FILE": str(site.folder / "url")}
    assert "has no tables yet" in site.job("list", check=75, **environ).stderr
    site.job("plan", "small.toml", check=0)


def test_a_user_without_a_home():
    """The folder of weights is where Keras puts it for a user without a name or a home."""
    code = (
        "import os, job.learning.weights as w; del os.environ['HOME']; os.setuid(12345);"
        " print(w.keras_folder())"
    )
    environ = {k: v for k, v in os.environ.items() if k != "KERAS_HOME"} | {"HOME": "/root"}
    if os.getuid():
        pytest.skip("only root can become a user without a name")
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.stdout == "/tmp/.keras/models\n"


BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in NAMES:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Absent())
"""


def _without(site, *names: str) -> dict:
    """Return the environment of a Python on which packages are not installed."""
    folder = site.folder / "without"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(f"NAMES = {names}\n{BLOCKED}")
    return {"PYTHONPATH": str(folder)}


def test_a_package_that_is_not_installed(unprepared):
    """A missing package is named with the command that installs it: 78.

    The task is released uncounted, since three counted attempts would fail it permanently.
    """
    for command, name, extra in (
        (("list",), "psycopg2", ""),
        (("status",), "rich", ""),
        (("dashboard",), "optuna_dashboard", "[local]"),
    ):
        done = unprepared.job(*command, check=78, **_without(unprepared, name))
        assert f"run `pip install 'image-tuning-job{extra}'`" in done.stderr
        assert "Traceback" not in done.stderr
    unprepared.job("prepare", "small.toml", check=0)
    done = unprepared.job(
        "trial", "--index", 0, check=78, **_without(unprepared, "tensorflow", "keras")
    )
    assert (
        "job: the package keras is not installed:"
        " run `pip install 'image-tuning-job[cpu]'`, or [gpu]"
    ) in done.stderr
    assert "Traceback" not in done.stderr
    rows = Database(unprepared.database_url, 5)
    assert rows.rows("select state, counted from task where stage = 'trial'") == [
        {"state": "waiting", "counted": 0}
    ]
    assert [r["outcome"] for r in rows.rows("select outcome from attempt")] == ["interrupted"]


def test_a_bug_of_ours(site):
    """A bug shows its traceback, where to report it, and with which version and command.

    It shows no password.
    """
    folder = site.folder / "bug"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import job.experiment.specification\n"
        "def load(path): raise KeyError('oh')\n"
        "job.experiment.specification.load = load\n"
    )
    done = site.job("plan", "x.toml", check=1, PYTHONPATH=str(folder), JOB_DATABASE_URL="")
    assert "this is a bug of ours" in done.stderr
    assert "the project's issues" in done.stderr
    assert f"job {__version__}" in done.stderr
    assert "`job plan x.toml`" in done.stderr
    assert "KeyError: 'oh'" in done.stderr


def test_a_signal_at_any_moment(site):
    """Ctrl-C ends a command at any moment without a traceback of ours."""
    for delay_s in (0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15):
        child = site.start("list")
        time.sleep(delay_s)  # any moment of its work will do
        child.send(signal.SIGINT)
        assert child.wait() in (75, -signal.SIGINT, 1)
        assert "job/" not in child.text().partition("Traceback")[2], child.text()


def test_a_postgresql_that_is_too_old(database_url, monkeypatch):
    """A server older than the tables need is refused by its version, before anything is created."""
    monkeypatch.setattr(schema, "OLDEST_POSTGRESQL", 990000)
    with pytest.raises(Invalid, match=r"PostgreSQL 1[5-9]\.\d.* 99 or newer"):
        Database(database_url, 5).create_schema()
    assert Database(database_url, 5).rows("select to_regclass('job_schema') as found") == [
        {"found": None}
    ]
