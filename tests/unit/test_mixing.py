"""Mixup and CutMix, beside their formulas."""

import numpy as np
import pytest

from job.learning.backend import tf
from job.learning.mixing import mix

pytestmark = pytest.mark.slow
N = 500


def mixed(shape: tuple[int, ...], seed: int = 1, **alphas: float):
    """Return a batch whose numbers name their image, and its labels, both mixed."""
    x = tf.broadcast_to(tf.reshape(tf.range(float(N)), (N, *[1] * len(shape))), (N, *shape))
    truth = tf.one_hot(np.arange(N), N)
    images, labels = mix(x, truth, {"mixup": 0.0, "cutmix": 0.0} | alphas, tf.constant([seed, 3]))
    return np.asarray(images), np.asarray(labels)


@pytest.mark.parametrize("shape", [(7,), (4, 6, 3)])
def test_mixup_is_a_weighted_mean(shape):
    """An image is the mean of itself and its partner, weighted as its label is."""
    images, labels = mixed(shape, mixup=0.4)
    expected = labels @ np.arange(N)
    assert np.abs(images - expected.reshape(N, *[1] * len(shape))).max() < 1e-3 * N
    check_weights(labels, 0.4)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_cutmix_is_a_rectangle(alpha):
    """An image has a rectangle of its partner, whose area is the partner's part of the label."""
    images, labels = mixed((10, 14, 1), cutmix=alpha)
    for i, image in enumerate(images[..., 0]):
        rows, columns = np.nonzero(image != i)
        if rows.size == 0:
            assert labels[i, i] == pytest.approx(1, abs=1e-6)
            continue
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (box == box[0, 0]).all(), "all of the rectangle is of one partner"
        assert labels[i, int(box[0, 0])] == pytest.approx(box.size / 140, abs=1e-5)
    assert labels.sum(1) == pytest.approx(1, abs=1e-5)


def test_a_small_alpha_mixes_little():
    """However small alpha is, nearly every image stays as it is or becomes its partner."""
    images, labels = mixed((2, 2, 1), mixup=0.01)
    assert np.isfinite(images).all()
    assert labels.sum(1) == pytest.approx(1, abs=1e-5)
    assert (labels.max(1) > 0.99).mean() > 0.9


def check_weights(labels, alpha):
    """Compare the weights of the own labels with Beta(alpha, alpha): its mean and variance."""
    own = np.diag(labels)[np.count_nonzero(labels, axis=1) == 2]
    assert labels.sum(1) == pytest.approx(1, abs=1e-5)
    assert own.mean() == pytest.approx(0.5, abs=0.08)
    assert own.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.25)


def test_each_batch_has_one_of_both():
    """With both methods on, about half of the batches are mixup, the others CutMix."""
    is_mixup = [(mixed((2, 2, 1), i, mixup=1.0, cutmix=1.0)[0] % 1 > 0).any() for i in range(20)]
    assert 4 <= sum(is_mixup) <= 16


def test_the_seed_decides():
    """The same seed gives the same batch, another seed another one; without alpha all stays."""
    first = mixed((4, 4, 3), 1, mixup=1.0)
    again = mixed((4, 4, 3), 1, mixup=1.0)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in again]
    assert not np.array_equal(first[0], mixed((4, 4, 3), 2, mixup=1.0)[0])
    images, labels = mixed((4, 4, 3))
    assert (images[:, 0, 0, 0] == np.arange(N)).all()
    assert (labels == np.eye(N)).all()
