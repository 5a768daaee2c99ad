"""What an experiment is: which change makes it another one, and how that is said."""

from test_specification import SMALL, written

from job.experiment import differences
from job.specification import load


def test_fingerprint_ignores_what_may_grow(tmp_path):
    """trials may grow without another fingerprint; epochs may not."""
    a = load(written(tmp_path, SMALL))
    assert a.fingerprint == load(written(tmp_path, SMALL.replace("trials = 3", "trials = 9"))).fingerprint
    assert a.fingerprint != load(written(tmp_path, SMALL.replace("epochs = 2", "epochs = 3"))).fingerprint


def test_differences_name_the_key():
    """A changed leaf is named with its old and new value."""
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}, "d": 4}) == ["a.b: 1 -> 3", "d: absent -> 4"]
