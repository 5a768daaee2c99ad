"""A custom model: a small residual net with a custom layer."""

import keras


def build(parameters: dict, input_shape: tuple, classes: int) -> keras.Model:
    """Return a net from images, float32 [n, h, w, c] in 0-1, to probabilities [n, classes].

    `parameters` holds what the experiment file sets for this model and what the trial chose. These
    are learning_rate, batch_size, epochs and the others that every model has, and those of this
    model, here `depth` and `filters`.
    """
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(parameters["filters"], 3, strides=2, padding="same")(inputs)
    for _ in range(parameters["depth"]):
        y = keras.layers.BatchNormalization(momentum=0.9)(x)
        y = keras.layers.Conv2D(parameters["filters"], 3, padding="same", activation="relu")(y)
        x = keras.layers.Add()([x, Scale()(y)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(parameters["dropout"])(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))


@keras.saving.register_keras_serializable("residual")  # so that the saved model can be loaded
class Scale(keras.layers.Layer):
    """Multiply each channel by a learned number that starts at 0.1."""

    def build(self, shape):
        """Create the numbers as weights: only weights are saved in every checkpoint."""
        initial = keras.initializers.Constant(0.1)
        self.scale = self.add_weight(shape=(shape[-1],), initializer=initial)

    def call(self, x):
        """Return the channels, scaled."""
        return x * self.scale
