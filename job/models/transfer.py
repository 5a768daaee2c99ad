"""Frozen ImageNet bases: features once, a head on them, and both joined into one model."""

from pathlib import Path

import keras

from job.errors import Invalid


def base(model: str, parameters: dict, image_shape: tuple[int, int, int], weights: Path | None) -> keras.Model:
    """Return the frozen base: images of 0-1 at the staged size to pooled features, float32 [n, d].

    Resizing and the network's own preprocessing are part of it. Args: weights: a file of the network
    without its top; None: random ones, for tests. Raises: Invalid for weights of another architecture.
    """
    size = parameters["input_size"]
    inputs = keras.Input(image_shape, name="image")
    x = inputs
    if tuple(image_shape[:2]) != (size, size):
        x = keras.layers.Resizing(size, size, interpolation="bilinear")(x)
    network, preprocess = NETWORKS[model]
    net = network((size, size, 3), parameters)
    if weights is not None:
        _load(net, weights, model)
    net.trainable = False
    x = net(preprocess(x), training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    result = keras.Model(inputs, x, name=f"{model}_features")
    result.trainable = False
    return result


def head(parameters: dict, features: int, classes: int) -> keras.Model:
    """Return the head: stored features [n, features] to probabilities [n, classes]."""
    inputs = keras.Input((features,), name="features")
    x = keras.layers.BatchNormalization(momentum=0.9)(inputs)
    if parameters["units"]:
        x = keras.layers.Dense(parameters["units"], activation="relu")(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="probabilities")(x), name="head")


def join(base: keras.Model, head: keras.Model) -> keras.Model:
    """Return base and head as one model, from images of 0-1 to probabilities."""
    return keras.Model(base.input, head(base.output), name=base.name.removesuffix("_features"))


def _load(net: keras.Model, path: Path, model: str) -> None:
    try:
        net.load_weights(str(path))
    except (ValueError, OSError, KeyError) as exc:
        raise Invalid(
            f"weights {path.name} do not fit {model}: {str(exc).splitlines()[0]}; expected a file of keras.applications' {model} without its top"
        ) from exc


def _mobilenetv2(shape, parameters) -> keras.Model:
    return keras.applications.MobileNetV2(shape, alpha=parameters["alpha"], include_top=False, weights=None)


def _vgg16(shape, parameters) -> keras.Model:
    return keras.applications.VGG16(include_top=False, weights=None, input_shape=shape)


def _minus_one_to_one(x):
    """MobileNetV2's preprocessing, for pixels of 0-1: keras.applications.mobilenet_v2.preprocess_input."""
    return keras.layers.Rescaling(2.0, -1.0)(x)


def _caffe(x):
    """VGG16's preprocessing, for pixels of 0-1: BGR, minus ImageNet's mean (keras.applications.vgg16.preprocess_input)."""
    return keras.layers.Rescaling(255.0, [-103.939, -116.779, -123.68])(keras.ops.flip(x, axis=-1))


NETWORKS = {"mobilenetv2": (_mobilenetv2, _minus_one_to_one), "vgg16": (_vgg16, _caffe)}
