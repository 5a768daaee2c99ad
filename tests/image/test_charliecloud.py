"""The image as a folder under Charliecloud in a real Slurm: RUNTIME=charliecloud."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.image.engine import timed
from tests.slurm.cluster import PLAIN
from tests.support.experiments import TINY, write_images
from tests.support.waiting import wait_for

SETTINGS = PLAIN


@pytest.fixture(scope="module")
def folder(docker, image):
    """The image as a folder, as an administrator makes it.

    It is not in /tmp, which Charliecloud shares with the host.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="image-") as name:
        tar = Path(name, "image.tar")
        made = Path(name, "image")
        with timed("docker export, ch-convert"):
            with docker.exported(image) as stream, open(tar, "wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
            command = ["ch-convert", "-i", "tar", "-o", "dir", tar, made]
            subprocess.run(command, check=True, capture_output=True)
        tar.unlink()
        yield made


@pytest.fixture
def site(site):
    """The site on the host, for the desk."""
    return site.host


def test_the_whole_chain(desk, site, folder, weights, docker, image):
    """One command runs all stages in the image, a requeued trial resumes, with the host's bits."""
    write_images(desk.folder / "images.npz")
    (desk.folder / "tiny.toml").write_text(TINY)
    # A folder that the image does not have, which must be mounted.
    outside = shutil.copytree(weights, folder.parent / "weights")
    desk.add(
        "RUNTIME=charliecloud",
        "VENV=/nowhere",
        f"IMAGE={folder}",
        f"BINDS=({outside})",
        f"export JOB_WEIGHTS={outside}",
    )
    output = desk.submit("tiny.toml", "--throttle", 2)
    ids = re.search(r"tiny is submitted: (.*)", output)[1].split()
    trial = f"{ids[1]}_0"
    wait_for(lambda: desk.log(trial))
    with desk.held(trial):
        desk.cluster.run("scontrol", "requeue", trial)
    wait_for(lambda: not desk.cluster.queue(), 380)
    assert {desk.cluster.job(job)["JobState"] for job in ids} == {"COMPLETED"}
    assert desk.cluster.job(trial)["Restarts"] == "1"
    assert "resuming from the checkpoint" in desk.log(trial)
    report = json.loads((desk.folder / "out" / "tiny" / "report" / "report.json").read_text())
    folds = {m: len(of["fold"]["folds"]) for m, of in report["models"].items()}
    assert folds == {"cnn": 2, "mobilenetv2": 2}
    page = (desk.folder / "out" / "tiny" / "report" / "index.html").read_text()
    assert f"commit <code>{docker.labels(image)['revision']}</code>" in page
    site.job("verify", "--deep", "--replay", 2, check=0, JOB_EXPERIMENT="tiny")
    assert [p for p in (desk.folder.parent / "node").glob("job-*/*") if p.name != "cache"] == []
