"""PostgreSQL on a disk that is full: a real one, so that root is needed to mount it. Run by `make test-system`."""

import subprocess
import threading
import time

import pytest

from job.coordination.database import Database
from job.errors import Unreachable
from job.local.embedded import Postgres


@pytest.fixture
def server(tmp_path):
    """PostgreSQL on a file system of its own, of 160 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", folder], check=True)
    try:
        with Postgres(folder) as server:
            yield server
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_under_the_database(server):
    """Writes onto a full disk are tried again and succeed once there is room; without patience the reason is named."""
    database = Database(server.url, outage_s=60)
    database.rows("create schema job; create table job.big (key int primary key, bytes text)")
    filler = server.folder.parent / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(1 << 16))
    words = "insert into big values (%(key)s, (select string_agg(md5(i::text), '') from generate_series(1, 5000) i)) on conflict do nothing"
    with pytest.raises(
        Unreachable, match="cannot serve us now: could not extend file .*: No space left on device"
    ):
        for key in range(100):
            database.run(lambda cursor: cursor.execute(words, {"key": key}), patience_s=0)
    waits = threading.Event()
    patient = Database(server.url, outage_s=60, sleep=lambda s: (waits.set(), time.sleep(s)))
    writer = threading.Thread(target=lambda: [patient.rows(words, key=1000 + i) for i in range(20)])
    writer.start()
    assert waits.wait(30)
    filler.unlink()
    writer.join(60)
    assert database.rows("select count(*)::int as n from big where key >= 1000") == [{"n": 20}]
