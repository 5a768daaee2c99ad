"""Real servers for the tests: one PostgreSQL and one S3 a session, a database and a prefix a test."""

import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

TINY = """
name = "tiny"
seed = 3
threads = 1
[data]
source = "images.npz"
[search]
trials = 2
pruner = "none"
[folds]
count = 2
[parameters]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = [16, 32]
[models.cnn]
epochs = 40
blocks = 1
width = 4
units = 8
augment = { shift = 0.1, flip = true, rotation = 10, zoom = 0.1, shear = 0.1 }
[models.mobilenetv2]
epochs = 3
input_size = 32
alpha = 0.35
"""

SMALL = """
name = "small"
threads = 1
[data]
source = "digits"
[search]
trials = 1
[models.cnn]
epochs = 1
width = 2
blocks = 1
batch_size = 256
learning_rate = 0.01
"""


@dataclass(frozen=True)
class Site:
    """A database and a store of a test's own, and how to call `job` on them."""

    database_url: str
    store_url: str
    environ: dict
    folder: Path

    def job(self, *arguments, check: int | None = None, **environ) -> subprocess.CompletedProcess:
        """Run `python -m job ...` to its end; with `check`, expect this exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "job", *map(str, arguments)],
            env=self.environ | environ,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=300,
        )
        if check is not None:
            assert done.returncode == check, f"exit {done.returncode}, expected {check}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *arguments, **environ) -> subprocess.Popen:
        """Start `python -m job ...`."""
        return subprocess.Popen(
            [sys.executable, "-m", "job", *map(str, arguments)],
            env=self.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """An embedded PostgreSQL."""
    from job.embedded import Postgres

    with Postgres(tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An embedded S3."""
    from job.embedded import S3

    with S3(tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture
def database_url(postgres):
    """An empty database."""
    import psycopg2

    name = f"t{uuid.uuid4().hex}"
    _execute(psycopg2.connect(postgres.url), f"create database {name}")
    yield postgres.url.rpartition("/")[0] + f"/{name}"
    _execute(psycopg2.connect(postgres.url), f"drop database {name} with (force)")


@pytest.fixture
def s3_environ(s3, monkeypatch):
    """The variables that lead boto3 to the embedded S3, here and in children."""
    values = {"AWS_ENDPOINT_URL_S3": s3.endpoint, "AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def site(database_url, s3, s3_environ, tmp_path):
    """A database, a store on S3, a cache: all that a worker needs."""
    store_url = f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOB_", "SLURM_"))}
    environ = (
        clean
        | s3_environ
        | {"JOB_DATABASE_URL": database_url, "JOB_STORE_URL": store_url, "JOB_CACHE_DIR": str(tmp_path / "cache"), "JOB_WAIT_S": "1"}
    )
    return Site(database_url, store_url, environ, tmp_path)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with random MobileNetV2 weights: the architecture is real, the numbers need not be."""
    import keras

    folder = tmp_path_factory.mktemp("weights")
    net = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    net.save_weights(folder / "mobilenetv2_0.35_224_no_top.weights.h5")
    return folder


@pytest.fixture
def tiny(site, weights):
    """A prepared tiny experiment on three kinds of stripes, copies among them."""
    write_images(site.folder / "images.npz")
    (site.folder / "tiny.toml").write_text(TINY)
    site.job("prepare", "tiny.toml", "--weights", weights, check=0)
    site.environ["JOB_EXPERIMENT"] = "tiny"
    return site


@pytest.fixture
def small(site):
    """A site with the smallest experiment on digits, written and not yet prepared."""
    (site.folder / "small.toml").write_text(SMALL)
    site.environ["JOB_EXPERIMENT"] = "small"
    return site


def write_images(path, n=90, n_test=30):
    """Write images of horizontal, vertical and no stripes with noise; test image 0 is a copy of training image 0."""
    rng = np.random.default_rng(0)
    labels = np.arange(n + n_test) % 3
    images = rng.integers(0, 120, (n + n_test, 32, 32, 3), dtype=np.uint8)
    images[labels == 0, ::4] += 120
    images[labels == 1, :, ::4] += 120
    images[n] = images[0]
    labels[n] = labels[0]
    images[3] = images[0]
    np.savez(
        path, x_train=images[:n], y_train=labels[:n], x_test=images[n:], y_test=labels[n:], classes=np.array(["rows", "columns", "none"])
    )


def _execute(connection, statement: str) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
