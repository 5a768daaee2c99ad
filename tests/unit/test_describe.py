"""What is said of a data set's size: whether its validation part can tell trials apart."""

import re

import numpy as np
import pytest

from job.data.describe import uncertain
from job.experiment.specification import parse


def experiment(trials: int, repeats: int = 1):
    """Return an experiment of so many trials."""
    search = {"trials": trials, "repeats": repeats, "pruner": "none"}
    models = {"cnn": {"epochs": 1}}
    return parse({"name": "e", "data": {"source": "digits"}, "search": search, "models": models})


@pytest.mark.parametrize(("validation", "trials"), [(100, 2), (100, 10), (500, 40)])
def test_the_lead_of_the_best_by_chance(validation, trials):
    """Standard error and lead are those of trials that are all right on half of the images."""
    (note,) = uncertain(validation, experiment(trials))
    error, lead = (float(text) / 100 for text in re.findall(r"up to ([\d.]+) points", note))
    rng = np.random.default_rng(0)
    accuracies = rng.binomial(validation, 0.5, size=(4000, trials)) / validation
    assert error == pytest.approx(accuracies.std(), rel=0.03)
    assert lead == pytest.approx(accuracies.max(axis=1).mean() - 0.5, rel=0.06)


@pytest.mark.parametrize(("validation", "trials"), [(10, 1), (1000, 4), (5000, 40)])
def test_enough_images_get_no_note(validation, trials):
    """Nothing is said where chance decides little, or where there is nothing to compare."""
    assert uncertain(validation, experiment(trials)) == []


def test_advice_that_can_be_followed():
    """Five parts of a fifth are all images: more repeats cannot help then."""
    (note,) = uncertain(60, experiment(4, repeats=3))
    assert "or search.repeats up to 5" in note
    (note,) = uncertain(100, experiment(4, repeats=5))
    assert note.endswith("by chance; only more images, or fewer trials, can change that")
