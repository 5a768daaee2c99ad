"""ImageNet bases: frozen with a head on their features, or fine-tuned together with a head."""

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
    depths: int = 1,
) -> keras.Model:
    """Return the frozen base, which resizes, preprocesses and maps images to pooled features.

    Args:
        model: a key of BACKBONES.
        parameters: `input_size` in pixels, and `alpha` of MobileNetV2.
        image_shape: of a staged image, (height, width, channels).
        weights: a file of the network without its top; None for random weights.
        method: of the experiment (see METHODS in job.experiment.experiment); it decides how images
            become smaller.
        depths: how many maps the features are means of: the last one, and those that the table of
            bases names before it.

    Returns:
        A net from images of 0-1, float32 [n, height, width, channels], to float32 [n, d].

    Raises:
        Invalid: the weights are of another architecture.
    """
    size = parameters["input_size"]
    inputs = keras.Input(image_shape, name="image")
    x = inputs
    if tuple(image_shape[:2]) != (size, size):
        antialias = is_antialiased(image_shape, size, method)
        x = keras.layers.Resizing(size, size, interpolation="bilinear", antialias=antialias)(x)
    net = network(model, size, parameters)
    if weights is not None:
        _load(net, weights, model)
    net.trainable = False
    x = _means(model, net, preprocess(model, x), depths)
    result = keras.Model(inputs, x, name=f"{model}_features")
    result.trainable = False
    return result


def _means(model: str, net: keras.Model, x, depths: int):
    """Return the mean over each map at the end of a network, and at depths before, side by side."""
    if depths == 1:
        return keras.layers.GlobalAveragePooling2D()(net(x, training=False))
    names = BACKBONES[model].earlier[1 - depths :]
    ends = [*(net.get_layer(name).output for name in names), net.output]
    deep = keras.Model(net.input, ends, name=net.name)
    deep.trainable = False
    means = [keras.layers.GlobalAveragePooling2D()(end) for end in deep(x, training=False)]
    return keras.layers.Concatenate()(means)


def is_antialiased(image_shape: tuple[int, ...], size: int, method: int) -> bool:
    """Return whether the images of a base are resized with antialiasing.

    They are where they become smaller, but never by method 1. Without antialiasing, each new pixel
    comes from four old ones, which turns stripes into noise. Images that grow are the same
    either way.
    """
    return method >= 2 and max(image_shape[:2]) > size


def head(parameters: dict, features: int, classes: int) -> keras.Model:
    """Return the head: from stored features, float32 [n, features], to probabilities [n, classes].

    Args:
        parameters: `units` of the dense layer (0 for none) and `dropout`, 0-1.
        features: how many each image has.
        classes: how many there are.
    """
    inputs = keras.Input((features,), name="features")
    x = keras.layers.BatchNormalization(momentum=0.9)(inputs)
    if parameters["units"]:
        x = keras.layers.Dense(parameters["units"], activation="relu")(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="head")


def join(base: keras.Model, head: keras.Model) -> keras.Model:
    """Return base and head as one model, from images of 0-1 to probabilities."""
    return keras.Model(base.input, head(base.output), name=base.name.removesuffix("_features"))


def fine_tuning_model(
    model: str,
    parameters: dict,
    image_shape: tuple[int, int, int],
    classes: int,
    weights: Path | None,
    *,
    method: int,
) -> keras.Model:
    """Return base and head as one model that trains the head and `unfreeze` layers of the base.

    Those are the last layers that have weights and are not batch normalization. Normalization keeps
    its weights and statistics, as the whole base runs in inference mode.
    Source: keras.io/guides/transfer_learning.

    Args:
        model, parameters, image_shape, weights, method: as of `base`; parameters also hold
            `unfreeze` and what `head` needs.
        classes: how many there are.

    Raises:
        Invalid: `unfreeze` is larger than the number of such layers, or the weights are of another
            architecture.
    """
    bottom = base(model, parameters, image_shape, weights, method=method)
    net = join(bottom, head(parameters, bottom.output_shape[-1], classes))
    backbone = next(
        layer for layer in net.layers if isinstance(layer, keras.Model) and layer.name != "head"
    )
    backbone.trainable = True
    layers = list(leaves(backbone))
    candidates = [
        layer
        for layer in layers
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    n = parameters["unfreeze"]
    if n > len(candidates):
        raise Invalid(
            f"models.{model}.unfreeze = {n}: {model} has {len(candidates)} layers that can be"
            f" trained; expected at most {len(candidates)}"
        )
    for layer in layers:
        layer.trainable = any(layer is last for last in candidates[-n:])
    return net


def fixed_variables(net: keras.Model) -> list[keras.Variable]:
    """Return the variables that no step changes: those of the frozen layers of a joined model."""
    variables = []
    for part in net.layers:
        if isinstance(part, keras.Model):
            for layer in leaves(part):
                if not layer.trainable:
                    variables += layer.variables
    return variables


def base_variables(net: keras.Model) -> list[keras.Variable]:
    """Return the variables of the base of a joined model that training changes."""
    bases = [p for p in net.layers if isinstance(p, keras.Model) and p.name != "head"]
    return [variable for base in bases for variable in base.trainable_variables]


def network(model: str, size: int, parameters: dict) -> keras.Model:
    """Return a network of keras.applications, without its top and with random weights.

    Args:
        model: a key of BACKBONES.
        size: of its square images, in pixels.
        parameters: `alpha` of MobileNetV2.
    """
    alpha = {"alpha": parameters["alpha"]} if model == "mobilenetv2" else {}
    return getattr(keras.applications, BACKBONES[model].constructor)(
        input_shape=(size, size, 3), include_top=False, weights=None, **alpha
    )


def preprocess(model: str, x):
    """Return pixels of 0-1 as a network expects them.

    The result is that of its preprocess_input in keras.applications for pixels of 0-255.
    """
    return PIXELS[BACKBONES[model].pixels](x)


def _load(net: keras.Model, path: Path, model: str) -> None:
    try:
        net.load_weights(str(path))
    except (ValueError, OSError, KeyError) as exc:
        raise Invalid(
            f"weights {path.name} do not fit {model}: {str(exc).splitlines()[0]};"
            f" expected a file of keras.applications' {model} without its top"
        ) from exc


def _minus_one_to_one(x):
    return keras.layers.Rescaling(2.0, -1.0)(x)


def _caffe(x):
    """Return BGR minus ImageNet's mean."""
    return _rescale(keras.ops.flip(x, axis=-1), 255.0, [-103.939, -116.779, -123.68])


def _torch(x):
    """Return the pixels minus ImageNet's mean, divided by its standard deviation."""
    mean = (0.485, 0.456, 0.406)
    deviation = (0.229, 0.224, 0.225)
    scale = [1 / d for d in deviation]
    offset = [-m / d for m, d in zip(mean, deviation, strict=True)]
    return _rescale(x, scale, offset)


def _rescale(x, scale: float | list[float], offset: list[float]):
    # Keras takes one offset per channel; its default of 0.0 hides that from the type checker.
    return keras.layers.Rescaling(scale, offset)(x)  # pyright: ignore[reportArgumentType]


def _raw(x):
    """Return pixels of 0-255, as the network's first layers do the rest (include_preprocessing)."""
    return keras.layers.Rescaling(255.0)(x)


PIXELS = {"tf": _minus_one_to_one, "caffe": _caffe, "torch": _torch, "raw": _raw}
