"""Decode photos, and classify them, as one would by Pillow and Keras alone.

python -m bench.yardsticks.photos make FOLDER N CLASSES: write photos of 400 x 300 as JPEG
python -m bench.yardsticks.photos decode FOLDER FILE SIZE: decode on all cores, write the pixels
python -m bench.yardsticks.photos model FILE SIZE CLASSES: write a MobileNetV2 with random weights
python -m bench.yardsticks.photos predict FILE FOLDER SIZE: decode a batch, predict it, and so on
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

BATCH = 32
BAND = (20, 26)  # the noise that is enlarged, so that a photo has edges of every size


def make(folder: str, n: str, classes: str) -> None:
    """Write n photos in class folders, the same each time."""
    for label in range(int(classes)):
        Path(folder, str(label)).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(_photo, folder, int(classes)), range(int(n)), chunksize=50))


def _photo(folder: str, classes: int, i: int) -> None:
    rng = np.random.default_rng(i)
    coarse = Image.fromarray(rng.integers(0, 256, (*BAND, 3), np.uint8))
    smooth = np.asarray(coarse.resize((400, 300), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 8, smooth.shape)
    image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    image.save(Path(folder, str(i % classes), f"{i}.jpg"), quality=88)


def _pixels(size: int, path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def decode(folder: str, target: str, size: str) -> None:
    """Decode all photos on all cores, and write their pixels."""
    paths = sorted(Path(folder).rglob("*.jpg"))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool, open(target, "wb") as file:
        for start in range(0, len(paths), BATCH):
            file.writelines(
                pixels.data
                for pixels in pool.map(partial(_pixels, int(size)), paths[start : start + BATCH])
            )


def model(target: str, size: str, classes: str) -> None:
    """Write an end-to-end model, as `job export` does."""
    import keras

    side = int(size)
    inputs = keras.Input((side, side, 3), dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    base = keras.applications.MobileNetV2((side, side, 3), include_top=False, weights=None)
    mean = keras.layers.GlobalAveragePooling2D()(base(scaled))
    outputs = keras.layers.Dense(int(classes), activation="softmax")(mean)
    keras.Model(inputs, {"probabilities": outputs}).save(target)


def predict(source: str, folder: str, size: str) -> None:
    """Load the model, and classify all photos batch by batch."""
    import keras

    net = keras.saving.load_model(source)
    paths = sorted(Path(folder).rglob("*.jpg"))
    for start in range(0, len(paths), BATCH):
        batch = np.stack([_pixels(int(size), path) for path in paths[start : start + BATCH]])
        net.predict_on_batch(batch)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
