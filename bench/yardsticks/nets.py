"""The built-in nets in plain Keras and PyTorch, and the images of all contenders."""

import numpy as np

AUGMENT = {"shift": 0.1, "flip": True, "rotation": 15.0, "zoom": 0.1, "shear": 0.1}


def images(n: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of a benchmark: uint8 [n, size, size, 3] and int64 [n].

    The pixels are random: the time of a step does not depend on them.
    """
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, size, size, 3), np.uint8), np.arange(n) % 10


def keras_cnn(size: int):
    """Return the net of `job.learning.models.cnn`: blocks 3, width 32, units 128, dropout 0.3."""
    import keras
    from keras import layers

    def convolution(filters: int):
        return layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
        )

    inputs = keras.Input((size, size, 3))
    x = inputs
    for filters in (32, 64, 128):
        x = convolution(filters)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = convolution(filters)(x)
        x = layers.MaxPooling2D()(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dense(128, activation="relu")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Dropout(0.3)(x)))


def keras_whitenet(size: int):
    """Return the net of `job.learning.models.whitenet`: blocks 3, width 48; not whitened yet."""
    import keras
    from keras import layers

    def convolution(filters: int):
        return layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
        )

    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(24, 2, use_bias=False, trainable=False)(inputs)
    for filters in (48, 96, 192):
        x = layers.MaxPooling2D()(convolution(filters)(x))
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        y = layers.BatchNormalization(momentum=0.9)(convolution(filters)(x))
        x = layers.Add()([x, layers.ReLU()(y)])
    x = layers.Rescaling(1 / 3)(layers.GlobalMaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def torch_whitenet():
    """Return the same net in PyTorch, with logits."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels: int, filters: int):
            super().__init__()
            self.first = nn.Sequential(
                nn.Conv2d(channels, filters, 3, padding=1, bias=False),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
            )
            self.second = nn.Sequential(
                nn.Conv2d(filters, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(),
            )

        def forward(self, x):
            x = self.first(x)
            return x + self.second(x)

    class Scaled(nn.Module):
        def forward(self, x):
            return x / 3

    whitening = nn.Conv2d(3, 24, 2, bias=False).requires_grad_(False)
    return nn.Sequential(
        whitening,
        Block(24, 48),
        Block(48, 96),
        Block(96, 192),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        Scaled(),
        nn.Linear(192, 10),
    )


def torch_cnn():
    """Return the same net in PyTorch, with logits."""
    from torch import nn

    parts = []
    channels = 3
    for filters in (32, 64, 128):
        parts += [
            nn.Conv2d(channels, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
        ]
        channels = filters
    return nn.Sequential(
        *parts,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, 10),
    )
