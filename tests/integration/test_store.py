"""One contract for both kinds of store."""

import errno
import io
import json
import os
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import SSLError

from job import files
from job.errors import Interrupted, Invalid, Missing, Unreachable
from job.local.embedded import S3
from job.storage import s3_errors
from job.storage.folder import FolderStore
from job.storage.s3 import S3Store
from job.storage.store import Store, open_store, sha256_of
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for

MB = 1_000_000


class BytesRaw(io.BytesIO):
    """What botocore reads an answer from."""

    def stream(self, **_):
        yield self.read()


@dataclass
class Place:
    """A store, and functions that take it away and bring it back."""

    store: Store
    leave: object
    come: object


@pytest.fixture
def proxy(s3, s3_environ, monkeypatch):
    """A proxy in front of the embedded S3; boto3 connects to the proxy."""
    with Proxy("127.0.0.1", s3.ports[6]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    if request.param == "file":
        folder = tmp_path / "store"
        away = tmp_path / "away"
        store = open_store(f"file://{folder}", 20)
        return Place(store, lambda: folder.rename(away), lambda: away.rename(folder))
    proxy = request.getfixturevalue("proxy")
    bucket = request.getfixturevalue("s3").bucket
    store = open_store(f"s3://{bucket}/{uuid.uuid4().hex}", 20)
    return Place(store, lambda: proxy.set("refuse"), lambda: proxy.set("pass"))


@pytest.fixture
def store(place):
    return place.store


@pytest.fixture
def two(proxy, s3, monkeypatch):
    """Return a function that opens one prefix twice: through the proxy, and past it."""

    def opened(outage_s=20.0, sleep=time.sleep, **limits) -> tuple[S3Store, S3Store]:
        prefix = uuid.uuid4().hex
        through = S3Store(s3.bucket, prefix, outage_s, sleep, **limits)
        with monkeypatch.context() as m:
            m.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
            return through, S3Store(s3.bucket, prefix, 5.0, time.sleep)

    return opened


def test_what_was_put_is_there(store, tmp_path):
    """Bytes and files come back unchanged, with their size and a stable etag."""
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
    """Every way to ask for a missing object raises `Missing`; a download leaves no file."""
    assert store.head("no") is None
    with pytest.raises(Missing):
        store.get("no")
    with pytest.raises(Missing):
        store.download("no", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_when_it_was_modified(store):
    """A put, a head and a listing say in UTC when an object was written.

    S3 is precise to a whole second.
    """
    objects = [store.put("k", b"1"), store.head("k"), *store.listing("")]
    assert len(objects) == 3
    for o in objects:
        assert o.modified.utcoffset() == timedelta(0)
        assert abs(o.modified - datetime.now(UTC)) < timedelta(seconds=10)


def test_listing_and_delete(store):
    """A listing has the keys of a prefix in order; deleting a missing key is no error."""
    for key in ("x/2", "x/1", "x1", "y/1"):
        store.put(key, b"")
    assert [o.key for o in store.listing("x/")] == ["x/1", "x/2"]
    assert [o.key for o in store.listing("x")] == ["x/1", "x/2", "x1"]
    store.delete(["x/1", "no"])
    assert [o.key for o in store.listing("x/")] == ["x/2"]


def test_a_store_that_is_away_is_waited_for(place, tmp_path):
    """Every call made while the store is away succeeds once it is back."""
    store = place.store
    answers = []
    store.put("k", b"1")
    calls = [
        lambda: store.put("new", b"22").size,
        lambda: store.get("k"),
        lambda: store.head("k").size,
        lambda: [o.key for o in store.listing("")],
        lambda: store.download("k", tmp_path / "k"),
        lambda: store.delete(["k"]),
        lambda: store.head("k"),
    ]
    for call in calls:
        place.leave()
        back = threading.Timer(0.4, place.come)
        back.start()
        started = time.monotonic()
        answers.append(call())
        assert time.monotonic() - started > 0.35
        back.join()
    assert answers == [2, b"1", 1, ["k", "new"], None, None, None]
    assert (tmp_path / "k").read_bytes() == b"1"


def test_patience(place):
    """A delete takes its own time limit, and a `sleep` that raises ends any wait."""
    store = place.store
    store.put("k", b"1")
    place.leave()
    started = time.monotonic()
    with pytest.raises(Unreachable):
        store.delete(["k"], patience_s=0)
    assert time.monotonic() - started < 10

    def interrupted(_):
        raise Interrupted("SIGTERM")

    store._sleep = interrupted
    with pytest.raises(Interrupted):
        store.put("k", b"2")
    place.come()
    assert store.get("k") == b"1"


def test_a_store_that_does_not_delete_in_bulk(two):
    """Where a store refuses to delete several objects at once, they are deleted one by one.

    Some stores require Content-MD5, which boto3 does not send.
    """
    store, _ = two()
    keys = [store.put(f"k{i}", b"1").key for i in range(3)]
    refusal = (
        b"<Error><Code>MissingContentMD5</Code><Message>Content-MD5 is required</Message></Error>"
    )

    # The embedded server accepts the request, so the refusal is made up.
    def refused(request, **_):
        return AWSResponse(request.url, 400, {"content-type": "application/xml"}, BytesRaw(refusal))

    store._client.meta.events.register_first("before-send.s3.DeleteObjects", refused)
    store.delete([*keys, "missing"])
    assert store.listing("") == []


def test_urls():
    """An unsupported scheme is refused with the expected ones."""
    for url in ("http://x", "s3:///x", "file://relative", "x"):
        with pytest.raises(Invalid, match="expected s3://bucket/prefix or file:///folder"):
            open_store(url)


def test_s3_says_no(s3, s3_environ, monkeypatch):
    """A missing bucket and wrong keys are permanent errors; a silent endpoint is unreachable."""
    with pytest.raises(Invalid, match="NoSuchBucket; create the bucket"):
        open_store("s3://nobucket/x", 2).put("k", b"")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Invalid, match="refused k: SignatureDoesNotMatch"):
        open_store(f"s3://{s3.bucket}/x", 2).put("k", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match="cannot be reached"):
        open_store(f"s3://{s3.bucket}/x", 1).put("k", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint.replace("http:", "https:"))
    monkeypatch.setenv("AWS_CA_BUNDLE", "/no/such/bundle")
    with pytest.raises(Invalid, match=r"is not trusted: .*; set AWS_CA_BUNDLE"):
        open_store(f"s3://{s3.bucket}/x", 5).put("k", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    with pytest.raises(Invalid, match=r"cannot be opened: .*nonsense.*; check AWS_ENDPOINT_URL_S3"):
        open_store(f"s3://{s3.bucket}/x", 1)


def test_a_folder_says_no(tmp_path):
    """A store below a file is invalid.

    Full and read-only disks need root: see tests/system.
    """
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="cannot be written or read"):
        open_store(f"file://{tmp_path}/file/store").put("k", b"")


def test_putting_and_deleting_in_one_folder(tmp_path):
    """Removing the last object removes its folder, and harms nobody who puts another there."""

    def churn(key):
        store = FolderStore(tmp_path / "store", 20, lambda _: None)
        for _ in range(300):
            store.put(key, b"1")
            store.listing("a")
            store.delete([key])
            done.append(key)

    done = []
    threads = [threading.Thread(target=churn, args=(f"a/b/{i}",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 600


@pytest.mark.parametrize(
    "fault", [("refuse", None), ("drop", None), ("status", 500), ("status", 503)]
)
def test_s3_is_away_for_longer(proxy, two, fault):
    """A store that stays away is `Unreachable` soon after `outage_s`, and never before."""
    store, _ = two(outage_s=1.5)
    proxy.set(fault[0], status=fault[1])
    started = time.monotonic()
    endpoint = f"http://127.0.0.1:{proxy.port}"
    expected = f"the store {store.url} at {endpoint} cannot be reached for k"
    with pytest.raises(Unreachable, match=expected):
        store.put("k", b"1")
    assert 1.5 <= time.monotonic() - started < 10


@pytest.mark.parametrize("fault", [("drop", None), ("status", 500), ("status", 503)])
def test_s3_comes_back(proxy, two, fault):
    """Server errors and dropped connections are retried until a request succeeds."""
    store, near = two()
    proxy.set(fault[0], status=fault[1])
    seen = proxy.connections

    def come_back():
        wait_for(lambda: proxy.connections - seen > 2)
        proxy.set("pass")

    back = threading.Thread(target=come_back)
    back.start()
    store.put("k", b"1")
    back.join()
    assert near.get("k") == b"1"
    assert proxy.connections - seen > 2


RETRIED = [
    (400, "BadDigest"),
    (400, "IncompleteBody"),
    (400, "RequestTimeout"),
    (400, "XAmzContentSHA256Mismatch"),
    (404, "NoSuchUpload"),
    (408, "RequestTimeout"),
    (409, "OperationAborted"),
    (425, "TooEarly"),
    (429, "TooManyRequests"),
    (500, "InternalError"),
    (503, "SlowDown"),
]


@pytest.mark.parametrize(("status", "code"), RETRIED)
def test_what_another_try_mends(proxy, two, status, code):
    """An error that waiting or sending again can fix is retried, even with a 4xx status."""
    store, _ = two(outage_s=0.1)
    proxy.set("status", status=status, code=code)
    with pytest.raises(Unreachable, match="cannot be reached for k"):
        store.put("k", b"1")


FINAL = [
    (400, "InvalidArgument", "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
    (501, "NotImplemented", "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
    (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
    (301, "redirect", "AWS_REGION"),
    (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
    (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
    (403, "UnheardOf", "AWS_ACCESS_KEY_ID"),
    (405, "MethodNotAllowed", "AWS_ENDPOINT_URL_S3"),
    (404, "NotFound", "AWS_ENDPOINT_URL_S3"),
]


@pytest.mark.parametrize(("status", "code", "hint"), FINAL)
def test_what_no_try_mends(proxy, two, s3, status, code, hint):
    """A refusal is `Invalid` at once, says what to do, and shows no secret.

    It names the store, the endpoint, the key and the code.
    """
    store, _ = two(outage_s=60)
    proxy.set("status", status=status, code=code)
    started = time.monotonic()
    with pytest.raises(Invalid) as error:
        store.put("k", b"1")
    assert time.monotonic() - started < 20
    for part in (store.url, f"http://127.0.0.1:{proxy.port}", "refused k: ", code, hint):
        assert part in str(error.value)
    assert s3.secret_key not in str(error.value)


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "SignatureDoesNotMatch", "AccessDenied"])
def test_a_clock_that_is_off(proxy, two, code, tmp_path):
    """A node with a wrong clock is refused everything: `Unreachable` here, not invalid for all.

    This holds for answers without a body, too.
    """
    store, _ = two(outage_s=0)
    hours_ago = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    at_fault = f"this node, {os.uname().nodename}, is at fault"
    proxy.set("status", status=403, code=code, date=hours_ago)
    for call in (
        lambda: store.put("k", b"1"),
        lambda: store.get("k"),
        lambda: store.head("k"),
        lambda: store.download("k", tmp_path / "k"),
    ):
        with pytest.raises(Unreachable, match=f"because this machine's clock is wrong: {at_fault}"):
            call()
    now = format_datetime(datetime.now(UTC), usegmt=True)
    proxy.set("status", status=403, code="AccessDenied", date=now)
    with pytest.raises(Invalid, match="refused k: AccessDenied; check AWS_ACCESS_KEY_ID"):
        store.get("k")


def test_a_certificate_of_tomorrow(two):
    """A certificate that is not valid yet is this node's fault; an untrusted one is invalid.

    A clock that is behind makes a good certificate look like one of tomorrow.
    """
    store, _ = two()
    # The library's own sentences: making a certificate of tomorrow needs another program.
    template = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1000)"

    def translate(why: str) -> Exception:
        error = SSLError(endpoint_url="https://x", error=template.format(why))
        return store._translate(error, "k")

    not_yet = translate(s3_errors.NOT_YET)
    assert type(not_yet) is Unreachable
    assert type(translate("self-signed")) is Invalid
    assert "because this machine's clock is wrong" in str(not_yet)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../k", "a/../../k", "a//k", "./k", "k\0"])
def test_no_key_leads_elsewhere(store, tmp_path, key):
    """A key from any row or object becomes a path or request only below the store."""
    calls = [
        lambda: store.put(key, b"1"),
        lambda: store.get(key),
        lambda: store.head(key),
        lambda: store.download(key, tmp_path / "got"),
        lambda: store.delete([key]),
    ]
    for call in calls:
        with pytest.raises(Invalid, match=f"{store.url}: the key .* leads elsewhere"):
            call()
    assert not list(tmp_path.rglob("*"))


def test_no_link_leads_out_of_a_folder(tmp_path):
    """A link in a store's folder is no object: it is not listed, read or written through.

    Links to files and to folders count alike; a pipe does not block the reader.
    """
    victim = tmp_path / "home" / "victim"
    store = open_store(f"file://{tmp_path}/store", 0)
    victim.parent.mkdir()
    victim.write_bytes(b"mine")
    store.put("a/k", b"1")
    (tmp_path / "store" / "a" / "link").symlink_to(victim)
    (tmp_path / "store" / "b").symlink_to(victim.parent)
    os.mkfifo(tmp_path / "store" / "a" / "pipe")
    calls = [
        store.get,
        store.head,
        lambda key: store.put(key, b"2"),
        lambda key: store.delete([key]),
    ]
    refused = [(call, key) for key in ("a/link", "b/victim", "b/new") for call in calls]
    refused += [(store.listing, "b/victim"), (store.listing, "b/new")]
    is_a_link = "is a link: expected a file or folder of file://.*; remove it"
    for call, key in refused:
        with pytest.raises(Invalid, match=is_a_link):
            call(key)
    with pytest.raises(Invalid, match="a/pipe is not one of our files"):
        store.get("a/pipe")
    assert [o.key for o in store.listing("")] == ["a/k"]
    assert victim.read_bytes() == b"mine"
    assert list(victim.parent.iterdir()) == [victim]
    moved = (tmp_path / "store").rename(tmp_path / "disk")
    # The store's folder itself may be a link: the user named it.
    (tmp_path / "store").symlink_to(moved)
    assert store.get("a/k") == b"1"


@pytest.mark.parametrize("code", ["EROFS", "EIO", "ESTALE", "ENOTCONN"])
def test_a_folder_that_is_broken_on_this_node(tmp_path, code, monkeypatch):
    """A fault of this node's mount is `Unreachable` here, not invalid for all."""
    store = open_store(f"file://{tmp_path}/store", 0)
    number = getattr(errno, code)
    store.put("k", b"1")

    # A test cannot break a mount; tests/system mounts a read-only one.
    def fails(*_):
        raise OSError(number, os.strerror(number), "k")

    monkeypatch.setattr(files, "open_regular", fails)
    at_fault = f"this node, {os.uname().nodename}, is at fault"
    with pytest.raises(Unreachable, match=f"{os.strerror(number)} .k.: {at_fault}"):
        store.get("k")


def test_an_upload_that_is_cut(proxy, two, tmp_path):
    """An upload cut in the middle leaves the object as it was, or none; a retry is whole."""
    store, near = two(outage_s=0)
    old = os.urandom(100)
    new = os.urandom(2 * MB)
    big = tmp_path / "big"
    big.write_bytes(os.urandom(20 * MB))
    near.put("k", old)
    proxy.set("cut", side="client", after=MB, times=1000)
    for key, source in (("k", new), ("none", new), ("big", big)):
        with pytest.raises(Unreachable):
            store.put(key, source)
    assert [o.key for o in near.listing("")] == ["k"] and near.get("k") == old
    store, near = two()
    for key, source in (("k", new), ("big", big)):
        proxy.set("cut", side="client", after=MB, times=3)
        stored = store.put(key, source)
        assert proxy.fault == "pass"
        assert near.head(key) == stored
    assert near.get("k") == new and near.get("big") == big.read_bytes()


def test_bytes_that_are_too_many_for_one_request_go_in_parts(proxy, two):
    """A result of gigabytes arrives whole, even through cuts.

    Its size and etag are those that the store reports later.
    """
    store, near = two(one_put=10 * MB)
    content = os.urandom(20 * MB)
    proxy.set("cut", side="client", after=MB, times=3)
    stored = store.put("k", content)
    assert proxy.fault == "pass"
    # S3 marks the ETag of an upload in three parts.
    assert stored.etag.endswith("-3") and stored.size == len(content)
    assert near.head("k") == stored == near.listing("")[0] and near.get("k") == content
    assert "-" not in store.put("small", content[: 10 * MB]).etag


def test_a_download_that_is_cut(proxy, two, tmp_path):
    """A cut download is noticed and read again; when given up, it leaves no file.

    This holds for small objects and for those read in parts.
    """
    store, near = two()
    for size in (2 * MB, 20 * MB):
        content = os.urandom(size)
        near.put("k", content)
        proxy.set("cut", side="server", after=MB, times=3)
        assert store.get("k") == content
        assert proxy.fault == "pass"
        proxy.set("cut", side="server", after=MB, times=3)
        store.download("k", tmp_path / "k")
        assert proxy.fault == "pass"
        assert (tmp_path / "k").read_bytes() == content
    impatient, near = two(outage_s=0)
    near.put("k", content)
    proxy.set("cut", side="server", after=MB, times=1000)
    with pytest.raises(Unreachable):
        impatient.download("k", tmp_path / "no")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("no")] == []


@pytest.mark.filterwarnings("ignore:tzname")  # for a time that is cut within its zone
def test_answers_cut_anywhere(proxy, two, tmp_path):
    """A truncated answer is never taken for a whole one, wherever the cut is."""
    store, near = two(sleep=lambda _: None)
    content = os.urandom(100)
    stored = near.put("k", content)
    calls = {
        "put": lambda: store.put("k", content),
        "head": lambda: store.head("k"),
        "get": lambda: store.get("k"),
        "listing": lambda: store.listing(""),
        "delete": lambda: store.delete(["no"]),
        "download": lambda: store.download("k", tmp_path / "k") or (tmp_path / "k").read_bytes(),
    }
    right = {
        "put": stored,
        "head": stored,
        "get": content,
        "listing": [stored],
        "delete": None,
        "download": content,
    }
    cuts = 0
    for name, call in calls.items():
        for after in range(1, 900, 7):
            proxy.set("cut", side="server", after=after)
            assert call() == right[name], (name, after)
            if proxy.fault == "cut":
                break
            cuts += 1
    assert cuts > 250


def test_a_slow_store_is_no_outage(proxy, two, caplog):
    """Slow bytes are waited for at the first try, as long as they keep coming."""
    store, _ = two(connect_s=2, read_s=8)
    content = os.urandom(12 * MB)
    proxy.set("slow", rate=2 * MB)
    started = time.monotonic()
    store.put("k", content)
    assert store.get("k") == content
    assert time.monotonic() - started > 10
    assert [r.message for r in caplog.records if r.name == "job.storage.base"] == []


def test_a_silent_store(proxy, two):
    """A store that accepts connections but stays silent is given up by the read timeout.

    It is used again once it answers.
    """
    store, _ = two(outage_s=1, read_s=0.5)
    store.put("k", b"1")
    proxy.fault = "hang"
    started = time.monotonic()
    with pytest.raises(Unreachable, match="timeout"):
        store.get("k")
    assert 1 <= time.monotonic() - started < 20
    proxy.fault = "pass"
    assert store.get("k") == b"1"


def test_the_server_is_killed(tmp_path, monkeypatch):
    """Fifty puts survive a kill and restart of the server, all with the right bytes."""
    with S3(tmp_path) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        store = open_store(f"s3://{server.bucket}/x", 120)
        content = {}
        stored = {}
        ready = threading.Event()

        def kill():
            ready.wait()
            server._process.kill()
            server._process.wait()
            server.start()

        killer = threading.Thread(target=kill)
        killer.start()
        for i in range(50):
            key = f"{i:02d}"
            content[key] = os.urandom(200_000)
            stored[key] = store.put(key, content[key])
            if i == 20:
                ready.set()
                server._process.wait()
        killer.join()
        assert {o.key: o for o in store.listing("")} == stored
        assert {key: store.get(key) for key in content} == content


def test_a_bucket_that_may_only_be_read(tmp_path, monkeypatch):
    """Keys that may read but not write get a permanent refusal; existing objects can be read."""
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
        with pytest.raises(Invalid, match="refused k: AccessDenied; check AWS_ACCESS_KEY_ID"):
            store.delete(["k"])


class ReadersToo(S3):
    """An embedded S3 with a second pair of keys, for reading only."""

    def _prepare(self) -> None:
        super()._prepare()
        file = self.folder / "keys.json"
        known = json.loads(file.read_text())
        reader = {
            "name": "reader",
            "credentials": [{"accessKey": "reader", "secretKey": "readersecret"}],
            "actions": ["Read", "List"],
        }
        file.write_text(json.dumps({"identities": [*known["identities"], reader]}))
