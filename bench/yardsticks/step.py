"""Train the cnn with plain Keras or PyTorch; print the images per second, first step included.

Usage: python -m bench.yardsticks.step KIND N SIZE BATCH EPOCHS THREADS
KIND is fit, generator, torch or torch-bfloat16.
"""

import math
import sys
import time

from bench.yardsticks.nets import AUGMENT, images, keras_cnn, torch_cnn


def by_keras(kind: str, n: int, size: int, batch: int, epochs: int, threads: int) -> float:
    """Return the seconds of `fit`.

    Its input is scaled images in memory, or an ImageDataGenerator with full augmentation.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    x, y = images(n, size)
    net = keras_cnn(size)
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    if kind == "fit":
        x = x.astype("float32") / 255
        started = time.monotonic()
        net.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
    else:
        generator = tf.keras.preprocessing.image.ImageDataGenerator(
            rescale=1 / 255,
            width_shift_range=AUGMENT["shift"],
            height_shift_range=AUGMENT["shift"],
            horizontal_flip=True,
            rotation_range=AUGMENT["rotation"],
            zoom_range=AUGMENT["zoom"],
            shear_range=math.degrees(AUGMENT["shear"]),
            fill_mode="reflect",
        )
        started = time.monotonic()
        net.fit(generator.flow(x, y, batch_size=batch), epochs=epochs, verbose=0)
    return time.monotonic() - started


def by_torch(kind: str, n: int, size: int, batch: int, epochs: int, threads: int) -> float:
    """Return the seconds of an eager loop over scaled images in memory, without augmentation."""
    import torch

    torch.set_num_threads(threads)
    pixels, labels = images(n, size)
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype("float32") / 255)
    y = torch.from_numpy(labels)
    net = torch_cnn().train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    loss_of = torch.nn.CrossEntropyLoss()
    started = time.monotonic()
    for _ in range(epochs):
        total = 0.0
        order = torch.randperm(n)
        for rows in order.split(batch):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=kind == "torch-bfloat16"):
                loss = loss_of(net(x[rows]).float(), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item()
    return time.monotonic() - started


if __name__ == "__main__":
    kind = sys.argv[1]
    n, size, batch, epochs, threads = map(int, sys.argv[2:])
    train = by_torch if kind.startswith("torch") else by_keras
    seconds = train(kind, n, size, batch, epochs, threads)
    print(f"images per second: {n * epochs / seconds:.3f}")
