"""One contract for both kinds of store."""

import json
import os
import uuid

import pytest

from job.embedded import S3
from job.errors import Invalid, Missing, Unreachable
from job.store import open_store, sha256_of


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    if request.param == "file":
        return open_store(f"file://{tmp_path}/store")
    s3 = request.getfixturevalue("s3")
    request.getfixturevalue("s3_environ")
    return open_store(f"s3://{s3.bucket}/{uuid.uuid4().hex}", outage_s=2)


def test_what_was_put_is_there(store, tmp_path):
    """Bytes and files come back as they were, with their size and an etag that stays."""
    stored = store.put("a/b", b"12345")
    assert (stored.key, stored.size) == ("a/b", 5)
    assert store.head("a/b") == stored
    assert store.get("a/b") == b"12345"
    big = tmp_path / "big"
    big.write_bytes(os.urandom(9_000_000))
    store.put("a/c", big)
    store.download("a/c", tmp_path / "again")
    assert sha256_of(tmp_path / "again") == sha256_of(big)


def test_a_put_replaces(store):
    """A put under the same key replaces the object."""
    store.put("k", b"1")
    store.put("k", b"22")
    assert store.get("k") == b"22"


def test_what_is_missing(store, tmp_path):
    """A missing object is `Missing`, by every way of asking; a download leaves no file."""
    assert store.head("no") is None
    with pytest.raises(Missing):
        store.get("no")
    with pytest.raises(Missing):
        store.download("no", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_listing_and_delete(store):
    """A listing has the keys of a prefix in order; deleting a missing one is no error."""
    for key in ("x/2", "x/1", "x1", "y/1"):
        store.put(key, b"")
    assert [o.key for o in store.listing("x/")] == ["x/1", "x/2"]
    assert [o.key for o in store.listing("x")] == ["x/1", "x/2", "x1"]
    store.delete(["x/1", "no"])
    assert [o.key for o in store.listing("x/")] == ["x/2"]


def test_urls():
    """Another scheme is refused with what is expected."""
    for url in ("http://x", "s3:///x", "file://relative", "x"):
        with pytest.raises(Invalid, match="expected s3://bucket/prefix or file:///folder"):
            open_store(url)


def test_s3_says_no(s3, s3_environ, monkeypatch):
    """A missing bucket and wrong keys are what waiting cannot mend; a silent endpoint is out of reach."""
    with pytest.raises(Invalid, match="NoSuchBucket; create the bucket"):
        open_store("s3://nobucket/x", 2).put("k", b"")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Invalid, match="refused k: SignatureDoesNotMatch"):
        open_store(f"s3://{s3.bucket}/x", 2).put("k", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="cannot be reached"):
        open_store(f"s3://{s3.bucket}/x", 1).put("k", b"")


def test_a_folder_says_no(tmp_path):
    """A store below a file is invalid. (Full and read-only disks need root: tests/root.)"""
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="cannot be written or read"):
        open_store(f"file://{tmp_path}/file/store").put("k", b"")


def test_a_bucket_that_may_only_be_read(tmp_path, monkeypatch):
    """Keys that may read and not write are refused for good; what is there can be read."""
    with ReadersToo(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        for key, secret in ((server.access_key, server.secret_key), ("reader", "readersecret")):
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
            store = open_store(f"s3://{server.bucket}/x", 5)
            if key != "reader":
                store.put("k", b"1")
        assert store.get("k") == b"1"
        with pytest.raises(Invalid, match="refused k: AccessDenied; check AWS_ACCESS_KEY_ID"):
            store.put("k", b"2")


class ReadersToo(S3):
    """An embedded S3 that knows one more pair of keys, for reading only."""

    def _prepare(self) -> None:
        super()._prepare()
        file = self.folder / "keys.json"
        known = json.loads(file.read_text())
        reader = {"name": "reader", "credentials": [{"accessKey": "reader", "secretKey": "readersecret"}], "actions": ["Read", "List"]}
        file.write_text(json.dumps({"identities": [*known["identities"], reader]}))
