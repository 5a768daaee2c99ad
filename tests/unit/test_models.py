"""Nets: preprocessing is Keras' own, a joined model is base and head, a saved one predicts the same."""

import keras
import numpy as np
import pytest

from job.errors import Invalid
from job.models import cnn, transfer
from job.train import predict

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
OFFICIAL = {"mobilenetv2": keras.applications.mobilenet_v2.preprocess_input, "vgg16": keras.applications.vgg16.preprocess_input}
PARAMETERS = {"input_size": 32, "alpha": 0.35, "units": 8, "dropout": 0.5}


@pytest.mark.parametrize("model", OFFICIAL)
def test_preprocessing_is_keras_own(model):
    """What we do to pixels of 0-1 is what the network's preprocess_input does to pixels of 0-255."""
    ours = transfer.NETWORKS[model][1](IMAGES.astype(np.float32) / 255)
    np.testing.assert_allclose(np.asarray(ours), OFFICIAL[model](IMAGES.astype(np.float32)), atol=1e-3)


@pytest.mark.parametrize("size", [32, 48])
def test_end_to_end_is_features_then_head(size, tmp_path):
    """From an image to probabilities gives, also when saved and loaded, what the head gives on stored features."""
    base = transfer.base("mobilenetv2", PARAMETERS | {"input_size": size}, (32, 32, 3), None)
    head = transfer.head(PARAMETERS, base.output_shape[-1], 3)
    stored = predict(head, predict(base, IMAGES))
    transfer.join(base, head).save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(predict(loaded, IMAGES), stored, atol=1e-5)
    np.testing.assert_allclose(stored.sum(1), 1, atol=1e-5)


def test_a_frozen_base_is_frozen():
    """Nothing of the base is trained, and training mode does not reach its batch normalisation."""
    base = transfer.base("mobilenetv2", PARAMETERS, (32, 32, 3), None)
    assert base.trainable_variables == []
    x = IMAGES.astype(np.float32) / 255
    np.testing.assert_array_equal(np.asarray(base(x, training=True)), np.asarray(base(x, training=False)))


def test_blocks_and_width():
    """`blocks` counts the blocks, `width` doubles with each."""
    net = cnn.build({"blocks": 3, "width": 4, "units": 8, "dropout": 0.5}, (32, 32, 3), 5)
    filters = [layer.filters for layer in net.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [4, 4, 8, 8, 16, 16]
    assert net.output_shape == (None, 5)


def test_wrong_weights(tmp_path):
    """A file that is no weights at all is refused by its name."""
    (tmp_path / "x.weights.h5").write_bytes(b"no")
    with pytest.raises(Invalid, match="weights x.weights.h5 do not fit mobilenetv2"):
        transfer.base("mobilenetv2", PARAMETERS, (32, 32, 3), tmp_path / "x.weights.h5")
