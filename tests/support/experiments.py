"""Small experiments that tests share, as files, and the images of two of them."""

import numpy as np

TINY = """
name = "tiny"
seed = 3
threads = 1
[data]
source = "images.npz"
[search]
trials = 2
pruner = "none"
[folds]
count = 2
[parameters]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = [16, 32]
[models.cnn]
epochs = 12
blocks = 1
width = 4
units = 8
augment = { shift = 0.1, flip = true, rotation = 10, zoom = 0.1, shear = 0.1 }
[models.mobilenetv2]
epochs = 3
input_size = 32
alpha = 0.35
views = "mirror"
"""

SMALL = """
name = "small"
threads = 1
[data]
source = "digits"
[search]
trials = 1
[models.cnn]
epochs = 1
width = 2
blocks = 1
batch_size = 256
learning_rate = 0.01
"""

# For a trial of LONG, with nine steps per epoch: long enough to be ended six times.
EPOCHS = 75
REPEATS = 3

LONG = f"""
name = "long"
seed = 3
threads = 1
[data]
source = "images.npz"
[search]
trials = 3
sampler = "random"
repeats = {REPEATS}
[folds]
count = 2
[parameters]
learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
batch_size = 8
[models.cnn]
epochs = {EPOCHS // REPEATS}
blocks = 1
width = 4
units = 8
augment = {{ shift = 0.1, flip = true, rotation = 10, zoom = 0.1, shear = 0.1 }}
"""

TRIAL = ("trial", "--model", "cnn", "--index")


def write_images(path, n=90, n_test=30):
    """Write noisy images of horizontal, vertical and no stripes.

    Test image 0 and training image 3 are copies of training image 0.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(n + n_test) % 3
    images = rng.integers(0, 120, (n + n_test, 32, 32, 3), dtype=np.uint8)
    images[labels == 0, ::4] += 120
    images[labels == 1, :, ::4] += 120
    images[n] = images[0]
    labels[n] = labels[0]
    images[3] = images[0]
    np.savez(
        path,
        x_train=images[:n],
        y_train=labels[:n],
        x_test=images[n:],
        y_test=labels[n:],
        classes=np.array(["rows", "columns", "none"]),
    )


THREE_TRIALS = """
name = "small"
[data]
source = "digits"
[search]
trials = 3
[models.cnn]
epochs = 2
"""


def write_experiment(tmp_path, text):
    """Write an experiment file and return its path."""
    path = tmp_path / "e.toml"
    path.write_text(text)
    return path
