"""Weights over the network: a real HTTP server on loopback stands where Keras' downloads are."""

import functools
import http.server
import threading

import pytest

from job import weights
from job.cache import Cache
from job.errors import Invalid, Unreachable
from job.fallback import reachable
from job.store import open_store

ALPHA = {"alpha": 0.35}
BYTES = bytes(range(256)) * 8192  # 2 MiB


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache, and a server with the weights of MobileNetV2 alone; only the base of the URLs is changed."""
    folder = tmp_path / "www" / "mobilenet_v2"
    folder.mkdir(parents=True)
    (folder / weights.names("mobilenetv2", ALPHA)[1]).write_bytes(BYTES)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "www"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield Cache(open_store(f"file://{tmp_path}/store"), tmp_path / "cache", 1)
    server.shutdown()
    server.server_close()


def test_a_download_is_kept_where_keras_looks(cache, tmp_path):
    """What no folder and no store has is downloaded whole, once, into Keras' own folder."""
    assert weights.find("mobilenetv2", ALPHA, None, tmp_path) is None
    path = weights.fetch(cache, "mobilenetv2", ALPHA, None)
    assert path.parent == tmp_path / "keras" / "models"
    assert path.read_bytes() == BYTES
    (tmp_path / "www" / "mobilenet_v2" / path.name).unlink()
    assert weights.fetch(cache, "mobilenetv2", ALPHA, None) == path


def test_what_cannot_be_downloaded(cache, tmp_path, monkeypatch):
    """A file the server does not have is invalid, a silent server out of reach; neither leaves a file."""
    way = r"get the file vgg16_no_top.weights.h5 \(or vgg16_weights_tf_dim.*_notop.h5\) and name its folder by --weights"
    with pytest.raises(Invalid, match=f"answers 404 .*: check the URL, or {way}"):
        weights.fetch(cache, "vgg16", {}, None)
    monkeypatch.setattr(weights, "BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(Unreachable, match=rf"try again, or .*\({tmp_path} has neither\) and name its folder by --weights \(make"):
        weights.fetch(cache, "vgg16", {}, str(tmp_path))
    assert [p for p in (tmp_path / "keras").rglob("*") if p.is_file()] == []


def test_a_download_with_another_hash(cache, tmp_path):
    """A file that is not the one Keras means is refused and not kept."""
    (tmp_path / "www" / "vgg16").mkdir()
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[1]).write_bytes(BYTES)
    with pytest.raises(Invalid, match="Keras expects 6d6bbae143d832006294945121d1f1fc"):
        weights.fetch(cache, "vgg16", {}, None)
    assert [p for p in (tmp_path / "keras").rglob("*") if p.is_file()] == []


def test_the_probe_of_make_local(cache):
    """`make local` asks for the first megabyte before it relies on a download."""
    assert reachable(weights.url("mobilenetv2", ALPHA))
    assert not reachable(weights.url("vgg16", {}))
    assert not reachable("http://127.0.0.1:9/x")


def test_a_mirror(cache, tmp_path):
    """A URL below which the file is, under our name or Keras', serves like a folder; one without it is named."""
    mirror = weights.BASE_URL + "/mobilenet_v2"
    path = weights.fetch(cache, "mobilenetv2", ALPHA, mirror)
    assert path.read_bytes() == BYTES
    assert tmp_path / "cache" in path.parents
    expected = r"--weights \(or JOB_WEIGHTS\) = .*: expected vgg16_no_top.weights.h5 below it: .* answers 404"
    with pytest.raises(Invalid, match=expected) as caught:
        weights.fetch(cache, "vgg16", {}, mirror)
    assert "--data" not in str(caught.value)
