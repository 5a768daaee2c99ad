"""What identifies an experiment: which changes make it another one, and how they are named."""

import json
import tomllib

import pytest

from job.errors import Invalid
from job.experiment.experiment import METHODS, NEWEST, differences
from job.experiment.serialize import toml
from job.experiment.specification import from_stored, load, parse
from tests.support.experiments import THREE_TRIALS, write_experiment


def test_fingerprint_ignores_what_may_grow(tmp_path):
    """More trials keep the fingerprint; more epochs change it."""
    small = load(write_experiment(tmp_path, THREE_TRIALS))
    more_trials = load(write_experiment(tmp_path, THREE_TRIALS.replace("trials = 3", "trials = 9")))
    more_epochs = load(write_experiment(tmp_path, THREE_TRIALS.replace("epochs = 2", "epochs = 3")))
    assert small.fingerprint == more_trials.fingerprint
    assert small.fingerprint != more_epochs.fingerprint


def test_differences_name_the_key():
    """A changed leaf is named with its old and its new value."""
    before = {"a": {"b": 1, "c": 2}}
    after = {"a": {"b": 3, "c": 2}, "d": 4}
    assert differences(before, after) == ["a.b: 1 -> 3", "d: absent -> 4"]


# An experiment of the first versions as a database stores it, and the fingerprint that it had.
FIRST = """{"name": "small", "seed": 5, "threads": 2,
"data": {"source": "digits", "holdout": 0.2, "validation": 0.2},
"search": {"trials": 25, "metric": "accuracy", "sampler": "tpe", "pruner": "none",
"min_epochs": 1, "enqueue": []},
"features": {"shards": 1}, "folds": {"count": 5}, "final": {"seeds": 1},
"models": {
"cnn": {"learning_rate": {"low": 0.0001, "high": 0.01, "log": true}, "batch_size": [32, 64, 128],
"epochs": 2, "schedule": "cosine", "dropout": 0.3, "weight_decay": 0.0, "label_smoothing": 0.0,
"blocks": 3, "width": 32, "units": 128, "augment": {}},
"mobilenetv2": {"learning_rate": {"low": 0.0001, "high": 0.01, "log": true},
"batch_size": [32, 64, 128], "epochs": 10, "schedule": "cosine", "dropout": 0.3,
"weight_decay": 0.01, "label_smoothing": 0.1, "input_size": 96, "units": 0, "alpha": 1.0}},
"reference": []}"""
FINGERPRINT = "8da26cfe039b4e380bc9e2ec88478e770369276d363c648b73aec105c0fcf200"


def test_an_experiment_of_the_first_versions_stays_what_it_is():
    """A specification stored without a method is of method 1.

    Its canonical form and its fingerprint are what they were.
    """
    first = from_stored(json.loads(FIRST))
    assert (first.method, first.spec, first.fingerprint) == (1, json.loads(FIRST), FINGERPRINT)


def test_a_file_follows_the_newest_method_unless_it_says_another():
    """A file without `method` follows the newest method, and its specification says so.

    With `method = 1` it is the experiment of the first versions.
    """
    tree = json.loads(FIRST)
    newest = parse(tree)
    assert newest.method == newest.spec["method"] == NEWEST == 3
    assert newest.fingerprint != FINGERPRINT
    assert not newest.says_method
    assert from_stored(newest.spec) == newest
    first = parse(tree | {"method": 1})
    assert first.fingerprint == FINGERPRINT
    assert first.says_method
    with pytest.raises(Invalid, match="method = 4: expected a whole number from 1 to 3"):
        parse(tree | {"method": 4})


def test_one_repeat_is_none():
    """An experiment that says `repeats = 1` is the one that does not say it."""
    tree = json.loads(FIRST) | {"method": 1}
    tree["search"]["repeats"] = 1
    assert parse(tree).fingerprint == FINGERPRINT
    tree["search"]["repeats"] = 2
    assert parse(tree).fingerprint != FINGERPRINT
    assert from_stored(parse(tree).spec).repeats == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_recipe_says_the_method(method):
    """The file that a report prints makes the same experiment, whatever its method.

    On request, the file leaves the method out.
    """
    experiment = parse(json.loads(FIRST) | {"method": method})
    text = toml(experiment.spec)
    assert f"\nmethod = {method}\n" in text
    assert parse(tomllib.loads(text)).fingerprint == experiment.fingerprint
    assert "method" not in toml(experiment.spec, says_method=False)
