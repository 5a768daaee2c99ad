"""Views and depths: what a net says of an image and its mirror image, from how many maps."""

import numpy as np
import pytest

from job.experiment.backbones import BACKBONES
from job.learning import provenance
from job.learning.backend import keras, tf
from job.learning.models import cnn, transfer
from job.learning.train import predict
from job.learning.views import any_view, averaged, stacked

pytestmark = pytest.mark.slow
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
MIRRORED = np.ascontiguousarray(IMAGES[:, :, ::-1])
MIRROR = {"views": "mirror", "input_size": 32, "alpha": 0.35, "units": 8, "dropout": 0.5}


def saved(net, folder) -> keras.Model:
    """Return a net saved and loaded, by Keras alone."""
    net.save(folder / "net.keras")
    return keras.saving.load_model(folder / "net.keras", compile=False, safe_mode=True)


def test_the_mean_over_mirror_images(tmp_path):
    """A net averaged over its views, also saved and loaded, says the mean of both."""
    net = cnn.build({"blocks": 1, "width": 4, "units": 8, "dropout": 0.5}, (32, 32, 3), 3)
    expected = (predict(net, IMAGES) + predict(net, MIRRORED)) / 2
    for both in (averaged(net, MIRROR), saved(averaged(net, MIRROR), tmp_path)):
        np.testing.assert_allclose(predict(both, IMAGES), expected, atol=1e-6)
    assert averaged(net, {"views": "none"}) is net
    *shown, mean = provenance.layers(averaged(net, MIRROR))
    assert shown == provenance.layers(net)
    assert mean["type"] == "Average"


def test_features_of_both_views(tmp_path):
    """On stored features of both views, the head says what the whole model says of the image."""
    base = transfer.base("mobilenetv2", MIRROR, (32, 32, 3), None, method=3, depths=3)
    head = transfer.head(MIRROR, base.output_shape[-1], 3)
    both = stacked(base, MIRROR)
    features = predict(both, IMAGES)
    np.testing.assert_array_equal(features[:, 1], predict(base, MIRRORED))
    whole = transfer.join(both, averaged(head, MIRROR))
    stored = predict(averaged(head, MIRROR), features)
    np.testing.assert_allclose(predict(whole, IMAGES), stored, atol=1e-6)
    np.testing.assert_allclose(predict(saved(whole, tmp_path), MIRRORED), stored, atol=1e-6)


def test_a_step_sees_one_view_of_each_image():
    """Each image's view is drawn by the seed, either of them as often."""
    features = tf.constant(np.arange(400).reshape(200, 2, 1))
    drawn = np.asarray(any_view(features, tf.constant([1, 2])))[:, 0]
    assert set(drawn // 2) == set(range(200))
    assert 0.4 < (drawn % 2).mean() < 0.6
    assert (drawn == np.asarray(any_view(features, tf.constant([1, 2])))[:, 0]).all()


@pytest.mark.parametrize("model", ["vgg19", "mobilenetv3small"])
def test_features_of_several_depths(model):
    """Features of several depths end with those of fewer."""
    most = 1 + len(BACKBONES[model].earlier)
    size = {"input_size": BACKBONES[model].least}
    deep = transfer.base(model, MIRROR | size, (32, 32, 3), None, method=3, depths=most)
    flat = transfer.base(model, MIRROR | size, (32, 32, 3), None, method=3)
    flat.set_weights(deep.get_weights())
    last = predict(flat, IMAGES)
    both = predict(deep, IMAGES)
    assert both.shape[1] > last.shape[1]
    np.testing.assert_allclose(both[:, -last.shape[1] :], last, atol=1e-6)
    assert deep.trainable_variables == []
