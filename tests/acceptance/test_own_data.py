"""A user's own pictures, from a bucket to the report: of many kinds, unbalanced, few patients."""

import io
import json
import uuid

import numpy as np
import pytest
from PIL import Image

from job.coordination.database import Database
from job.errors import Invalid
from job.storage.store import open_store
from tests.support.datasets import read_source
from tests.support.formats import expect_format

FILE = """
name = "xrays"
threads = 1
[data]
source = "{source}"
groups = "groups.csv"
[search]
trials = 1
metric = "balanced_accuracy"
[folds]
count = 2
[models.cnn]
epochs = 2
width = 2
blocks = 1
batch_size = 16
learning_rate = 0.01
class_weights = "balanced"
augment = {{ shift = 0.1, flip = true, rotation = 10 }}
"""
WIDTH = 20
HEIGHT = 12


def picture(rng, i: int, sick: bool) -> bytes:
    """Return a PNG of noise in one of four kinds, brighter on the left when healthy."""
    grey = rng.integers(0, 100, (HEIGHT, WIDTH)).astype(np.uint8)
    grey[:, : WIDTH // 2 if not sick else 0] += 100
    kinds = (
        Image.fromarray(grey),
        Image.fromarray(grey.astype(np.uint16) * 16),  # 12 bits, as X-ray detectors give
        Image.fromarray(np.dstack([grey] * 3)).quantize(),
        Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)])),
    )
    buffer = io.BytesIO()
    kinds[i % 4].save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def xrays(site, s3):
    """Return a site with an experiment on a bucket of 60 healthy and 18 sick pictures.

    They show 13 patients, six pictures each, named in groups.csv.
    """
    rng = np.random.default_rng(0)
    rows = ["image,group"]
    store = open_store(f"{site.store_url}-data", 20)
    for i in range(78):
        name = f"{'healthy' if i % 13 < 10 else 'sick'}/Aufnahme {i} ü.PNG"
        store.put(name, picture(rng, i, "sick" in name))
        rows.append(f"{name},patient {i % 13}")
    store.put("sick/.DS_Store", b"")
    store.put("groups.csv", "\n".join(rows).encode())
    (site.folder / "xrays.toml").write_text(FILE.format(source=f"{site.store_url}-data/"))
    site.environ["JOB_EXPERIMENT"] = "xrays"
    return site


def test_from_a_bucket_to_the_report(xrays):
    """Pictures in a bucket pass every stage, and no patient is on two sides.

    `job verify` notices if one is.
    """
    found = json.loads(xrays.job("prepare", "xrays.toml", "--describe", "--json", check=0).stdout)
    assert found["image_shape"] == [HEIGHT, WIDTH, 3]
    assert found["found"] == {
        "train": 78,
        "test": None,
    }
    assert found["groups"]["largest"] == 6
    assert found["groups"]["train"] + found["groups"]["test"] == 13
    assert found["test"] == 6 * found["groups"]["test"]
    assert found["validation"] % 6 == 0
    assert all(size % 6 == 0 for size in found["folds"])
    assert sum("images of 16 bits use only 12 of them" in note for note in found["notes"]) == 1
    for arguments in (
        ("prepare", "xrays.toml"),
        ("trial", "--index", 0),
        ("fold", "--index", "0"),
        ("fold", "--index", "1"),
        ("final", "--index", 0),
    ):
        xrays.job(*arguments, check=0)
    xrays.job("report", "--out", "report", check=0)
    report = json.loads((xrays.folder / "report/report.json").read_text())
    expect_format("report", report)
    assert report["data"]["groups"] == {
        "train": found["groups"]["train"],
        "test": found["groups"]["test"],
    }
    assert report["data"]["image_shape"] == [HEIGHT, WIDTH, 3]
    assert report["models"]["cnn"]["final"]["runs"][0]["n"] == found["test"]
    assert "data.groups" in (xrays.folder / "report/index.html").read_text()
    xrays.job("verify", "--deep", check=0)
    assert (
        "tear 1 groups of images apart: the validation part"
        in _torn(xrays).job("verify", "--deep", check=1).stdout
    )


def _torn(site):
    """Move one image of a patient out of the validation part, with a matching hash."""
    from job.learning.provenance import sha256

    database = Database(site.database_url, 5)
    store = open_store(site.store_url, 20)
    splits = database.rows("select splits from experiment")[0]["splits"]
    with np.load(io.BytesIO(store.get(splits["key"]))) as file:
        validation = file["validation"]
        folds = file["folds"]
    validation[np.flatnonzero(validation)[0]] = False
    buffer = io.BytesIO()
    np.savez_compressed(buffer, validation=validation, folds=folds)
    store.put(splits["key"], buffer.getvalue())
    database.rows(
        "update experiment set splits = jsonb_set(splits, '{sha256}', to_jsonb(%(sha)s::text))",
        sha=sha256(buffer.getvalue()),
    )
    return site


@pytest.mark.usefixtures("s3_environ")
def test_a_folder_in_a_bucket(s3, tmp_path):
    """Objects below an s3:// URL are copied once, in full; an empty prefix is refused."""
    url = f"s3://{s3.bucket}/{uuid.uuid4().hex}/photos"
    store = open_store(url, 20)
    rng = np.random.default_rng(0)
    with pytest.raises(Invalid, match="has no object below it: check the bucket and the prefix"):
        read_source(url, cache_dir=tmp_path)
    for i in range(20):
        store.put(f"{'ab'[i % 2]}/{i}.png", picture(rng, i, False))
    for again in (0, 1):
        read = read_source(f"{url}{'/' * again}", cache_dir=tmp_path)
        assert read.name == "photos"
        assert len(read.train.labels) == 20
        assert read.classes == ("a", "b")
        store.delete(["a/0.png"])  # what was copied before is used as it is
    (copy,) = (tmp_path / "downloads").glob("[!.]*")
    harms = [
        lambda: (copy / "b" / "1.png").write_bytes(picture(rng, 1, False)),
        lambda: (copy / "b" / "one more.png").write_bytes(picture(rng, 1, False)),
        lambda: ((copy / "b").rename(tmp_path / "b"), (copy / "b").symlink_to(tmp_path / "b")),
        (copy / "b" / "3.png").unlink,
    ]
    for harm in harms:  # ... and copied again when it is not what came
        harm()
        assert len(read_source(url, cache_dir=tmp_path).train.labels) == 19
        assert not (copy / "b").is_symlink()
        assert len(list(copy.rglob("*.png"))) == 19
