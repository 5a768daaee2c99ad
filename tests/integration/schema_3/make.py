"""Make dump.sql and store.tar.gz: an experiment half done, in a database of schema version 3.

Run it from a checkout of commit 771b148, with this folder copied into it:
`PYTHONPATH=tests python tests/integration/schema_3/make.py`.
"""

import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from world import Site, wait_for

from job.coordination.database import Database
from job.coordination.registered import Worker, find
from job.coordination.tasks import Tasks
from job.experiment.task import Key
from job.local.embedded import Postgres
from job.local.postgres import binaries

HERE = Path(__file__).parent
KEY = ("--restrict-key", "half")
MIDDLE = 60  # of 200 steps


def main() -> None:
    with tempfile.TemporaryDirectory() as name, Postgres(Path(name, "servers")) as server:
        folder = Path(name, "work")
        folder.mkdir()
        for file in ("half.toml", "net.py"):
            shutil.copy(HERE / file, folder)
        site = place(folder, server.url)
        run(site)
        dump(site.database_url)
        pack(folder / "store")


def place(folder: Path, database_url: str) -> Site:
    """Return a site whose store is a folder."""
    own = {
        "JOB_DATABASE_URL": database_url,
        "JOB_STORE_URL": f"file://{folder}/store",
        "JOB_CACHE_DIR": str(folder / "cache"),
        "JOB_EXPERIMENT": "half",
        "JOB_LEASE_S": "4",
        "JOB_CHECKPOINT_S": "0.2",
        "JOB_WAIT_S": "30",
    }
    return Site(database_url, own["JOB_STORE_URL"], os.environ | own, folder)


def run(site: Site) -> None:
    """Do a half of the experiment: one model nearly, of the other some trials, each its own way."""
    site.job("prepare", "half.toml", check=0)
    database = Database(site.database_url, 10)
    for index in range(5):
        site.job("trial", "--model", "net", "--index", index, check=0)
    for stage in ("fold", "final"):
        site.job(stage, "--model", "net", "--index", 0, check=0)
    for index in (0, 1):
        site.job("trial", "--model", "cnn", "--index", index, check=0)
    end(site, database, 2, signal.SIGTERM, 75)
    end(site, database, 3, signal.SIGKILL, -9)
    registered = find(database, "half")
    for _ in range(3):
        attempt = Tasks(database, registered, Worker(), 60, 0).claim(Key("cnn", "trial", 4))
        attempt.error("an error of the test")


def end(site: Site, database: Database, index: int, number: int, code: int) -> None:
    """End a trial of the cnn by a signal, in the middle and after a checkpoint."""
    progress = "select progress from task where (model, stage, index) = ('cnn', 'trial', %(i)s)"
    child = site.start("trial", "--model", "cnn", "--index", index)
    wait_for(lambda: database.rows(progress, i=index)[0]["progress"] > MIDDLE)
    child.send(number)
    child.wait(check=code)


def dump(database_url: str) -> None:
    """Write dump.sql, without the name of this machine."""
    Database(database_url, 10).rows("update attempt set host = 'old-host'")
    url = urlsplit(database_url)
    where = ["-h", url.hostname, "-p", str(url.port), "-U", url.username, url.path[1:]]
    text = subprocess.run(
        [binaries() / "pg_dump", "--no-owner", "--no-privileges", "--inserts", *KEY, *where],
        env=os.environ | {"PGPASSWORD": url.password},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    (HERE / "dump.sql").write_text(text)


def pack(folder: Path) -> None:
    """Write store.tar.gz, with the nanoseconds of each file's time: they are its etag."""
    with tarfile.open(HERE / "store.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            ns = path.stat().st_mtime_ns
            info.size = path.stat().st_size
            info.pax_headers["mtime"] = f"{ns // 10**9}.{ns % 10**9:09}"
            with open(path, "rb") as file:
                archive.addfile(info, file)


if __name__ == "__main__":
    main()
