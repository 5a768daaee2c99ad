"""Train a net with plain Keras or PyTorch; print the images per second, first step included.

Usage: python -m bench.yardsticks.step KIND NET N SIZE BATCH EPOCHS THREADS
KIND is fit, generator, torch or torch-bfloat16. NET is cnn or whitenet.
"""

import math
import sys
import time

from bench.yardsticks.nets import (
    AUGMENT,
    images,
    keras_cnn,
    keras_whitenet,
    torch_cnn,
    torch_whitenet,
)

NETS = {"cnn": (keras_cnn, torch_cnn), "whitenet": (keras_whitenet, torch_whitenet)}


def by_keras(
    kind: str, net_name: str, n: int, size: int, batch: int, epochs: int, threads: int
) -> float:
    """Return the seconds of `fit`.

    Its input is scaled images in memory, or an ImageDataGenerator with full augmentation.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    x, y = images(n, size)
    net = NETS[net_name][0](size)
    optimizer = "adam"
    if net_name == "whitenet":
        optimizer = tf.keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
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


def by_torch(
    kind: str, net_name: str, n: int, size: int, batch: int, epochs: int, threads: int
) -> float:
    """Return the seconds of an eager loop over scaled images in memory, without augmentation."""
    import torch

    torch.set_num_threads(threads)
    pixels, labels = images(n, size)
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype("float32") / 255)
    y = torch.from_numpy(labels)
    net = NETS[net_name][1]().train()
    if net_name == "cnn":
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    else:
        optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True)
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
    kind, net_name = sys.argv[1:3]
    n, size, batch, epochs, threads = map(int, sys.argv[3:])
    train = by_torch if kind.startswith("torch") else by_keras
    seconds = train(kind, net_name, n, size, batch, epochs, threads)
    print(f"images per second: {n * epochs / seconds:.3f}")
