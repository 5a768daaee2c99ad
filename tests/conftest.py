"""Real servers for the tests, and experiments on them in a known state.

A session has one PostgreSQL and one S3; each test has a database and a prefix of its own.
"""

import gc
import importlib

import pytest

from job.coordination.database import Database
from job.interrupt import INTERRUPT
from tests.support.databases import create_database, drop_database
from tests.support.experiments import LONG, SMALL, TINY, TRIAL, write_images
from tests.support.long_trials import Long
from tests.support.prepared import PreparedOnce, RegisteredOnce
from tests.support.servers import HastyPostgres, folder_in_memory
from tests.support.site import new_site

gc.disable()  # until the test files are imported


def pytest_collection_finish():
    """Spare this process what the test files have imported, and what it will read again."""
    importlib.import_module("tests.support.preloaded")
    gc.enable()


@pytest.fixture(autouse=True)
def nobody_leaves():
    """Reset the exit that a task begins in this process, so that the next test does not see it."""
    yield
    INTERRUPT._until = None


@pytest.fixture(scope="session")
def postgres():
    """An embedded PostgreSQL that needs no disk: most tests make and drop a database.

    A test that cuts the power, or ends the server, starts one of its own.
    """
    with folder_in_memory() as folder, HastyPostgres(folder) as server:
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
    url = create_database(postgres.url)
    yield url
    drop_database(url)


@pytest.fixture
def s3_environ(s3, monkeypatch):
    """The variables that lead boto3 to the embedded S3, here and in children."""
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return s3.variables


@pytest.fixture
def stub() -> bool:
    """Whether the processes of the site train nets without TensorFlow; a folder may override it."""
    return False


@pytest.fixture
def site(database_url, s3, s3_environ, tmp_path, stub):
    """A database, a store on S3, a cache: all that a worker needs. Nothing is prepared."""
    site = new_site(database_url, s3, tmp_path, stub)
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


@pytest.fixture(scope="session")
def prepare(postgres, s3, tmp_path_factory):
    """Prepare an experiment at a site: `job prepare` runs once per session, then it is copied."""
    prepared = PreparedOnce(postgres, s3, tmp_path_factory)
    yield prepared
    prepared.drop()


@pytest.fixture(scope="session")
def registered(postgres):
    """Register an experiment in a database: once per session and specification, then copied."""
    registered = RegisteredOnce(postgres)
    yield registered
    registered.drop()


@pytest.fixture
def two_models(site, prepare, weights):
    """A tiny experiment, prepared, on three kinds of stripes with duplicates among them."""
    write_images(site.folder / "images.npz")
    prepare(site, TINY, "--weights", weights)
    return site


@pytest.fixture
def unprepared(site):
    """A site with the smallest experiment on digits, written but not prepared."""
    (site.folder / "small.toml").write_text(SMALL)
    site.environ["JOB_EXPERIMENT"] = "small"
    return site


@pytest.fixture
def digits(site, prepare):
    """The smallest experiment on digits, prepared."""
    prepare(site, SMALL)
    return site


@pytest.fixture
def long_trials(site, prepare) -> Long:
    """The long experiment, prepared, with short leases and frequent checkpoints."""
    write_images(site.folder / "images.npz")
    prepare(site, LONG)
    site.environ.update(JOB_LEASE_S="4", JOB_CHECKPOINT_S="0.2", JOB_WAIT_S="30")
    return Long(site, Database(site.database_url, 10))


@pytest.fixture
def calm_bits(postgres, s3, s3_environ, prepare, tmp_path_factory, stub):
    """Return the bits of a trial of the long experiment that nothing disturbed, by its index."""

    def bits(index: int) -> dict:
        if (index, stub) not in prepare.calm_bits:
            folder = tmp_path_factory.mktemp("calm")
            site = new_site(create_database(postgres.url), s3, folder, stub)
            prepare(site, LONG)
            site.job(*TRIAL, index, check=0)
            bits = Long(site, Database(site.database_url, 10)).bits(index)
            prepare.calm_bits[index, stub] = bits
            drop_database(site.database_url)
        return prepare.calm_bits[index, stub]

    return bits
