"""Frozen ImageNet bases: features once, a head on them, and both joined into one model."""

from pathlib import Path

from job.errors import Invalid
from job.experiment.backbones import BACKBONES
from job.learning.backend import keras
from job.learning.kernels import leaves


def base(
    model: str,
    parameters: dict,
    image_shape: tuple[int, int, int],
    weights: Path | None,
    *,
    method: int,
) -> keras.Model:
    """Return the frozen base: images of 0-1 at the staged size to pooled features, float32 [n, d].

    Resizing and the network's own preprocessing are part of it.

    Args:
        weights: a file of the network without its top; None: random ones, for tests.
        method: the experiment's, see job.experiment.experiment.METHODS: how images are shrunk.

    Raises: Invalid for weights of another architecture.
    """
    size = parameters["input_size"]
    inputs = keras.Input(image_shape, name="image")
    x = inputs
    if tuple(image_shape[:2]) != (size, size):
        x = keras.layers.Resizing(
            size, size, interpolation="bilinear", antialias=antialiased(image_shape, size, method)
        )(x)
    net = network(model, size, parameters)
    if weights is not None:
        _load(net, weights, model)
    net.trainable = False
    x = net(preprocessed(model, x), training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    result = keras.Model(inputs, x, name=f"{model}_features")
    result.trainable = False
    return result


def antialiased(image_shape: tuple[int, ...], size: int, method: int) -> bool:
    """Tell whether a base's images are resized with antialiasing: where they become smaller; by method 1 never.

    Without it, bilinear shrinking looks at four pixels of many, and stripes come out as noise. What grows is the same either way.
    """
    return method >= 2 and max(image_shape[:2]) > size


def head(parameters: dict, features: int, classes: int) -> keras.Model:
    """Return the head: stored features [n, features] to probabilities [n, classes]."""
    inputs = keras.Input((features,), name="features")
    x = keras.layers.BatchNormalization(momentum=0.9)(inputs)
    if parameters["units"]:
        x = keras.layers.Dense(parameters["units"], activation="relu")(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    return keras.Model(
        inputs,
        keras.layers.Dense(classes, activation="softmax", name="probabilities")(x),
        name="head",
    )


def join(base: keras.Model, head: keras.Model) -> keras.Model:
    """Return base and head as one model, from images of 0-1 to probabilities."""
    return keras.Model(base.input, head(base.output), name=base.name.removesuffix("_features"))


def tuned(
    model: str,
    parameters: dict,
    image_shape: tuple[int, int, int],
    classes: int,
    weights: Path | None,
    *,
    method: int,
) -> keras.Model:
    """Return base and head as one model whose head and last `unfreeze` layers of the base can be trained.

    A layer counts if it has weights and is no batch normalisation: those stay as they are, and the whole base runs in inference mode.
    Source: keras.io/guides/transfer_learning. Raises: Invalid for more layers than there are, or weights of another architecture.
    """
    bottom = base(model, parameters, image_shape, weights, method=method)
    net = join(bottom, head(parameters, bottom.output_shape[-1], classes))
    backbone = next(
        layer for layer in net.layers if isinstance(layer, keras.Model) and layer.name != "head"
    )
    backbone.trainable = True
    layers = list(leaves(backbone))
    counted = [
        layer
        for layer in layers
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    n = parameters["unfreeze"]
    if n > len(counted):
        raise Invalid(
            f"models.{model}.unfreeze = {n}: {model} has {len(counted)} layers that can be trained; set at most that"
        )
    for layer in layers:
        layer.trainable = any(layer is last for last in counted[-n:])
    return net


def fixed(net: keras.Model) -> list[keras.Variable]:
    """Return what no step of a net changes: the variables of its frozen layers."""
    return [
        v
        for part in net.layers
        if isinstance(part, keras.Model)
        for layer in leaves(part)
        if not layer.trainable
        for v in layer.variables
    ]


def network(model: str, size: int, parameters: dict) -> keras.Model:
    """Return a network of keras.applications without its top and with random weights, for squares of `size` pixels."""
    alpha = {"alpha": parameters["alpha"]} if model == "mobilenetv2" else {}
    return getattr(keras.applications, BACKBONES[model].constructor)(
        input_shape=(size, size, 3), include_top=False, weights=None, **alpha
    )


def preprocessed(model: str, x):
    """Return pixels of 0-1 as the network wants them: what its preprocess_input in keras.applications makes of 0-255."""
    return PIXELS[BACKBONES[model].pixels](x)


def _load(net: keras.Model, path: Path, model: str) -> None:
    try:
        net.load_weights(str(path))
    except (ValueError, OSError, KeyError) as exc:
        raise Invalid(
            f"weights {path.name} do not fit {model}: {str(exc).splitlines()[0]}; expected a file of keras.applications' {model} without its top"
        ) from exc


def _minus_one_to_one(x):
    return keras.layers.Rescaling(2.0, -1.0)(x)


def _caffe(x):
    """BGR, minus ImageNet's mean."""
    return keras.layers.Rescaling(255.0, [-103.939, -116.779, -123.68])(keras.ops.flip(x, axis=-1))


def _torch(x):
    """Minus ImageNet's mean, by its standard deviation."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return keras.layers.Rescaling(
        [1 / d for d in deviation], [-m / d for m, d in zip(mean, deviation, strict=True)]
    )(x)


def _raw(x):
    """The network's first layers do it themselves (include_preprocessing)."""
    return keras.layers.Rescaling(255.0)(x)


PIXELS = {"tf": _minus_one_to_one, "caffe": _caffe, "torch": _torch, "raw": _raw}
