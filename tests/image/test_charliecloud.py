"""The image as a folder under Charliecloud, run by a real Slurm: `RUNTIME=charliecloud` of slurm/site.env."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from engine import ROOT, timed
from world import TINY, wait_for, write_images

# The desk before a Slurm, from the tests of the scripts; their conftest has the name of ours.
sys.path.append(str(ROOT / "tests" / "slurm"))
_spec = importlib.util.spec_from_file_location(
    "slurm_conftest", ROOT / "tests" / "slurm" / "conftest.py"
)
sys.modules[_spec.name] = _conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_conftest)
cluster, desk = _conftest.cluster, _conftest.desk
SETTINGS = sys.modules["cluster"].PLAIN


@pytest.fixture(scope="module")
def folder(docker, image):
    """The image as a folder, as an administrator makes it; not in /tmp, which Charliecloud has in common with the host."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="image-") as name:
        tar, made = Path(name, "image.tar"), Path(name, "image")
        with timed("docker export, ch-convert"):
            with docker.exported(image) as stream, open(tar, "wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            subprocess.run(
                ["ch-convert", "-i", "tar", "-o", "dir", tar, made], check=True, capture_output=True
            )
        tar.unlink()
        yield made


@pytest.fixture
def site(site):
    """The site as the desk knows it."""
    return site.host


def test_the_whole_chain(desk, site, folder, weights, docker, image):
    """From one command to the report, every `job` in the image; a trial requeued in the middle goes on. The bits are those of the host."""
    write_images(desk.folder / "images.npz")
    (desk.folder / "tiny.toml").write_text(TINY)
    outside = shutil.copytree(
        weights, folder.parent / "weights"
    )  # so that a folder is to be mounted which the image does not have
    desk.add(
        "RUNTIME=charliecloud",
        "VENV=/nowhere",
        f"IMAGE={folder}",
        f"BINDS=({outside})",
        f"export JOB_WEIGHTS={outside}",
    )
    ids = re.search(r"tiny is submitted: (.*)", desk.submit("tiny.toml", "--throttle", 2))[
        1
    ].split()
    trial = f"{ids[1]}_0"
    wait_for(lambda: desk.log(trial))
    with desk.held(trial):
        desk.cluster.run("scontrol", "requeue", trial)
    wait_for(lambda: not desk.cluster.queue(), 380)
    assert {desk.cluster.job(job)["JobState"] for job in ids} == {"COMPLETED"}
    assert desk.cluster.job(trial)["Restarts"] == "1"
    assert "resuming from the checkpoint" in desk.log(trial)
    report = json.loads((desk.folder / "out" / "tiny" / "report" / "report.json").read_text())
    assert {m: len(of["fold"]["folds"]) for m, of in report["models"].items()} == {
        "cnn": 2,
        "mobilenetv2": 2,
    }
    page = (desk.folder / "out" / "tiny" / "report" / "index.html").read_text()
    assert f"commit <code>{docker.labels(image)['revision']}</code>" in page
    site.job("verify", "--deep", "--replay", 2, check=0, JOB_EXPERIMENT="tiny")
    assert [p for p in (desk.folder.parent / "node").glob("job-*/*") if p.name != "cache"] == []
