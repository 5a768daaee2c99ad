"""Downloads: complete or absent, fetched once, and no secret of their URL is shown."""

import hashlib
import http.server
import os
import socket
import threading

import pytest

from job import errors
from job.data import buckets, downloads
from job.data.formats import cifar10
from tests.support.cifar_archive import cifar_files
from tests.support.datasets import read_source, refused, two_classes, write_tar, write_zip


class Server(http.server.BaseHTTPRequestHandler):
    """Serve `files` of the server; /short.zip breaks off, /503.zip is busy."""

    def do_GET(self):
        """Answer as `files` and the path say."""
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        data = self.server.files.get(path)
        if path == "/503.zip" or data is None:
            self.send_error(503 if path == "/503.zip" else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (path == "/short.zip") * 9))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def server(monkeypatch):
    """Yield a local web server with .url, .files and .asked."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.files = {}
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def content_of(path) -> bytes:
    """Return the bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


def test_a_url_is_downloaded_once(tmp_path, server):
    """An archive at a URL is read from the cache the second time; nothing else is left there."""
    server.files["/x/pets.zip"] = content_of(write_zip(tmp_path / "pets.zip", two_classes()))
    cache = tmp_path / "cache"
    for _ in range(2):
        read = read_source(f"{server.url}/x/pets.zip?token=secret", cache_dir=cache)
    assert read.name == "pets.zip"
    assert read.classes == ("cat", "dog")
    assert server.asked == ["/x/pets.zip"]
    assert len([p for p in os.listdir(cache / "downloads") if not p.startswith(".")]) == 1


def stranger(path, content):
    """Replace a download by a file with other content."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def plant(copy, _):
    """Put foreign bytes in its place."""
    stranger(copy, b"planted")


def empty(copy, _):
    """Truncate it."""
    copy.write_bytes(b"")


def remove_note(_, note):
    """Remove the note of its hashes."""
    note.unlink()


def change_note(_, note):
    """Replace the note of its hashes."""
    note.write_text("[]")


def make_link(copy, _):
    """Replace it by a link to it."""
    copy.rename(copy.with_name("x"))
    copy.symlink_to("x")


@pytest.mark.parametrize("harm", [plant, empty, remove_note, change_note, make_link])
def test_a_copy_that_is_not_what_came(tmp_path, server, harm, caplog):
    """A cached download that was altered, or lacks a valid note of its hashes, is fetched again."""
    server.files["/a.zip"] = b"abc"
    (copy,) = {downloads.fetch_once(f"{server.url}/a.zip", tmp_path / "cache") for _ in range(2)}
    assert len(server.asked) == 1
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    harm(copy, copy.with_name(f".{copy.name}.hashes"))
    for _ in range(2):
        assert (
            downloads.fetch_once(f"{server.url}/a.zip", tmp_path / "cache").read_bytes() == b"abc"
        )
    assert len(server.asked) == 2
    assert not copy.is_symlink()
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [
        f"{copy} is not what was downloaded, or has no note of its hashes: downloading it again"
    ]


def test_no_download_goes_into_a_folder_of_others(tmp_path, server):
    """A cache that others may write is refused before anything is read from or written to it."""
    server.files["/a.zip"] = b"abc"
    downloads.fetch_once(f"{server.url}/a.zip", tmp_path / "cache")
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(errors.Invalid, match="others may write there"):
        downloads.fetch_once(f"{server.url}/a.zip", tmp_path / "cache")
    with pytest.raises(errors.Invalid, match="others may write there"):
        cifar10.official(tmp_path / "cache")


def test_cifar10_by_url(tmp_path, server):
    """The location of cifar10 may be a URL of the archive."""
    server.files["/c.tar.gz"] = content_of(write_tar(tmp_path / "c.tar.gz", cifar_files()[0]))
    read = read_source("cifar10", None, f"{server.url}/c.tar.gz", cache_dir=tmp_path / "cache")
    assert len(read.test.labels) == 10


def test_cifar10_is_downloaded_when_keras_has_none(tmp_path, server, monkeypatch):
    """Without a location or Keras' copy, the official archive is cached once, by its hash."""
    data = content_of(write_tar(tmp_path / "c.tar.gz", cifar_files()[0]))
    server.files["/c.tar.gz"] = data + b"changed"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(cifar10, "URL", f"{server.url}/c.tar.gz")
    monkeypatch.setattr(cifar10, "SHA256", hashlib.sha256(data).hexdigest())
    assert "SHA-256" in refused("cifar10", cache_dir=tmp_path / "cache")
    server.files["/c.tar.gz"] = data
    for _ in range(2):
        assert len(read_source("cifar10", cache_dir=tmp_path / "cache").train.images) == 50
    assert len(server.asked) == 2
    assert os.listdir(tmp_path / "cache") == [cifar10.NAME]


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/none.zip", errors.Invalid, "404"),
        ("/503.zip", errors.Unreachable, "503"),
        ("/short.zip", errors.Unreachable, "broke off 9 bytes"),
    ],
)
def test_a_failed_download_leaves_nothing(tmp_path, server, path, error, words):
    """A missing file is Invalid, a busy server or broken connection Unreachable.

    No part of a file stays, and no secret is shown.
    """
    server.files["/short.zip"] = b"PK"
    message = refused(f"{server.url}{path}?token=secret", cache_dir=tmp_path, error=error)
    assert words in message
    assert "secret" not in message
    assert os.listdir(tmp_path / "downloads") == []


def test_no_server(tmp_path, monkeypatch):
    """A refused connection is Unreachable (69): waiting may fix it."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/a.zip"
    assert "try again" in refused(url, cache_dir=tmp_path, error=errors.Unreachable)


def test_another_hash_is_refused(tmp_path, server):
    """A download with another SHA-256 is Invalid with both hashes; only the right one is kept."""
    server.files["/a"] = b"abc"
    with pytest.raises(errors.Invalid, match=r"has the SHA-256 ba7816bf.*, not 0000: get the file"):
        downloads.download(f"{server.url}/a", tmp_path / "a", "0000")
    assert os.listdir(tmp_path) == []
    sha256 = hashlib.sha256(b"abc").hexdigest()
    copy = downloads.download(f"{server.url}/a", tmp_path / "a", sha256)
    assert copy.read_bytes() == b"abc"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_named(tmp_path):
    """A full disk is Unreachable (69), and the error says so."""
    full = pytest.raises(errors.Unreachable, match=r"the disk of .* is full")
    with full, downloads.writing(tmp_path / "a"), open("/dev/full", "wb", buffering=0) as file:
        file.writelines([b"abc"])


def test_a_cache_that_cannot_be_written(tmp_path, server):
    """A cache folder that cannot be made is Invalid; the error names JOB_CACHE_DIR."""
    (tmp_path / "file").write_bytes(b"")
    server.files["/a.zip"] = b"PK"
    assert "JOB_CACHE_DIR" in refused(f"{server.url}/a.zip", cache_dir=tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@host:8/a/b.zip?token=secret#secret", "https://host:8/a/b.zip"),
        ("https://host/b.zip?mail=secret@host", "https://host/b.zip"),
        ("https://me:secret/secret@host/b.zip", "https://..."),
        ("https://[::1]:80/b.zip", "https://[::1]:80/b.zip"),
        ("/data/a?b#c.zip", "/data/a?b#c.zip"),
    ],
)
def test_no_secret_of_a_url_is_shown(url, shown):
    """User, password, query and fragment of a URL appear in no message."""
    assert downloads.redact(url) == shown


@pytest.mark.parametrize(
    "key", ["../a.png", "a/../../b.png", "/etc/a.png", "a//b.png", "./a.png", "a\0.png"]
)
def test_no_object_of_a_bucket_leads_elsewhere(key):
    """A key that would be written outside the bucket's folder is Invalid, by name."""
    buckets.check_below("s3://b/p", ["a/b.png", "ü x.png", "..a"])
    with pytest.raises(errors.Invalid, match="is not a path below it"):
        buckets.check_below("s3://b/p", ["a/b.png", key])
