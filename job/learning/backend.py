"""Keras and TensorFlow, imported only here: `from job.learning.backend import keras, tf`.

The first import of Keras fixes its backend, data format and floatx. The experiment decides them,
so ~/.keras/keras.json and the KERAS_ variables must not: a file written for other work would fail
every task or change its numbers. KERAS_HOME still names the folder of Keras' downloads. The first
import of TensorFlow fixes whose kernels it uses.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from job.learning.processor import adds_onednn

# Keras and TensorFlow import these where they are installed, for galleries, wrappers and sparse
# input. The first two cost a fifth of the import time and 85 MB, SciPy a 25th and 10 MB.
UNNEEDED = ("matplotlib", "sklearn", "scipy")
# Below a device, no keras.json is read or created.
SETTINGS = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull}
if adds_onednn():
    SETTINGS["TF_ENABLE_ONEDNN_OPTS"] = "1"
IGNORED = (
    "TF_ENABLE_ONEDNN_OPTS",
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS",
)


@contextmanager
def hide(packages: tuple[str, ...]) -> Iterator[None]:
    """Let imports within the block fail for these packages, except those imported before.

    After the block all of them can be imported again.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        # None blocks an import (language reference 5.3.1); the stubs leave it out.
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def override_configuration() -> Iterator[None]:
    """Give Keras our settings within the block; restore the user's KERAS_HOME after it."""
    home = os.environ.get("KERAS_HOME")
    for name in IGNORED:
        os.environ.pop(name, None)
    os.environ.update(SETTINGS)
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]
        if home is not None:
            os.environ["KERAS_HOME"] = home


def _keras_home() -> str:
    """Return the folder of Keras' downloads as keras/src/backend/config.py determines it."""
    home = os.path.expanduser("~")
    parent = home if os.access(home, os.W_OK) else "/tmp"
    return os.environ.get("KERAS_HOME") or os.path.join(parent, ".keras")


with hide(UNNEEDED), override_configuration():
    import keras
    import tensorflow as tf
    from keras.src.backend import config
    from keras.src.random import seed_generator
    from keras.src.utils import rng_utils

# After its import Keras offers no other way to set the folder.
config._KERAS_DIR = _keras_home()


class _Seeds(random.Random):
    """The generator of Keras: that of Python, which it would use, is shared with all threads.

    A thread that draws while a net is built, as libraries do before they retry, would change the
    seeds of the layers. `keras.utils.set_random_seed` seeds both.
    """

    def seed(self, a: Any = None, version: int = 2) -> None:
        super().seed(a, version)
        random.seed(a, version)


seed_generator.python_random = rng_utils.random = _Seeds()

__all__ = ["keras", "tf"]
