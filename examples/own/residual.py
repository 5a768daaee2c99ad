"""A model of one's own: a small residual net, with a layer of one's own in it."""

import keras


def build(parameters: dict, input_shape: tuple, classes: int) -> keras.Model:
    """Return the net: images of 0-1, float32 [n, h, w, c], to probabilities [n, classes].

    `parameters` holds what the experiment's file says of this model and what the trial chose: learning_rate, batch_size, epochs and
    the others that every model has, and its own, here `depth` and `filters`.
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
    """Multiply each channel by a learnt number that begins at 0.1."""

    def build(self, shape):
        """Add the numbers. What a layer remembers must be a weight: it is in every checkpoint then."""
        self.scale = self.add_weight(
            shape=(shape[-1],), initializer=keras.initializers.Constant(0.1)
        )

    def call(self, x):
        """Return the channels, scaled."""
        return x * self.scale
