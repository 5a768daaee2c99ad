"""A real Slurm per test file, and a user's folder for it, with slurm/ and the site's file."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import slurm
from tests.slurm.desk import Desk
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """The Slurm of a test file, with its SETTINGS."""
    with slurm(tmp_path_factory.mktemp("slurm"), request.module.SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def desk(cluster, site, tmp_path):
    """A user's folder with the project's slurm/.

    Its site's file has the settings for this test's servers, with secrets in files.
    """
    folder = tmp_path / "desk"
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    (tmp_path / "node").mkdir()
    credentials = (
        "[default]\n"
        f"aws_access_key_id = {site.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {site.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    for name, text in {"database-url": site.database_url, "credentials": credentials}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    desk = Desk(cluster, site, folder)
    desk.add(
        f"VENV={sys.prefix}",
        "TASK_OPTIONS=(--gres=gpu:1 --mem=100 --time=10)",
        "CPU_OPTIONS=(--mem=100 --time=10)",
        f"SCRATCH={tmp_path / 'node'}",
        "export JOB_DATABASE_URL_FILE=$PWD/database-url",
        "export AWS_SHARED_CREDENTIALS_FILE=$PWD/credentials",
        f"export JOB_STORE_URL={site.store_url}",
        f"export AWS_ENDPOINT_URL_S3={site.environ['AWS_ENDPOINT_URL_S3']}",
        "export JOB_CHECKPOINT_S=0.2",
    )
    if "AWS_CA_BUNDLE" in os.environ:
        desk.add(f"export AWS_CA_BUNDLE={os.environ['AWS_CA_BUNDLE']}")
    yield desk
    cluster.run("scancel", "--user=root", check=False)
    wait_for(lambda: not cluster.queue(), 60)
