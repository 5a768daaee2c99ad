"""The example of a custom model as a user runs it: real processes, from prepare to verify."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from job.coordination.database import Database
from job.storage.store import open_store
from tests.support.formats import expect_format
from tests.support.site import imports

EXAMPLE = Path(__file__).parents[2] / "examples" / "own"


@pytest.fixture
def own(site):
    """Return a site with a smaller copy of the example, whose module PYTHONPATH finds."""
    shutil.copytree(EXAMPLE, site.folder / "code")
    small = {
        "trials = 4": "trials = 1",
        "epochs = 3": "epochs = 1",
        "filters = 16": "filters = 4",
        "depth = [1, 2, 3]": "depth = [1, 2]",
    }
    text = (EXAMPLE / "own.toml").read_text()
    for old, new in small.items():
        assert old in text
        text = text.replace(old, new)
    (site.folder / "own.toml").write_text(text)
    site.environ.update(JOB_EXPERIMENT="own", PYTHONPATH=str(site.folder / "code"))
    return site


def test_a_custom_model_from_prepare_to_verify(own):
    """A custom model passes every stage and replays with the same bits.

    With another source nothing new begins, and what is done stays done.
    """
    assert "own is prepared" in own.job("prepare", "own.toml", check=0).stdout
    for stage in ("trial", "fold", "final"):
        own.job(stage, "--index", 0, check=0)
    database = Database(own.database_url, 5)
    store = open_store(own.store_url, 5)
    task = database.rows("select parameters, artifact from task where stage = 'final'")[0]
    assert set(task["parameters"]) == {"learning_rate", "batch_size", "depth"}
    result = json.loads(store.get(task["artifact"]["result.json"]["key"]))
    expect_format("result", result)
    source = database.rows("select spec from experiment")[0]["spec"]["models"]["residual"]["source"]
    assert (result["parameters"]["source"], result["parameters"]["filters"]) == (source, 4)
    verified = own.job("verify", "--deep", "--replay", 1, "--seed", 0, check=0).stdout
    assert "is bit for bit the same" in verified, verified

    Image.new("RGB", (9, 9)).save(own.folder / "picture.png")
    assert "picture.png" in own.job("predict", "residual", "picture.png", check=0).stdout

    module = own.folder / "code" / "residual.py"
    module.write_text(module.read_text().replace("0.1", "0.2"))
    refused = own.job("prepare", "own.toml", check=78).stderr
    assert f'models.residual.source: "{source}" -> "' in refused
    assert "(the code of its factory). Give the file a new name" in refused
    refused = own.job("fold", "--index", 1, check=78).stderr
    prepared = f"model residual was prepared with the source {source}"
    assert f"{prepared}, but {module} and what it imports are" in refused
    refused = own.job("predict", "residual", "picture.png", check=78).stderr
    assert "was prepared with the source" in refused
    assert database.rows("select state, counted from task where stage = 'fold' and index = 1") == [
        {"state": "waiting", "counted": 0}
    ]
    module.unlink()
    done = own.job("trial", "--index", 0, check=0, PYTHONPROFILEIMPORTTIME="1")
    assert imports(done, "residual", "tensorflow") == []
