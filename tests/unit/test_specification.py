"""The experiment file: what a valid one means, and which error a wrong one gets."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from job.errors import Invalid
from job.experiment.keys import SECTIONS
from job.experiment.kinds import Choice, Range
from job.experiment.sections import Data, Features, Final, Folds, Search
from job.experiment.specification import from_stored, load, parse
from tests.support.experiments import THREE_TRIALS, write_experiment

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_valid_and_stable(path):
    """Every shipped example is valid, and its canonical form gives the same experiment again."""
    experiment = load(path)
    assert experiment.name == path.stem
    again = from_stored(json.loads(json.dumps(experiment.spec)))
    assert again == experiment
    assert again.fingerprint == experiment.fingerprint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            THREE_TRIALS.encode("utf-16"),
            "is not UTF-8 text (invalid start byte at byte 0): save it as UTF-8",
        ),
        (b"reference = 3" + THREE_TRIALS.encode(), "reference = 3: expected [[reference]] tables"),
        (
            THREE_TRIALS.encode() + b"learning_rate = 1" + b"0" * 400,
            "expected a number from 1e-08 to 10",
        ),
        (b"x = " + b"[" * 9000 + b"]" * 9000 + THREE_TRIALS.encode(), "is not TOML"),
        (
            THREE_TRIALS.encode().replace(
                b"trials = 3", b"trials = 3\nenqueue = [{ dropout = 0.5 }]"
            ),
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
    """Whatever a file contains, the error is one sentence."""
    (tmp_path / "e.toml").write_bytes(content)
    with pytest.raises(Invalid) as error:
        load(tmp_path / "e.toml")
    assert words in str(error.value)
    assert "did you mean 'dropout'" not in str(error.value)


def test_a_section_has_the_keys_of_its_table():
    """The fields of each section are the keys that its table accepts, in the same order."""
    known = {
        s.__name__.lower(): [f.name for f in fields(s)]
        for s in (Data, Search, Features, Folds, Final)
    }
    assert known == {name: [*keys] for name, keys in SECTIONS.items() if name}


def test_defaults_search_learning_rate_and_batch_size(tmp_path):
    """By default learning rate and batch size are searched, as in the original work."""
    experiment = load(write_experiment(tmp_path, THREE_TRIALS))
    assert experiment.space("cnn") == {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "batch_size": Choice((32, 64, 128)),
    }


def test_parameters_of_a_base_that_is_trained(tmp_path):
    """What only a base with `unfreeze` has may stand in [parameters], for all such bases."""
    text = THREE_TRIALS.replace("[models.cnn]", "[models.vgg16]\nunfreeze = 1")
    experiment = load(write_experiment(tmp_path, text + "[parameters]\nbase_rate = 0.1\n"))
    assert experiment.fixed("vgg16")["base_rate"] == 0.1


def test_model_overrides_parameters(tmp_path):
    """[models.X] overrides [parameters]; a value is fixed, a list a choice, a table a range."""
    model = "epochs = 2\ndropout = [0.1, 0.2]\nlearning_rate = 0.5\n"
    parameters = """
[parameters]
learning_rate = {low = 1, high = 2}
batch_size = {low = 8, high = 16, step = 4}
"""
    experiment = load(
        write_experiment(tmp_path, THREE_TRIALS.replace("epochs = 2", model) + parameters)
    )
    assert experiment.fixed("cnn")["learning_rate"] == 0.5
    assert experiment.space("cnn") == {
        "batch_size": Range(8, 16, step=4),
        "dropout": Choice((0.1, 0.2)),
    }
    assert experiment.space("cnn")["batch_size"].whole


TUNED = """
[models.mobilenetv2]
unfreeze = 1
learning_rate = [1e-4, 0.01]
batch_size = 32
"""


@pytest.mark.parametrize(
    ("changed", "added", "expected"),
    [
        ("trials = 3", "", "trials = 3: random search; TPE starts after 10"),
        (
            'trials = 3\npruner = "median"',
            "",
            'pruner = "median" has no effect: it starts after 5 trials, there are 3',
        ),
        (
            "trials = 1",
            "[[search.enqueue]]\nbatch_size = 32\n" * 2,
            "enqueue has 2 points for 1 trials: the last 1 are not tried",
        ),
        (
            "trials = 3",
            "[features]\nshards = 2\n",
            "features.shards has no effect: no model has a frozen base",
        ),
        (
            "trials = 3",
            TUNED,
            "mobilenetv2: unfreeze with learning rates up to 0.01: above 0.001 a pretrained base is"
            " easily destroyed",
        ),
        (
            "trials = 3",
            TUNED.replace("[1e-4, 0.01]", "1e-4"),
            "mobilenetv2 searches nothing: its 3 trials differ in their seeds only",
        ),
        (
            "trials = 3",
            '[models.whitenet]\nepochs = 2\noptimizer = ["adam", "sgd"]\n',
            "whitenet: learning rates up to 0.3 with adam: above 0.03 few nets learn with it;"
            " such rates are for sgd",
        ),
        (
            "trials = 3",
            "momentum = 0.5\n",
            "cnn: momentum has no effect: only the optimizers sgd and muon have it",
        ),
        (
            "trials = 3",
            'class_weights = "balanced"\nmixup = [0.0, 0.2]\ncutmix = 1.0\n',
            'cnn: class_weights = "balanced" with mixup and cutmix: a mixed image weighs the mean'
            " of its two classes, so rare classes weigh less than alone",
        ),
    ],
)
def test_notes_say_what_has_no_effect(tmp_path, changed, added, expected):
    """A note names a setting that has no effect or is likely a mistake."""
    text = THREE_TRIALS.replace("trials = 3", changed) + added
    assert expected in load(write_experiment(tmp_path, text)).notes


def test_a_size_is_a_side_or_two(tmp_path):
    """data.image_size is one whole number, or height and width.

    The specification has a later key only if the file sets it to something else than it was.
    """
    keys = 'image_size = [24, 32]\ngroups = "g.csv"\nlabels = "l.csv"\nfit = "pad"'
    text = THREE_TRIALS.replace('"digits"', f'"x.zip"\n{keys}\ndamaged = "skip"')
    experiment = load(write_experiment(tmp_path, text))
    later = {"groups", "image_size", "labels", "fit", "damaged"}
    assert later <= experiment.spec["data"].keys()
    assert experiment.spec["data"]["image_size"] == [24, 32]
    assert parse(experiment.spec) == experiment
    implied = THREE_TRIALS.replace(
        '"digits"', '"digits"\nimage_size = 32\nfit = "stretch"\ndamaged = "refuse"'
    )
    for plain in (THREE_TRIALS, implied):
        said = load(write_experiment(tmp_path, plain)).spec["data"].keys()
        assert not (later - {"image_size"}) & said


SOURCE = 'source = "digits"'
NAME = 'name = "small"'
TRIALS = "trials = 3"
EPOCHS = "epochs = 2"
CNN = "[models.cnn]"
# A line of THREE_TRIALS, what a wrong file has in its place, and words of the error.
WRONG = [
    (
        SOURCE,
        'source = "x"\nimage_size = [24]',
        "[24]: expected a whole number from 8 to 2,048, the side of a square, or [height, width]",
    ),
    (SOURCE, 'source = "x"\nimage_size = [24, 4]', "data.image_size = 4: expected"),
    (
        SOURCE,
        'source = "https://me:hidden@host/x.zip"',
        "data.source is a URL (https://) with a password or a query",
    ),
    (
        SOURCE,
        'source = "https://host/x.zip?v=1&X-Amz-Signature=hidden"',
        "pass the whole URL with --data or JOB_DATA",
    ),
    (SOURCE, 'source = "https://host/x.zip?auth=hidden"', "a query that may be a secret"),
    (
        SOURCE,
        'source = "https://host/x.zip?download=1&code=hidden"',
        "a query that may be a secret",
    ),
    (
        SOURCE,
        'source = "x"\ngroups = "s3://me:hidden@b/g.csv"',
        "data.groups is a URL (s3://) with a password",
    ),
    (
        SOURCE,
        'source = "x"\nlabels = "https://host/l.csv?token=hidden"',
        "data.labels is a URL (https://) with a password or a query that may be a secret",
    ),
    (
        SOURCE,
        'source = "x"\nfit = "crop"',
        'data.fit = "crop" without data.image_size: images keep their size',
    ),
    (SOURCE, 'source = "x"\nfit = "zoom"', "data.fit = "),
    (SOURCE, 'source = "x"\ndamaged = "ignore"', "data.damaged = "),
    ("[data]", "[dta]", "'dta' (did you mean 'data'?)"),
    (TRIALS, "trails = 3", "'search.trails' (did you mean 'trials'?)"),
    (TRIALS, 'trials = "3"', 'search.trials = "3": expected a whole number from 1 to 1,000,000'),
    (TRIALS, "trials = true", "search.trials = true: expected a whole number"),
    (TRIALS, "trials = 0", "search.trials = 0: expected"),
    (TRIALS, "trials = 1.5", "search.trials = 1.5: expected a whole number"),
    (NAME, "", "`name` is missing"),
    (NAME, 'name = "Small_1"', "expected 1 to 40 of a-z, 0-9 and '-'"),
    (SOURCE, "", "`data.source` is missing"),
    (CNN, "[models.cnnn]", "unknown model 'cnnn' in [models.cnnn] (did you mean 'cnn'?)"),
    ("[models.cnn]\nepochs = 2", "", "`[models.<name>]` is missing"),
    (EPOCHS, "epochs = [2, 3]", "models.cnn.epochs = [2, 3]: this parameter is fixed"),
    (
        EPOCHS,
        "learning_rate = {low = 1e-2, high = 1e-4}",
        "low (0.01) must be below high (0.0001); swap them",
    ),
    (
        EPOCHS,
        "learning_rate = {low = 0, high = 1, log = true}",
        "learning_rate.low = 0.0: expected a number from 1e-08",
    ),
    (EPOCHS, "learning_rate = {low = 0.1}", "a range needs `high`"),
    (
        EPOCHS,
        "learning_rate = {low = 0.1, high = 1, steps = 2}",
        "models.cnn.learning_rate.steps (did you mean 'step'?)",
    ),
    (EPOCHS, "batch_size = []", "expected at least one value"),
    (EPOCHS, "batch_size = [[1, 2]]", "a choice lists plain values"),
    (EPOCHS, 'schedule = "cosin"', "(did you mean 'cosine'?)"),
    (
        EPOCHS,
        'optimizer = "adamx"',
        "\"adamx\" (did you mean 'adam'?): expected one of adam, adamw, sgd",
    ),
    (EPOCHS, "warmup = 1", "models.cnn.warmup = 1.0: expected a number from 0 to 0.9"),
    (EPOCHS, "mixup = -1", "models.cnn.mixup = -1.0: expected a number from 0 to 10"),
    (
        CNN,
        "[models.vgg16]\ncutmix = 1\n[models.cnn]",
        "a frozen base sees clean images once and its features are stored, so cutmix has no effect",
    ),
    (
        CNN,
        "[parameters]\ncutmix = 1\n[models.vgg16]\n[models.cnn]",
        "parameters.cutmix would apply to vgg16: a frozen base sees clean images",
    ),
    (
        CNN,
        "[models.mobilenetv2]\nalpha = 0.4\n[models.cnn]",
        "models.mobilenetv2.alpha = 0.4: expected one of 0.35, 0.5, 0.75, 1.0, 1.3, 1.4",
    ),
    (
        CNN,
        "[models.densenet121]\ndepths = 5\n[models.cnn]",
        "models.densenet121.depths = 5: expected a whole number from 1 to 4",
    ),
    (
        CNN,
        "[models.vgg16]\nunfreeze = 2\ndepths = 2\n[models.cnn]",
        "only a frozen base has depths: with unfreeze, its last map is trained",
    ),
    (
        CNN,
        "[models.vgg16]\nbase_rate = 0.1\n[models.cnn]",
        "only a base with unfreeze is trained",
    ),
    (
        CNN,
        "[parameters]\nbase_rate = 0.1\n[models.vgg16]\n[models.cnn]",
        "parameters.base_rate: none of the models vgg16, cnn has it",
    ),
    (EPOCHS, 'views = "mirrored"', "(did you mean 'mirror'?): expected one of none, mirror"),
    (EPOCHS, "augment = {flop = true}", "models.cnn.augment.flop (did you mean 'flip'?)"),
    (EPOCHS, "augment = {shift = 3}", "augment.shift = 3.0: expected a number from 0 to 0.9"),
    (CNN, "[folds]\ncount = 1\n[models.cnn]", "folds.count = 1: expected a whole number from 2"),
    (
        CNN,
        "[models.vgg16]\naugment = {flip = true}\n[models.cnn]",
        "a frozen base sees clean images once",
    ),
    (
        CNN,
        "[parameters]\nlearning_rat = 1\n[models.cnn]",
        "'parameters.learning_rat' (did you mean 'learning_rate'?)",
    ),
    (TRIALS, 'trials = 3\npruner = "hyperband"', "its brackets need at least 20 trials"),
    (
        TRIALS,
        'trials = 3\npruner = "median"\nmin_epochs = 5',
        "search.min_epochs = 5 is more than models.cnn.epochs = 2",
    ),
    (
        TRIALS,
        'trials = 3\npruner = "median"\nmin_epochs = 7\nrepeats = 3',
        "search.min_epochs = 7 is more than models.cnn.epochs = 2 times search.repeats = 3",
    ),
    (
        TRIALS,
        "trials = 3\nrepeats = 6",
        "search.repeats = 6 with data.validation = 0.2: each repeat leaves out other images,"
        " which is possible 5 times; lower repeats, or data.validation to 0.16",
    ),
    (
        TRIALS,
        "trials = 3\nenqueue = [{learning_rate = 5}]",
        "search.enqueue[0].learning_rate = 5: outside the search space of cnn",
    ),
    (TRIALS, "trials = 3\nenqueue = [{dropout = 0.5}]", "no model searches 'dropout'"),
    (
        CNN,
        '[[reference]]\nname = "x"\nmodel = "cnn"\naccuracy = 57\n[models.cnn]',
        "reference[0].accuracy = 57.0: expected a number from 0 to 1",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "words"), WRONG, ids=[w[1].strip() or f"no {w[0].strip()}" for w in WRONG]
)
def test_wrong_files_get_one_sentence(tmp_path, old, new, words):
    """The error of a wrong file names the file, the key, the value and what is expected."""
    assert old in THREE_TRIALS
    path = write_experiment(tmp_path, THREE_TRIALS.replace(old, new))
    with pytest.raises(Invalid) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    """A missing file, a folder, and a file that is not TOML get an error of their own."""
    for path, words in (
        (tmp_path / "no.toml", "no such file"),
        (tmp_path, "cannot be read"),
        (write_experiment(tmp_path, "= ="), "is not TOML"),
    ):
        with pytest.raises(Invalid, match=words):
            load(path)
