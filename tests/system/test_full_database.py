"""PostgreSQL on a full disk, a real one that root must mount. Run by `make test-system`."""

import subprocess
import threading
import time

import pytest

from job.coordination.database import Database
from job.errors import Unreachable
from job.local.embedded import Postgres


@pytest.fixture
def server(tmp_path):
    """PostgreSQL on its own file system of 160 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", folder], check=True)
    try:
        with Postgres(folder) as server:
            yield server
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_under_the_database(server):
    """Writes to a full disk are retried until there is room; without patience an error says why."""
    database = Database(server.url, outage_s=60)
    database.rows("create schema job; create table job.big (key int primary key, bytes text)")
    filler = server.folder.parent / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(1 << 16))
    insert = (
        "insert into big values (%(key)s,"
        " (select string_agg(md5(i::text), '') from generate_series(1, 5000) i))"
        " on conflict do nothing"
    )
    sentence = "cannot serve us now: could not extend file .*: No space left on device"
    with pytest.raises(Unreachable, match=sentence):
        for key in range(100):
            database.transaction(lambda cursor: cursor.execute(insert, {"key": key}), patience_s=0)
    waits = threading.Event()
    patient = Database(server.url, outage_s=60, sleep=lambda s: (waits.set(), time.sleep(s)))

    def write() -> None:
        for key in range(1000, 1020):
            patient.rows(insert, key=key)

    writer = threading.Thread(target=write)
    writer.start()
    assert waits.wait(30)
    filler.unlink()
    writer.join(60)
    assert database.rows("select count(*)::int as n from big where key >= 1000") == [{"n": 20}]
