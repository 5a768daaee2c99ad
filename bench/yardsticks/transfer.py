"""Run a frozen base of keras.applications in every epoch, or once by `predict`.

Usage: python -m bench.yardsticks.transfer KIND MODEL SIZE N BATCH EPOCHS THREADS
KIND is fit (a fifth of the images is for validation) or predict.
Or: python -m bench.yardsticks.transfer weights FOLDER, which writes weight files for both bases.
The weights are random, which does not change the speed.
"""

import sys
import time
from pathlib import Path

import keras
import tensorflow as tf

from bench.yardsticks.nets import images

NETS = {"vgg16": keras.applications.VGG16, "mobilenetv2": keras.applications.MobileNetV2}
PREPROCESS = {
    "vgg16": keras.applications.vgg16.preprocess_input,
    "mobilenetv2": keras.applications.mobilenet_v2.preprocess_input,
}
FILES = {"vgg16": "vgg16_no_top.weights.h5", "mobilenetv2": "mobilenetv2_1.0_224_no_top.weights.h5"}


def base(model: str, size: int) -> keras.Model:
    """Return the frozen base with its preprocessing, from images of 0-255 to features."""
    inputs = keras.Input((32, 32, 3))
    x = inputs
    if size != 32:
        x = keras.layers.Resizing(size, size)(x)
    net = NETS[model](include_top=False, weights=None, input_shape=(size, size, 3))
    net.trainable = False
    maps = net(PREPROCESS[model](x), training=False)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))


def fit(model: str, size: int, n: int, batch: int, epochs: int) -> str:
    """Train a head on the base; return the seconds per epoch, validation and tracing included."""
    x, y = images(n, 32)
    bottom = base(model, size)
    bottom.trainable = False
    net = keras.Sequential(
        [
            bottom,
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    started = time.monotonic()
    net.fit(
        x.astype("float32"), y, batch_size=batch, epochs=epochs, validation_split=0.2, verbose=0
    )
    return f"seconds per epoch: {(time.monotonic() - started) / epochs:.3f}"


def predict(model: str, size: int, n: int, batch: int, epochs: int) -> str:
    """Return the images per second of one `predict`, with our batch size and with its tracing."""
    from job.learning.train import PREDICT_BATCH

    pixels, _ = images(n, 32)
    bottom = base(model, size)
    x = pixels.astype("float32")
    started = time.monotonic()
    bottom.predict(x, batch_size=PREDICT_BATCH, verbose=0)
    return f"images per second: {n / (time.monotonic() - started):.3f}"


if __name__ == "__main__":
    if sys.argv[1] == "weights":
        for name, file in FILES.items():
            net = NETS[name](include_top=False, weights=None, input_shape=(32, 32, 3))
            net.save_weights(Path(sys.argv[2]) / file)
    else:
        kind, model, *numbers = sys.argv[1:]
        *sizes, threads = map(int, numbers)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        print({"fit": fit, "predict": predict}[kind](model, *sizes))
