"""The views of an image, itself and its mirror image, and the mean of what a net says of them."""

from job.learning.backend import keras, tf

MIRROR = 2  # views


def averaged(net: keras.Model, parameters: dict) -> keras.Model:
    """Return the net that is scored and published: the mean of a net's answers over the views.

    Args:
        net: images [n, height, width, channels], or the features of one view [n, d], to
            probabilities [n, k].
        parameters: `views`, "none" or "mirror".

    Returns:
        The net itself for "none". Else a net from images, or from the features of all views
        [n, v, d], to probabilities [n, k]; it shares the variables of `net`.
    """
    if parameters["views"] == "none":
        return net
    shape = net.input_shape[1:]
    if len(shape) == 1:
        inputs = keras.Input((MIRROR, *shape), name="features")
        seen = [keras.ops.take(inputs, view, axis=1) for view in range(MIRROR)]
    else:
        inputs = keras.Input(shape, name="image")
        seen = [inputs, _mirrored(inputs)]
    outputs = keras.layers.Average(name="probabilities")([net(view) for view in seen])
    return keras.Model(inputs, outputs, name=net.name)


def stacked(base: keras.Model, parameters: dict) -> keras.Model:
    """Return the base whose features are stored: a base's features of each view.

    Args:
        base: images [n, height, width, channels] to features [n, d].
        parameters: `views`, "none" or "mirror".

    Returns:
        The base itself for "none", else a net to features [n, v, d].
    """
    if parameters["views"] == "none":
        return base
    inputs = keras.Input(base.input_shape[1:], name="image")
    outputs = keras.ops.stack([base(inputs), base(_mirrored(inputs))], axis=1)
    result = keras.Model(inputs, outputs, name=base.name)
    result.trainable = False
    return result


def any_view(features, seed):
    """Return the features of one view of each image, drawn at random.

    Args:
        features: of all views, float32 [n, v, d].
        seed: int32 [2]; the same seed draws the same views.

    Returns:
        float32 [n, d].
    """
    n, views, _ = tf.unstack(tf.shape(features))
    drawn = tf.random.stateless_uniform(tf.stack([n]), seed, 0, views, tf.int32)
    return tf.ensure_shape(tf.gather(features, drawn, batch_dims=1), [None, features.shape[-1]])


def _mirrored(images):
    return keras.ops.flip(images, axis=2)
