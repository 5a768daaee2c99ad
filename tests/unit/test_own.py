"""Custom models: what a file may say, what counts as source, and how errors are found early."""

import json
import sys

import pytest

from job.errors import Invalid
from job.experiment.kinds import Choice, Range
from job.experiment.specification import load, parse
from job.learning import custom_check, custom_source
from job.learning.backend import keras
from job.learning.provenance import layers

FILE = """
name = "mine"
[data]
source = "digits"
[parameters]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
[models.mine]
factory = "mine:build"
"""
HEAD = "import keras\nimport tensorflow as tf\n"
NET = """
def build(parameters, input_shape, classes):
    inputs = keras.Input(input_shape)
    x = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(x))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Yield a folder on PYTHONPATH, and forget the modules imported from it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mine", "beside", "kit"):
            del sys.modules[name]


def parse_with(tmp_path, more: str):
    """Return the experiment of FILE with more lines."""
    path = tmp_path / "e.toml"
    path.write_text(FILE + more)
    return load(path)


def test_any_other_key_is_a_custom_parameter(tmp_path):
    """A key of your own is fixed, a choice or a range by its value.

    A stored experiment reads the same.
    """
    ranges = 'depth = {low = 1, high = 3}\nrate = [1, 0.5]\nkind = ["a", "b"]\n'
    e = parse_with(tmp_path, f"{ranges}wide = [true, false]\nsteps = 4\nepochs = 2\n")
    assert e.space("mine") == {
        "learning_rate": Range(1e-3, 1e-2, log=True),
        "batch_size": Choice((32, 64, 128)),
        "depth": Range(1, 3),
        "rate": Choice((1.0, 0.5)),
        "kind": Choice(("a", "b")),
        "wide": Choice((True, False)),
    }
    fixed = {"factory": "mine:build", "steps": 4, "epochs": 2, "augment": {}}
    assert e.fixed("mine") | fixed == e.fixed("mine")
    assert "dropout" not in e.models["mine"], "given to a factory only if the file gives it"
    again = parse(json.loads(json.dumps(e.spec)))
    assert (again, again.fingerprint) == (e, e.fingerprint)


WRONG = [
    (
        "learing_rate = 1",
        "unknown key 'models.mine.learing_rate' (did you mean 'learning_rate'?);"
        " if it is meant for your factory",
    ),
    ("epochs = 2\nepoch = 3", "unknown key 'models.mine.epoch' (did you mean 'epochs'?)"),
    (
        'kind = ["a", 1]',
        'models.mine.kind = ["a", 1]: expected a number, a string, true or false,'
        " a list of one of these",
    ),
    ("kind = [[1]]", "models.mine.kind = [[1]]: expected a number"),
    ("kind = []", "models.mine.kind = []: expected a number"),
    ("kind = nan", "models.mine.kind = NaN: expected a number from"),
    ('"a-b" = 1', "key \"a-b\": expected 1 to 40 letters, digits and '_'"),
    (
        "[models.My_net]\nfactory = 'm:b'",
        "[models.My_net]: expected a name of 1 to 40 of a-z, 0-9 and '-'",
    ),
    (
        "[models.other]\nfactory = 'build'",
        'models.other.factory = "build": expected "package.module:function"',
    ),
    ("[models.cnn]\nfactory = 'm:b'", "cnn is a built-in model: give yours another name"),
    ("[models.resnet5]", "unknown model 'resnet5' in [models.resnet5] (did you mean 'resnet50'?)"),
    (
        '[models.vgg19]\nclass_weights = "balance"',
        "models.vgg19.class_weights = \"balance\" (did you mean 'balanced'?):"
        " expected one of none, balanced",
    ),
    (
        "[models.vgg19]\nunfreeze = [1, 2]",
        "models.vgg19.unfreeze = [1, 2]: this parameter is fixed",
    ),
    (
        "[models.xception]\ninput_size = 64",
        "models.xception.input_size = 64: expected a whole number from 71",
    ),
]


@pytest.mark.parametrize(
    ("more", "words"), WRONG, ids=[w[0].partition("\n")[2] or w[0] for w in WRONG]
)
def test_wrong_files_get_one_sentence(tmp_path, more, words):
    """A typo in a common key is no custom parameter; an impossible value is refused by name."""
    with pytest.raises(Invalid) as caught:
        parse_with(tmp_path, more)
    assert words in str(caught.value)


def test_fine_tuning_is_set_in_the_file(tmp_path):
    """With `unfreeze` there is no features stage, and augment is allowed.

    `unfreeze = 0` is the same experiment as one without it.
    """

    def tuned(lines: str):
        return parse_with(tmp_path, f"[models.vgg19]\nepochs = 2\n{lines}")

    without = tuned("")
    off = tuned('unfreeze = 0\nclass_weights = "none"')
    on = tuned("unfreeze = 2\naugment = {flip = true}")
    assert without.fingerprint == off.fingerprint != on.fingerprint
    assert (off.plan()["features"], on.plan()["features"]) == ({"vgg19": 1}, {})
    assert on.pretrained() == ["vgg19"]
    words = (
        "vgg19: unfreeze with learning rates up to 0.01: above 0.001 a pretrained base is"
        " easily destroyed"
    )
    assert any(words in note for note in on.notes)


def test_the_source_is_what_is_imported(folder):
    """The hash covers the module and what it imports from beside it or from its package.

    A comment counts; another file does not.
    """
    (folder / "mine.py").write_text(
        "import json\nimport beside\nfrom kit.net import build\nraise RuntimeError('never run')\n"
    )
    (folder / "kit").mkdir()
    files = {"kit/net.py": "from . import layers"}
    files |= dict.fromkeys(("beside.py", "kit/__init__.py", "kit/layers.py"), "")
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "other.py").write_text("")
    first = custom_source.source("mine:build")
    (folder / "other.py").write_text("changed")
    assert custom_source.source("mine:build") == first
    seen = {first}
    for name in ("mine.py", "beside.py", "kit/__init__.py", "kit/net.py", "kit/layers.py"):
        with open(folder / name, "a") as file:
            file.write("# changed\n")
        seen.add(custom_source.source("mine:build"))
    assert len(seen) == 6
    assert "mine" not in sys.modules, "hashing runs nothing"


def test_an_experiment_keeps_its_source(folder):
    """A sealed experiment names its source; a file or a worker with another source is refused."""
    (folder / "mine.py").write_text(HEAD + NET)
    sealed = custom_source.with_source_hashes(parse_with(folder, "epochs = 2"))
    own = sealed.models["mine"]
    assert custom_source.with_source_hashes(parse(sealed.spec)) == sealed
    custom_source.check("mine", own)
    (folder / "mine.py").write_text(HEAD + NET + "\n")
    sealed_source = own["source"]
    words = (
        rf"models.mine.source = \"{sealed_source}\":"
        r" .*mine.py and what it imports are [0-9a-f]+ here"
    )
    with pytest.raises(Invalid, match=words):
        custom_source.with_source_hashes(parse(sealed.spec))
    words = (
        f"model mine was prepared with the source {sealed_source},"
        " but .*mine.py .* are .* here: give this worker"
    )
    with pytest.raises(Invalid, match=words):
        custom_source.check("mine", own)


def test_a_good_model_is_proved(folder):
    """A valid model passes, with its own random generator and regularizer.

    So does a subclass of keras.Model.
    """
    (folder / "mine.py").write_text(HEAD + GOOD)
    custom_check.prove(parse_with(folder, "epochs = 2\nunits = [2, 3]"), "mine", (8, 8, 3), 3)
    lstm = keras.layers.LSTM(2, return_state=True)
    inputs = keras.Input((4, 3))
    rows = layers(keras.Model(inputs, lstm(inputs)[0]))
    shapes = {row["name"]: row["output_shape"] for row in rows}
    assert shapes[lstm.name] == [], "it has three"


GOOD = """
@keras.saving.register_keras_serializable("mine")
class Net(keras.Model):
    def __init__(self, classes, units, **more):
        super().__init__(**more)
        self.given = {"classes": classes, "units": units}
        self.flat = keras.layers.Flatten()
        self.drop = keras.layers.Dropout(0.5)
        self.hidden = keras.layers.Dense(units, "relu", kernel_regularizer="l2")
        self.out = keras.layers.Dense(classes, "softmax")

    def call(self, x, training=False):
        return self.out(self.drop(self.hidden(self.flat(x)), training=training))

    def get_config(self):
        return super().get_config() | self.given

def build(parameters, input_shape, classes):
    assert set(parameters) >= {"learning_rate", "batch_size", "epochs", "units"}
    assert "factory" not in parameters
    return Net(classes, parameters["units"])
"""
BAD = {
    "no module": (
        None,
        r"there is no module mine: it must be installed, in a folder that PYTHONPATH names,"
        r" or in the folder",
    ),
    "no Python": ("def build(:", r"mine.py cannot be parsed as Python: "),
    "no import": (
        "import nothing_like_it",
        r"importing .*mine.py failed: ModuleNotFoundError: .* \(mine.py, line 1\)",
    ),
    "no function": (
        "def built(): pass",
        r"mine.py has no function build \(did you mean built\?\); it defines built",
    ),
    "raises": (
        "\ndef build(parameters, input_shape, classes):\n    return parameters['missing']",
        r"mine:build\(\{.*\"learning_rate\": 0.001, .*\}, \(8, 8, 3\), 3\)"
        r" raised KeyError: 'missing' \(mine.py, line 5\)",
    ),
    "arguments": (
        "def build(): pass",
        "raised TypeError: build.. takes 0 positional arguments but 3 were given",
    ),
    "no model": ("def build(*_): return 3", "returned int: expected a keras.Model"),
    "input": (
        NET.replace("Input(input_shape)", "Input((9, 9, 3))"),
        r"does not take images \[n, 8, 8, 3\]",
    ),
    "input of a Sequential": (
        "import keras\n"
        "def build(*_): return keras.Sequential("
        "[keras.Input((9, 9, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])",
        r"\[n, 8, 8, 3\]: ValueError: Input 0 .* expected shape=\(None, 9, 9, 3\)",
    ),
    "shape": (
        NET.replace("(classes, ", "(classes + 1, "),
        r"with output \(None, 4\): expected \[n, 3\]",
    ),
    "no softmax": (
        NET.replace('"softmax"', '"linear"'),
        "its outputs are not probabilities .* expected a softmax at the end",
    ),
    "lambda": (
        NET.replace("Flatten()", "Lambda(lambda v: keras.ops.reshape(v, (-1, 192)))"),
        "cannot be saved and loaded as a .keras file",
    ),
    "not registered": (
        NET.replace("keras.layers.Flatten()", "Flat()")
        + "\nclass Flat(keras.layers.Flatten):\n    pass\n",
        "cannot be saved and loaded as a .keras file: TypeError: Could not locate class 'Flat'",
    ),
    "hidden state": (
        NET.replace("keras.layers.Flatten()", "Noise()")
        + """
@keras.saving.register_keras_serializable("mine")
class Noise(keras.layers.Layer):
    def call(self, x, training=False):
        return tf.reshape(x + tf.random.normal(tf.shape(x)) if training else x, (-1, 192))
    def compute_output_shape(self, shape):
        return (None, 192)
""",
        "stopped after two steps and resumed from the checkpoint, it gives other bits",
    ),
    "no config": (
        NET.replace("keras.layers.Flatten()", "Times(3)")
        + """
@keras.saving.register_keras_serializable("mine")
class Times(keras.layers.Layer):
    def __init__(self, n=1, **more):
        super().__init__(**more)
        self.n = n
    def call(self, x):
        return keras.ops.reshape(x * self.n, (-1, 192))
    def get_config(self):
        return super().get_config()
""",
        "saved and loaded, it gives other predictions, by up to .*: check get_config of its layers",
    ),
    "one choice": (
        NET.replace(
            "keras.Input(input_shape)",
            "keras.Input(input_shape if parameters['kind'] == 'a' else int('x'))",
        ),
        '"kind": "b".*raised ValueError',
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_prepare_refuses_a_bad_model(folder, what):
    """What would fail hours later is refused early, with the function, arguments and line."""
    text, words = BAD[what]
    if text is not None:
        head = "" if "Python" in what or "import" in what else HEAD
        (folder / "mine.py").write_text(head + text)
    with pytest.raises(Invalid, match=words) as caught:
        experiment = parse_with(folder, "epochs = 2\nkind = ['a', 'b']")
        custom_source.with_source_hashes(experiment)
        custom_check.prove(experiment, "mine", (8, 8, 3), 3)
    assert "\n" not in str(caught.value)
