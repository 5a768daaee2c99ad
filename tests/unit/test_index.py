"""Which task an invocation runs."""

import re

import pytest

from job.errors import UsageError
from job.experiment.specification import parse
from job.experiment.task import Element, Key, element, resolve

EXPERIMENT = parse(
    {
        "name": "e",
        "data": {"source": "digits"},
        "search": {"trials": 3},
        "models": {"cnn": {}, "vgg16": {}},
    }
)


def test_the_flag_wins():
    """--index takes precedence, then Slurm's variable with the offset, then Kubernetes'."""
    environ = {"SLURM_ARRAY_TASK_ID": "4", "JOB_INDEX_OFFSET": "1000", "JOB_COMPLETION_INDEX": "9"}
    assert element(2, environ) == Element(2, "--index")
    assert element(None, environ) == Element(1004, "SLURM_ARRAY_TASK_ID")
    assert element(None, {"JOB_COMPLETION_INDEX": "9"}) == Element(9, "JOB_COMPLETION_INDEX")


@pytest.mark.parametrize(
    ("flag", "environ", "words"),
    [
        ("x", {}, "--index = 'x': expected a whole number"),
        ("-1", {}, "--index = '-1'"),
        (None, {"JOB_COMPLETION_INDEX": "1.5"}, "JOB_COMPLETION_INDEX = '1.5'"),
        (None, {"SLURM_ARRAY_TASK_ID": "1", "JOB_INDEX_OFFSET": "a"}, "JOB_INDEX_OFFSET = 'a'"),
        (None, {}, "which task?"),
    ],
)
def test_no_number_is_named_with_its_origin(flag, environ, words):
    """The error of an invalid index names the flag or variable that it came from."""
    with pytest.raises(UsageError, match=re.escape(words)):
        element(flag, environ)


def test_the_index_runs_over_the_models():
    """Without --model the index runs over the models in the order of the file.

    For features it runs over the frozen models only.
    """
    trial = Key("vgg16", "trial", 1)
    features = Key("vgg16", "features", 0)
    assert resolve(EXPERIMENT, "trial", Element(4, "--index"), None) == trial
    assert resolve(EXPERIMENT, "trial", Element(1, "--index"), "vgg16") == trial
    assert resolve(EXPERIMENT, "features", Element(0, "--index"), None) == features


def test_beyond_the_stage():
    """An index beyond the stage is an error if a person gave it, and no task if a scheduler did."""
    with pytest.raises(UsageError, match=r"trial index 6 \(from --index\) is not in 0..5"):
        resolve(EXPERIMENT, "trial", Element(6, "--index"), None)
    assert resolve(EXPERIMENT, "trial", Element(6, "JOB_COMPLETION_INDEX"), None) is None
    with pytest.raises(UsageError, match="did you mean 'cnn'"):
        resolve(EXPERIMENT, "trial", Element(0, "--index"), "cn")
