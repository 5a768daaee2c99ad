"""The whitening net: what its first layer takes from which images, and its size."""

import numpy as np
import pytest

from job.learning.backend import keras
from job.learning.interface import Examples
from job.learning.models import whitenet
from job.learning.train import predict

pytestmark = pytest.mark.slow
PARAMETERS = {"width": 4, "dropout": 0.0}
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 12, 10, 3), np.uint8)
IMAGES //= np.array([1, 2, 4], np.uint8)  # the colors differ in variance


def examples(images, rows) -> Examples:
    """Return such images of one class."""
    return Examples(images, np.zeros(len(images), np.int64), np.asarray(rows))


def answers(images, filters) -> np.ndarray:
    """Return what filters say of all patches of images, [patches, filters]."""
    return np.asarray(keras.ops.conv(images / 255.0, filters)).reshape(-1, filters.shape[-1])


def test_answers_are_uncorrelated():
    """The second moments of the answers to training patches are those of the identity matrix."""
    seen = answers(IMAGES[:50], whitenet.whitening_filters(examples(IMAGES, range(50)), 1))
    moments = seen.T @ seen / len(seen)
    # Less than 1 by what is added to each variance: most in the color of the least variance.
    assert np.abs(moments - np.diag(moments.diagonal())).max() < 1e-6
    assert moments.diagonal().min() > 0.8
    assert moments.diagonal().max() <= 1


def test_only_training_rows_are_seen():
    """Other images than those of the training rows change nothing."""
    others = IMAGES.copy()
    others[50:] = 255 - others[50:]
    rows = np.arange(50)[::-1]
    first, second = (
        whitenet.whitening_filters(examples(images, rows), 1) for images in (IMAGES, others)
    )
    np.testing.assert_array_equal(first, second)


def test_many_images_are_sampled(monkeypatch):
    """Of many images, those that the seed draws are used."""
    monkeypatch.setattr(whitenet, "BATCH", 10)
    monkeypatch.setattr(whitenet, "PIXELS", 120 * 20)
    rows = np.arange(50)
    by_seed = [whitenet.whitening_filters(examples(IMAGES, rows), seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(by_seed[0], by_seed[1])
    assert (by_seed[0] != by_seed[2]).any()
    assert np.abs(answers(IMAGES, by_seed[0]).mean(0)).max() < 2


def test_gray_images():
    """Gray images vary in a third of the directions; the other filters are zeros."""
    gray = np.repeat(IMAGES[..., :1], 3, axis=-1)
    filters = whitenet.whitening_filters(examples(gray, range(60)), 1)
    zeros = (filters == 0).all(axis=(0, 1, 2))
    assert zeros.sum() == 8
    moments = (answers(gray, filters) ** 2).mean(0)
    assert moments[~zeros].min() > 0.9


def test_black_images():
    """Images without any variance leave a net that can be trained."""
    black = examples(np.zeros((4, 8, 8, 3), np.uint8), range(4))
    assert (whitenet.whitening_filters(black, 1) == 0).all()


@pytest.mark.parametrize(
    ("side", "blocks", "last"), [(8, 3, 3), (16, 3, 3), (32, 3, 3), (64, 3, 7), (224, 5, 6)]
)
def test_blocks_follow_the_size(side, blocks, last):
    """Larger images have more blocks, so that the last map has 3 to 7 pixels per side."""
    net = whitenet.build(PARAMETERS, (side, side, 3), 5)
    kernels = [layer for layer in net.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [kernel.filters for kernel in kernels] == [
        24,
        *(4 * 2**block for block in range(blocks) for _ in (1, 2)),
    ]
    assert kernels[-1].output.shape[1:3] == (last, last)


def test_the_saved_net_is_plain_keras(tmp_path):
    """The saved net holds the whitening, and loads without code of this project."""
    net = whitenet.build(PARAMETERS, IMAGES.shape[1:], 3)
    whitenet.adapt(net, examples(IMAGES, range(60)), 1)
    assert "whitening" not in {v.path.partition("/")[0] for v in net.trainable_variables}
    net.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(predict(loaded, IMAGES), predict(net, IMAGES))
