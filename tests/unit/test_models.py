"""Nets: Keras' own preprocessing; joined is base plus head; saved models predict the same."""

import importlib
import random
import warnings
from pathlib import Path

import numpy as np
import pytest

from job.errors import Invalid
from job.experiment.backbones import BACKBONES
from job.experiment.experiment import NEWEST
from job.learning import weights
from job.learning.backend import keras
from job.learning.models import cnn, transfer
from job.learning.train import Examples, Hooks, predict, train

pytestmark = pytest.mark.slow
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
# Networks that are quick to build.
QUICK = ("mobilenetv2", "vgg19", "convnexttiny", "mobilenetv3small", "mobilenet", "xception")
PARAMETERS = {"input_size": 32, "alpha": 0.35, "units": 8, "dropout": 0.5}


@pytest.mark.parametrize("model", BACKBONES)
def test_preprocessing_is_keras_own(model):
    """Preprocessing pixels of 0-1 equals the network's preprocess_input on pixels of 0-255."""
    ours = transfer.preprocess(model, IMAGES.astype(np.float32) / 255)
    module = getattr(keras.applications, BACKBONES[model].module)
    official = module.preprocess_input(IMAGES.astype(np.float32))
    np.testing.assert_allclose(np.asarray(ours), official, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", QUICK)
def test_weights_are_the_file_keras_downloads(model, monkeypatch):
    """Name, address and hash of a weights file are those that Keras itself would ask for."""

    class Asked(Exception):
        pass

    def get_file(name, origin, file_hash=None, **_):
        raise Asked(name, origin, file_hash)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    alpha = {"alpha": 0.35} if model == "mobilenetv2" else {}
    size = BACKBONES[model].least
    constructor = getattr(keras.applications, BACKBONES[model].constructor)
    # Keras warns that 224 px would be best.
    with pytest.raises(Asked) as asked, warnings.catch_warnings(action="ignore"):
        constructor(input_shape=(size, size, 3), include_top=False, **alpha)
    name = weights.names(model, alpha)[1]
    assert asked.value.args == (name, weights.url(model, alpha), BACKBONES[model].hash)


@pytest.mark.parametrize("model", [model for model in BACKBONES if model not in QUICK])
def test_hashes_are_in_keras_source(model):
    """Keras' source has every other network's hash, folder and smallest image size."""
    backbone = BACKBONES[model]
    name = backbone.module.replace("resnet_v2", "resnet")
    module = importlib.import_module(f"keras.src.applications.{name}")
    source = Path(module.__file__).read_text()
    assert f'"{backbone.hash}"' in source
    joined = source.replace('"\n    "', "")
    assert f"/{backbone.folder or backbone.module}/" in joined
    if model != "mobilenetv3large":  # its source says it in words
        assert f"min_size={backbone.least}" in source


def test_fine_tuning_trains_the_last_layers_and_no_normalization():
    """`unfreeze = 2` trains two layers of the base and the head.

    Batch normalization keeps its weights and statistics.
    """
    parameters = PARAMETERS | {"unfreeze": 2, "learning_rate": 0.01, "schedule": "constant"}
    parameters |= {"batch_size": 5, "epochs": 1, "weight_decay": 0.0, "label_smoothing": 0.0}
    net = transfer.fine_tuning_model("mobilenetv2", parameters, (32, 32, 3), 3, None, method=NEWEST)
    before = {v.path: v.numpy().copy() for v in net.variables}
    examples = Examples(IMAGES, np.arange(5) % 3, np.arange(5))
    train(net, parameters, examples, None, 0, Hooks(), method=NEWEST)
    head = ("batch_normalization", "dense", "probabilities", "seed_generator", "dropout")
    base = [v for v in net.variables if not v.path.startswith(head)]
    changed = {v.path for v in base if (before[v.path] != np.asarray(v)).any()}
    assert changed == {"block_16_project/kernel", "Conv_1/kernel"}
    trained = {id(v) for v in net.trainable_variables}
    assert {id(v) for v in transfer.fixed_variables(net)} == {id(v) for v in base} - trained
    too_many = parameters | {"unfreeze": 900}
    words = "unfreeze = 900: mobilenetv2 has 52 layers that can be trained"
    with pytest.raises(Invalid, match=words):
        transfer.fine_tuning_model("mobilenetv2", too_many, (32, 32, 3), 3, None, method=NEWEST)


@pytest.mark.parametrize(("size", "side"), [(32, 32), (48, 32), (32, 50)])
def test_end_to_end_is_features_then_head(size, side, tmp_path):
    """From image to probabilities gives what the head gives on stored features.

    That holds for the saved and loaded model, too.
    """
    parameters = PARAMETERS | {"input_size": size}
    base = transfer.base("mobilenetv2", parameters, (side, side, 3), None, method=NEWEST)
    images = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    head = transfer.head(PARAMETERS, base.output_shape[-1], 3)
    stored = predict(head, predict(base, images))
    transfer.join(base, head).save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(predict(loaded, images), stored, atol=1e-5)
    np.testing.assert_allclose(stored.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(("method", "deviation"), [(1, 127), (2, 15)])
def test_a_base_sees_smaller_images_without_noise(method, deviation):
    """Stripes of 2 pixels, shrunk from 288 to 96 pixels, are nearly gray.

    By method 1 they are black and white, as in old experiments.
    """
    stripes = np.tile((np.arange(288) // 2 % 2).astype(np.float32)[:, None, None], (1, 1, 288, 3))
    parameters = PARAMETERS | {"input_size": 96}
    base = transfer.base("mobilenetv2", parameters, (288, 288, 3), None, method=method)
    rescaling = next(layer for layer in base.layers if isinstance(layer, keras.layers.Rescaling))
    seen = keras.Model(base.input, rescaling.input)
    assert 255 * np.asarray(seen(stripes)).std() == pytest.approx(deviation, abs=1)


@pytest.mark.parametrize("shape", [(32, 32, 3), (24, 40, 3)])
def test_images_that_grow_are_the_same_by_both_methods(shape):
    """Where images grow or keep their size, both methods give the same bits and share features."""
    images = np.random.default_rng(0).random((4, *shape), np.float32)
    parameters = PARAMETERS | {"input_size": 48}
    one = transfer.base("mobilenetv2", parameters, shape, None, method=1)
    two = transfer.base("mobilenetv2", parameters, shape, None, method=2)
    two.set_weights(one.get_weights())
    np.testing.assert_array_equal(np.asarray(one(images)), np.asarray(two(images)))
    assert not transfer.is_antialiased(shape, 48, 2)
    assert transfer.is_antialiased((24, 49, 3), 48, 2)


def test_a_draw_of_another_thread_changes_no_net():
    """Keras draws the seeds of layers from a generator that no other library draws from."""

    def kernels(disturb):
        keras.utils.set_random_seed(3)
        found = []
        for _ in range(2):
            layer = keras.layers.Dense(4)
            layer.build((None, 3))
            found.append(layer.kernel.numpy())
            disturb()
        return np.stack(found)

    calm = kernels(lambda: None)
    assert np.array_equal(kernels(random.random), calm)
    assert not np.array_equal(calm[0], calm[1])


def test_a_frozen_base_is_frozen():
    """No part of the base is trained, and training mode does not reach its batch normalization."""
    base = transfer.base("mobilenetv2", PARAMETERS, (32, 32, 3), None, method=NEWEST)
    assert base.trainable_variables == []
    x = IMAGES.astype(np.float32) / 255
    answers = [np.asarray(base(x, training=training)) for training in (True, False)]
    np.testing.assert_array_equal(*answers)


def test_blocks_and_width():
    """`blocks` counts the blocks, and `width` doubles with each."""
    net = cnn.build({"blocks": 3, "width": 4, "units": 8, "dropout": 0.5}, (32, 32, 3), 5)
    filters = [layer.filters for layer in net.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [4, 4, 8, 8, 16, 16]
    assert net.output_shape == (None, 5)


def test_wrong_weights(tmp_path):
    """A file that holds no weights is refused by its name."""
    (tmp_path / "x.weights.h5").write_bytes(b"no")
    with pytest.raises(Invalid, match=r"weights x.weights.h5 do not fit mobilenetv2"):
        file = tmp_path / "x.weights.h5"
        transfer.base("mobilenetv2", PARAMETERS, (32, 32, 3), file, method=NEWEST)
