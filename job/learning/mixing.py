"""Mixup and CutMix: each image gets a part of another one of its batch, and of its label."""

from job.learning.backend import tf
from job.learning.draws import reseed
from job.learning.rectangles import rectangle


def mix(x, truth, parameters: dict, seed):
    """Return a batch and its labels, mixed; with both methods on, a batch draws one of them.

    Args:
        x: images, float32 [n, height, width, channels], or features, float32 [n, d].
        truth: float32 [n, classes], each row sums to 1.
        parameters: `mixup` and `cutmix`: alpha of Beta(alpha, alpha), from which each image
            draws the part that it keeps; 0 for none.
        seed: int32 [2]; the same seed gives the same batch.
    """
    if not parameters["mixup"] and not parameters["cutmix"]:
        return x, truth
    n = tf.shape(x)[0]
    partner = tf.argsort(tf.random.stateless_uniform(tf.stack([n]), reseed(seed, "partner")))
    other = tf.gather(x, partner)
    mixed = []
    if parameters["mixup"]:
        mixed.append(_mixup(x, other, _kept(n, parameters["mixup"], seed)))
    if parameters["cutmix"]:
        kept = _kept(n, parameters["cutmix"], seed)
        mixed.append(_cutmix(x, other, kept, reseed(seed, "place")))
    images, kept = mixed[0]
    if len(mixed) == 2:
        first = tf.random.stateless_uniform([], reseed(seed, "method")) < 0.5
        images, kept = (tf.where(first, a, b) for a, b in zip(*mixed, strict=True))
    kept = kept[:, None]
    return images, kept * truth + (1 - kept) * tf.gather(truth, partner)


def _kept(n, alpha: float, seed):
    """Return the part that each of n images keeps, float32 [n], from Beta(alpha, alpha)."""
    # In float32 a small alpha gives numbers too small to tell apart, and their ratio 1/2.
    alpha_64 = tf.constant(alpha, tf.float64)
    gamma = tf.random.stateless_gamma(
        tf.stack([2, n]), reseed(seed, "part"), alpha_64, dtype=tf.float64
    )
    return tf.cast(gamma[0] / (gamma[0] + gamma[1]), tf.float32)


def _mixup(x, other, kept):
    """Return the weighted means, and the weights. Source: Zhang et al. 2018, "mixup"."""
    weight = tf.reshape(kept, [-1] + [1] * (x.shape.rank - 1))
    return weight * x + (1 - weight) * other, kept


def _cutmix(x, other, kept, seed):
    """Return images with a rectangle of others, and the part of each that is its own.

    The rectangle has the proportions of the image. It is centered anywhere, and cut at the edges.
    Source: Yun et al. 2019, "CutMix".
    """
    center = tf.random.stateless_uniform(tf.stack([2, tf.shape(x)[0]]), seed)
    inside = rectangle(x, center, tf.sqrt(1 - kept) / 2)
    own = 1 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])
    return tf.where(inside[..., None], other, x), own
