"""Weights over the network: a real HTTP server on loopback replaces Keras' downloads."""

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
from job.local.fallback import is_reachable
from job.storage.cache import Cache
from job.storage.store import open_store

ALPHA = {"alpha": 0.35}
BYTES = bytes(range(256)) * 8192  # 2 MiB
VGG16_MD5 = "6d6bbae143d832006294945121d1f1fc"  # of Keras' file


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache, and a server that has the weights of MobileNetV2 only.

    Of the URLs, only the base is changed.
    """
    folder = tmp_path / "www" / "mobilenet_v2"
    folder.mkdir(parents=True)
    (folder / weights.names("mobilenetv2", ALPHA)[1]).write_bytes(BYTES)
    handler = functools.partial(Quiet, directory=tmp_path / "www")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield Cache(open_store(f"file://{tmp_path}/store"), tmp_path / "cache", 1)
    server.shutdown()
    server.server_close()


def test_a_download_is_kept_where_keras_looks(cache, tmp_path):
    """Weights in no folder and no store are downloaded whole, once, into Keras' own folder."""
    assert weights.find("mobilenetv2", ALPHA, None, tmp_path) is None
    path = weights.fetch(cache, "mobilenetv2", ALPHA, None)
    assert path.parent == tmp_path / "keras" / "models"
    assert path.read_bytes() == BYTES
    (tmp_path / "www" / "mobilenet_v2" / path.name).unlink()
    assert weights.fetch(cache, "mobilenetv2", ALPHA, None) == path


def test_what_cannot_be_downloaded(cache, tmp_path, monkeypatch):
    """A file the server lacks is invalid, a silent server unreachable; neither leaves a file."""
    way = (
        r"get the file vgg16_no_top.weights.h5 \(or vgg16_weights_tf_dim.*_notop.h5\) "
        "and name its folder by --weights"
    )
    with pytest.raises(Invalid, match=f"answers 404 .*: check the URL, or {way}"):
        weights.fetch(cache, "vgg16", {}, None)
    monkeypatch.setattr(weights, "BASE_URL", "http://127.0.0.1:9")
    way = rf"\({tmp_path} has neither\) and name its folder by --weights \(make"
    with pytest.raises(Unreachable, match=f"try again, or .*{way}"):
        weights.fetch(cache, "vgg16", {}, str(tmp_path))
    assert [p for p in (tmp_path / "keras").rglob("*") if p.is_file()] == []


def test_a_download_with_another_hash(cache, tmp_path):
    """A download with another hash than Keras names is refused and deleted."""
    (tmp_path / "www" / "vgg16").mkdir()
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[1]).write_bytes(BYTES)
    expected = f"has the MD5 .*, not {VGG16_MD5}: get the file vgg16_no_top"
    with pytest.raises(Invalid, match=expected):
        weights.fetch(cache, "vgg16", {}, None)
    assert [p for p in (tmp_path / "keras").rglob("*") if p.is_file()] == []


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PLANTED = digest(b"planted")
PLANTED_KEYS = [
    "{victim}",
    "../victim",
    "weights/../../victim",
    "weights/a\0.h5",
    ["x"],
    None,
    f"weights/{'0' * 64}.h5",
    "/etc/x",
]
POINTERS = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b"[" * 100_000,
    *(json.dumps({"key": key, "sha256": PLANTED}).encode() for key in PLANTED_KEYS),
    json.dumps({"key": f"weights/{PLANTED}.h5"}).encode(),
]


@pytest.mark.parametrize("pointer", POINTERS, ids=range(len(POINTERS)))
def test_a_pointer_that_leads_elsewhere(cache, tmp_path, pointer, caplog):
    """A pointer object in the store makes no process here write or read a file elsewhere.

    A pointer names a model's staged weights; a bad one is not used.
    """
    victim = tmp_path / "victim"
    pointer = pointer.replace(b"{victim}", str(victim).encode())
    cache.store.put("weights/mobilenetv2_0.35_224_no_top.weights.h5.json", pointer)
    (tmp_path / "store" / "victim").write_bytes(b"planted")
    # Keras' own file is downloaded instead.
    assert weights.fetch(cache, "mobilenetv2", ALPHA, None).read_bytes() == BYTES
    warning = "is not used: expected the key of weights and their sha256"
    assert f"0.35_224_no_top.weights.h5.json {warning}" in caplog.text
    assert not victim.exists()
    assert not (tmp_path / "cache" / "victim").exists()


def test_weights_that_only_a_pointer_vouches_for(cache, tmp_path, caplog, monkeypatch):
    """Staged weights are reused only if this database recorded their hash, or Keras names it.

    Otherwise Keras' own weights are downloaded.
    """
    path = tmp_path / "mobilenetv2_0.35_224_no_top.weights.h5"
    path.write_bytes(b"planted")
    entry = weights.upload(cache.store, "mobilenetv2", ALPHA, path)
    recorded = frozenset({PLANTED})
    reused = weights.fetch(cache, "mobilenetv2", ALPHA, None, recorded)
    assert reused.read_bytes() == b"planted"
    assert weights.fetch(cache, "mobilenetv2", ALPHA, None).read_bytes() == BYTES
    warning = (
        f"{entry['key']} is not used: it does not have the hash that Keras names, "
        "and no experiment of this database recorded it"
    )
    assert warning in caplog.text
    weights.upload(cache.store, "vgg16", {}, path)
    with pytest.raises(Invalid, match="answers 404"):
        weights.fetch(cache, "vgg16", {}, None)
    md5 = hashlib.md5(b"planted").hexdigest()
    planted = replace(weights.BACKBONES["vgg16"], hash=md5)
    monkeypatch.setitem(weights.BACKBONES, "vgg16", planted)
    assert weights.fetch(cache, "vgg16", {}, None).read_bytes() == b"planted"
    cache.store.delete([entry["key"]])
    cache.file(entry["key"], PLANTED).unlink()
    with pytest.raises(Invalid, match="answers 404"):
        weights.fetch(cache, "vgg16", {}, None)
    assert "the staged weights of vgg16 are gone: " in caplog.text


def test_a_file_in_keras_cache(cache, tmp_path, caplog, monkeypatch):
    """A file in Keras' folder is used if it has Keras' hash and no other user made the folder."""
    keras = tmp_path / "keras" / "models"
    keras.mkdir(parents=True)
    (keras / weights.names("vgg16", {})[1]).write_bytes(b"planted")
    assert weights.find("vgg16", {}, None, tmp_path) is None
    warning = f"is not used: it does not have the hash that Keras names, {VGG16_MD5}"
    assert warning in caplog.text
    # Without a home directory, the folder would be /tmp/.keras.
    monkeypatch.setattr(weights, "keras_folder", lambda: keras)
    monkeypatch.delenv("KERAS_HOME")
    (keras / weights.names("mobilenetv2", ALPHA)[1]).write_bytes(b"planted")
    assert weights.find("mobilenetv2", ALPHA, None, tmp_path).parent == keras
    us = os.geteuid()
    os.chmod(keras, 0o777)
    # Only root can give a folder to another user.
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    monkeypatch.setattr(weights, "ROOT", us + 2)
    assert weights.find("mobilenetv2", ALPHA, None, tmp_path) is None
    assert f"its folder belongs to another user, {us}" in caplog.text


def test_a_mirror_of_keras_files(cache, tmp_path):
    """At a URL, a file under Keras' name must be Keras' file.

    A file under our name is whatever its owner put there.
    """
    (tmp_path / "www" / "vgg16").mkdir()
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[1]).write_bytes(BYTES)
    expected = (
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 is not used: "
        f"it does not have the hash that Keras names, {VGG16_MD5[:7]}"
    )
    with pytest.raises(Invalid, match=expected):
        weights.fetch(cache, "vgg16", {}, weights.BASE_URL + "/vgg16")
    (tmp_path / "www" / "vgg16" / weights.names("vgg16", {})[0]).write_bytes(BYTES)
    assert weights.fetch(cache, "vgg16", {}, weights.BASE_URL + "/vgg16").read_bytes() == BYTES


def test_the_probe_of_make_local(cache):
    """`make local` asks for the first megabyte before it relies on a download."""
    assert is_reachable(weights.url("mobilenetv2", ALPHA))
    assert not is_reachable(weights.url("vgg16", {}))
    assert not is_reachable("http://127.0.0.1:9/x")


def test_a_mirror(cache, tmp_path):
    """A URL that has the file, under our name or Keras', serves like a folder.

    A URL without the file is named in the error.
    """
    mirror = weights.BASE_URL + "/mobilenet_v2"
    path = weights.fetch(cache, "mobilenetv2", ALPHA, mirror)
    assert path.read_bytes() == BYTES
    assert tmp_path / "cache" in path.parents
    expected = (
        r"--weights \(or JOB_WEIGHTS\) = .*: "
        "expected vgg16_no_top.weights.h5 below it: .* answers 404"
    )
    with pytest.raises(Invalid, match=expected) as caught:
        weights.fetch(cache, "vgg16", {}, mirror)
    assert "--data" not in str(caught.value)
