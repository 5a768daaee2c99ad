"""The experiment file: what is read, and what is answered to a wrong one."""

import json
from pathlib import Path

import pytest

from job.errors import Invalid
from job.experiment.parameters import Choice, Range
from job.experiment.specification import load, parse, stored

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
SMALL = """
name = "small"
[data]
source = "digits"
[search]
trials = 3
[models.cnn]
epochs = 2
"""


def written(tmp_path, text):
    path = tmp_path / "e.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_valid_and_stable(path):
    """Every shipped example is read, and its canonical form gives the same experiment again."""
    experiment = load(path)
    assert experiment.name == path.stem
    again = stored(json.loads(json.dumps(experiment.spec)))
    assert again == experiment
    assert again.fingerprint == experiment.fingerprint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            SMALL.encode("utf-16"),
            "is not UTF-8 text (invalid start byte at byte 0): save it as UTF-8",
        ),
        (b"reference = 3" + SMALL.encode(), "reference = 3: expected [[reference]] tables"),
        (SMALL.encode() + b"learning_rate = 1" + b"0" * 400, "expected a number from 1e-08 to 10"),
        (b"x = " + b"[" * 9000 + b"]" * 9000 + SMALL.encode(), "is not TOML"),
        (
            SMALL.encode().replace(b"trials = 3", b"trials = 3\nenqueue = [{ dropout = 0.5 }]"),
            "search.enqueue[0].dropout: no model searches 'dropout'",
        ),
    ],
    ids=[
        "UTF-16",
        "a reference that is no table",
        "a huge number",
        "deep nesting",
        "a point that is not searched",
    ],
)
def test_a_file_that_no_editor_of_ours_wrote(tmp_path, content, words):
    """Whatever stands in a file, the answer is one sentence."""
    (tmp_path / "e.toml").write_bytes(content)
    with pytest.raises(Invalid) as error:
        load(tmp_path / "e.toml")
    assert words in str(error.value) and "did you mean 'dropout'" not in str(error.value)


def test_defaults_search_learning_rate_and_batch_size(tmp_path):
    """By default learning rate and batch size are searched, as in the original work."""
    experiment = load(written(tmp_path, SMALL))
    assert experiment.space("cnn") == {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "batch_size": Choice((32, 64, 128)),
    }


def test_model_overrides_parameters(tmp_path):
    """[models.X] overrides [parameters]; a value is fixed, a list a choice, a table a range."""
    text = (
        SMALL.replace("epochs = 2", "epochs = 2\ndropout = [0.1, 0.2]\nlearning_rate = 0.5")
        + "[parameters]\nlearning_rate = {low = 1, high = 2}\nbatch_size = {low = 8, high = 16, step = 4}"
    )
    experiment = load(written(tmp_path, text))
    assert experiment.fixed("cnn")["learning_rate"] == 0.5
    assert experiment.space("cnn") == {
        "batch_size": Range(8, 16, step=4),
        "dropout": Choice((0.1, 0.2)),
    }
    assert experiment.space("cnn")["batch_size"].whole


def test_notes_say_what_has_no_effect(tmp_path):
    """A setting without effect is said."""
    assert load(written(tmp_path, SMALL)).notes == (
        "trials = 3: random search; TPE starts after 10",
    )


def test_a_size_is_a_side_or_two(tmp_path):
    """data.image_size is one whole number, or height and width; groups and sizes stand in the specification only where they are given."""
    experiment = load(
        written(
            tmp_path, SMALL.replace('"digits"', '"x.zip"\nimage_size = [24, 32]\ngroups = "g.csv"')
        )
    )
    assert (
        experiment.spec["data"]["image_size"] == [24, 32] and parse(experiment.spec) == experiment
    )
    assert not {"groups", "image_size"} & load(written(tmp_path, SMALL)).spec["data"].keys()


WRONG = [
    (
        'source = "digits"',
        'source = "x"\nimage_size = [24]',
        "[24]: expected a whole number from 8 to 2,048, the side of a square, or [height, width]",
    ),
    ('source = "digits"', 'source = "x"\nimage_size = [24, 4]', "data.image_size = 4: expected"),
    (
        'source = "digits"',
        'source = "https://me:hidden@host/x.zip"',
        "data.source is a URL (https://) with a password or a query",
    ),
    (
        'source = "digits"',
        'source = "https://host/x.zip?v=1&X-Amz-Signature=hidden"',
        "pass the whole URL with --data or JOB_DATA",
    ),
    (
        'source = "digits"',
        'source = "https://host/x.zip?auth=hidden"',
        "a query that may be a secret",
    ),
    (
        'source = "digits"',
        'source = "https://host/x.zip?download=1&code=hidden"',
        "a query that may be a secret",
    ),
    (
        'source = "digits"',
        'source = "x"\ngroups = "s3://me:hidden@b/g.csv"',
        "data.groups is a URL (s3://) with a password",
    ),
    ("[data]", "[dta]", "'dta' (did you mean 'data'?)"),
    ("trials = 3", "trails = 3", "'search.trails' (did you mean 'trials'?)"),
    (
        "trials = 3",
        'trials = "3"',
        'search.trials = "3": expected a whole number from 1 to 1,000,000',
    ),
    ("trials = 3", "trials = true", "search.trials = true: expected a whole number"),
    ("trials = 3", "trials = 0", "search.trials = 0: expected"),
    ("trials = 3", "trials = 1.5", "search.trials = 1.5: expected a whole number"),
    ('name = "small"', "", "`name` is missing"),
    ('name = "small"', 'name = "Small_1"', "expected 1 to 40 of a-z, 0-9 and '-'"),
    ('source = "digits"', "", "`data.source` is missing"),
    (
        "[models.cnn]",
        "[models.cnnn]",
        "unknown model 'cnnn' in [models.cnnn] (did you mean 'cnn'?)",
    ),
    ("[models.cnn]\nepochs = 2", "", "`[models.<name>]` is missing"),
    ("epochs = 2", "epochs = [2, 3]", "models.cnn.epochs = [2, 3]: this parameter is fixed"),
    (
        "epochs = 2",
        "learning_rate = {low = 1e-2, high = 1e-4}",
        "low (0.01) must be below high (0.0001); swap them",
    ),
    (
        "epochs = 2",
        "learning_rate = {low = 0, high = 1, log = true}",
        "learning_rate.low = 0.0: expected a number from 1e-08",
    ),
    ("epochs = 2", "learning_rate = {low = 0.1}", "a range needs `high`"),
    (
        "epochs = 2",
        "learning_rate = {low = 0.1, high = 1, steps = 2}",
        "models.cnn.learning_rate.steps (did you mean 'step'?)",
    ),
    ("epochs = 2", "batch_size = []", "expected at least one value"),
    ("epochs = 2", "batch_size = [[1, 2]]", "a choice lists plain values"),
    ("epochs = 2", 'schedule = "cosin"', "(did you mean 'cosine'?)"),
    ("epochs = 2", "augment = {flop = true}", "models.cnn.augment.flop (did you mean 'flip'?)"),
    ("epochs = 2", "augment = {shift = 3}", "augment.shift = 3.0: expected a number from 0 to 0.9"),
    (
        "[models.cnn]",
        "[folds]\ncount = 1\n[models.cnn]",
        "folds.count = 1: expected a whole number from 2",
    ),
    (
        "[models.cnn]",
        "[models.vgg16]\naugment = {flip = true}\n[models.cnn]",
        "a frozen base sees clean images once",
    ),
    (
        "[models.cnn]",
        "[parameters]\nlearning_rat = 1\n[models.cnn]",
        "'parameters.learning_rat' (did you mean 'learning_rate'?)",
    ),
    ("trials = 3", 'trials = 3\npruner = "hyperband"', "its brackets need at least 20 trials"),
    (
        "trials = 3",
        'trials = 3\npruner = "median"\nmin_epochs = 5',
        "search.min_epochs = 5 is more than models.cnn.epochs = 2",
    ),
    (
        "trials = 3",
        "trials = 3\nenqueue = [{learning_rate = 5}]",
        "search.enqueue[0].learning_rate = 5: outside the search space of cnn",
    ),
    ("trials = 3", "trials = 3\nenqueue = [{dropout = 0.5}]", "no model searches 'dropout'"),
    (
        "[models.cnn]",
        '[[reference]]\nname = "x"\nmodel = "cnn"\naccuracy = 57\n[models.cnn]',
        "reference[0].accuracy = 57.0: expected a number from 0 to 1",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "words"), WRONG, ids=[w[1].strip() or f"no {w[0].strip()}" for w in WRONG]
)
def test_wrong_files_get_one_sentence(tmp_path, old, new, words):
    """A wrong file is answered with file, key, value and what is expected; the code is 78."""
    assert old in SMALL
    path = written(tmp_path, SMALL.replace(old, new))
    with pytest.raises(Invalid) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value) and "hidden" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    """A missing file, a folder, and a file that is not TOML are answered too."""
    for path, words in (
        (tmp_path / "no.toml", "no such file"),
        (tmp_path, "cannot be read"),
        (written(tmp_path, "= ="), "is not TOML"),
    ):
        with pytest.raises(Invalid, match=words):
            load(path)
