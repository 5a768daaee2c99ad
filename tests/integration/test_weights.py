"""Weights over the network: a real HTTP server on loopback stands where Keras' downloads are."""

import functools
import hashlib
import http.server
import json
import os
import threading
from dataclasses import replace

import pytest

from job.errors import Invalid, Unreachable
from job.learning import weights
from job.local.fallback import reachable
from job.storage.cache import Cache
from job.storage.store import open_store

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
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path / "www")
    )
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
    with pytest.raises(
        Unreachable,
        match=rf"try again, or .*\({tmp_path} has neither\) and name its folder by --weights \(make",
    ):
        weights.fetch(cache, "vgg16", {}, str(tmp_path))
    assert [p for p in (tmp_path / "keras").rglob("*") if p.is_file()] == []


def test_a_download_with_another_hash(cache, tmp_path):
    """A file that is not the one Keras means is refused and not kept."""
    (tmp_path / "www" / "vgg16").mkdir()
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[1]).write_bytes(BYTES)
    with pytest.raises(
        Invalid,
        match="has the MD5 .*, not 6d6bbae143d832006294945121d1f1fc: get the file vgg16_no_top",
    ):
        weights.fetch(cache, "vgg16", {}, None)
    assert [p for p in (tmp_path / "keras").rglob("*") if p.is_file()] == []


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PLANTED = digest(b"planted")
POINTERS = [
    b"", b"[]", b"null", b"{}", b"[" * 100_000,
    *(json.dumps({"key": key, "sha256": PLANTED}).encode() for key in (
        "{victim}", "../victim", "weights/../../victim", "weights/a\0.h5", ["x"], None, f"weights/{'0' * 64}.h5", "/etc/x")),
    json.dumps({"key": f"weights/{PLANTED}.h5"}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("pointer", POINTERS, ids=range(len(POINTERS)))
def test_a_pointer_that_leads_elsewhere(cache, tmp_path, pointer, caplog):
    """Who writes the store, and so the object that names a model's weights, writes no file here, and reads none: it is not used."""
    victim = tmp_path / "victim"
    cache.store.put(
        "weights/mobilenetv2_0.35_224_no_top.weights.h5.json",
        pointer.replace(b"{victim}", str(victim).encode()),
    )
    (tmp_path / "store" / "victim").write_bytes(b"planted")
    assert (
        weights.fetch(cache, "mobilenetv2", ALPHA, None).read_bytes() == BYTES
    )  # Keras', downloaded
    assert (
        "0.35_224_no_top.weights.h5.json is not used: expected the key of weights and their sha256"
        in caplog.text
    )
    assert not victim.exists() and not (tmp_path / "cache" / "victim").exists()


def test_weights_that_only_a_pointer_vouches_for(cache, tmp_path, caplog, monkeypatch):
    """Staged weights are used again if an experiment of this database recorded their hash, or Keras names it; else Keras' are downloaded."""
    path = tmp_path / "mobilenetv2_0.35_224_no_top.weights.h5"
    path.write_bytes(b"planted")
    entry = weights.upload(cache.store, "mobilenetv2", ALPHA, path)
    assert (
        weights.fetch(cache, "mobilenetv2", ALPHA, None, frozenset({PLANTED})).read_bytes()
        == b"planted"
    )
    assert weights.fetch(cache, "mobilenetv2", ALPHA, None).read_bytes() == BYTES
    assert (
        f"{entry['key']} is not used: it does not have the hash that Keras names, and no experiment of this database recorded it"
        in caplog.text
    )
    weights.upload(cache.store, "vgg16", {}, path)
    with pytest.raises(Invalid, match="answers 404"):
        weights.fetch(cache, "vgg16", {}, None)
    monkeypatch.setitem(
        weights.BACKBONES,
        "vgg16",
        replace(weights.BACKBONES["vgg16"], hash=hashlib.md5(b"planted").hexdigest()),
    )
    assert weights.fetch(cache, "vgg16", {}, None).read_bytes() == b"planted"
    cache.store.delete([entry["key"]])
    cache.file(entry["key"], PLANTED).unlink()
    with pytest.raises(Invalid, match="answers 404"):
        weights.fetch(cache, "vgg16", {}, None)
    assert "the staged weights of vgg16 are gone: " in caplog.text


def test_a_file_in_keras_cache(cache, tmp_path, caplog, monkeypatch):
    """What lies where Keras keeps its downloads is Keras' file by its hash, and in no folder that another user made."""
    keras = tmp_path / "keras" / "models"
    keras.mkdir(parents=True)
    (keras / weights.names("vgg16", {})[1]).write_bytes(b"planted")
    assert weights.find("vgg16", {}, None, tmp_path) is None
    assert (
        "is not used: it does not have the hash that Keras names, 6d6bbae143d832006294945121d1f1fc"
        in caplog.text
    )
    monkeypatch.setattr(
        weights, "keras_folder", lambda: keras
    )  # /tmp/.keras is where it would be, without a home
    monkeypatch.delenv("KERAS_HOME")
    (keras / weights.names("mobilenetv2", ALPHA)[1]).write_bytes(b"planted")
    assert weights.find("mobilenetv2", ALPHA, None, tmp_path).parent == keras
    us = os.geteuid()
    os.chmod(keras, 0o777)
    monkeypatch.setattr(
        os, "geteuid", lambda: us + 1
    )  # only root can give a folder to somebody else
    monkeypatch.setattr(weights, "ROOT", us + 2)
    assert weights.find("mobilenetv2", ALPHA, None, tmp_path) is None
    assert f"its folder belongs to another user, {us}" in caplog.text


def test_a_mirror_of_keras_files(cache, tmp_path):
    """Below a URL, a file under Keras' name is to be Keras' file; under our name it is whatever its owner says."""
    (tmp_path / "www" / "vgg16").mkdir()
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[1]).write_bytes(BYTES)
    with pytest.raises(
        Invalid,
        match="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 is not used: it does not have the hash that Keras names, 6d6bbae",
    ):
        weights.fetch(cache, "vgg16", {}, weights.BASE_URL + "/vgg16")
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[0]).write_bytes(BYTES)
    assert weights.fetch(cache, "vgg16", {}, weights.BASE_URL + "/vgg16").read_bytes() == BYTES


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
