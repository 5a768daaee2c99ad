"""Real servers for the tests.

A session has one PostgreSQL and one S3; each test has a database and a prefix of its own.
"""

import uuid

import pytest

from job.coordination.database import Database
from job.interrupt import INTERRUPT
from tests.support import forked
from tests.support.experiments import LONG, SMALL, TINY, write_images
from tests.support.long_trials import Long
from tests.support.site import Site
from tests.support.waiting import wait_for


@pytest.fixture(autouse=True)
def nobody_leaves():
    """Reset the exit that a task begins in this process, so that the next test does not see it."""
    yield
    INTERRUPT._until = None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """An embedded PostgreSQL."""
    from job.local.embedded import Postgres

    with Postgres(tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """An embedded S3."""
    from job.local.embedded import S3

    with S3(tmp_path_factory.mktemp("servers")) as server:
        yield server


@pytest.fixture
def database_url(postgres):
    """An empty database."""
    import psycopg2

    name = f"t{uuid.uuid4().hex}"
    _execute(psycopg2.connect(postgres.url), f"create database {name}")
    yield postgres.url.rpartition("/")[0] + f"/{name}"

    def dropped():
        try:
            _execute(psycopg2.connect(postgres.url), f"drop database {name} with (force)")
            return True
        except psycopg2.errors.InsufficientPrivilege:
            return False  # autovacuum works in it, which only a superuser may end

    wait_for(dropped)


@pytest.fixture
def s3_environ(s3, monkeypatch):
    """The variables that lead boto3 to the embedded S3, here and in children."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return s3.variables


@pytest.fixture
def site(database_url, s3, s3_environ, tmp_path):
    """A database, a store on S3, a cache: all that a worker needs."""
    store_url = f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    clean = {k: v for k, v in forked.BEGAN.items() if not k.startswith(("JOB_", "SLURM_"))}
    own = {
        "JOB_DATABASE_URL": database_url,
        "JOB_STORE_URL": store_url,
        "JOB_CACHE_DIR": str(tmp_path / "cache"),
        "JOB_WAIT_S": "1",
    }
    site = Site(database_url, store_url, clean | s3_environ | own, tmp_path)
    yield site
    for child in site.children:
        child.process.kill()
        child.process.wait()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with random MobileNetV2 weights of the real architecture."""
    import keras

    folder = tmp_path_factory.mktemp("weights")
    net = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None)
    net.save_weights(folder / "mobilenetv2_0.35_224_no_top.weights.h5")
    return folder


@pytest.fixture
def tiny(site, weights):
    """A tiny experiment, prepared, on three kinds of stripes with duplicates among them."""
    write_images(site.folder / "images.npz")
    (site.folder / "tiny.toml").write_text(TINY)
    site.job("prepare", "tiny.toml", "--weights", weights, check=0)
    site.environ["JOB_EXPERIMENT"] = "tiny"
    return site


@pytest.fixture
def small(site):
    """A site with the smallest experiment on digits, written but not prepared."""
    (site.folder / "small.toml").write_text(SMALL)
    site.environ["JOB_EXPERIMENT"] = "small"
    return site


@pytest.fixture
def long(site) -> Long:
    """The long experiment, prepared, with short leases and frequent checkpoints."""
    write_images(site.folder / "images.npz")
    (site.folder / "long.toml").write_text(LONG)
    site.job("prepare", "long.toml", check=0)
    site.environ.update(
        JOB_EXPERIMENT="long", JOB_LEASE_S="4", JOB_CHECKPOINT_S="0.2", JOB_WAIT_S="30"
    )
    return Long(site, Database(site.database_url, 10))


def _execute(connection, statement: str) -> None:
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
