"""The origin of a result, as its record says."""

import subprocess
from pathlib import Path

import pytest

from job.learning import provenance

TOP = Path(__file__).parents[2]


@pytest.mark.skipif(not (TOP / ".git").exists(), reason="not a checkout")
def test_a_checkout_names_its_commit(monkeypatch):
    """Without JOB_GIT_COMMIT the commit is that of the checkout the code runs from."""
    monkeypatch.delenv("JOB_GIT_COMMIT", raising=False)
    command = ["git", "-C", str(TOP), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert provenance.git_commit() == head
    monkeypatch.setenv("JOB_GIT_COMMIT", "abc")
    assert provenance.git_commit() == "abc"
