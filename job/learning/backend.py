"""Keras and TensorFlow, imported here alone: `from job.learning.backend import keras, tf`.

The first import of Keras fixes its backend, data format and floatx. They are the experiment's business, so neither
~/.keras/keras.json nor a KERAS_ variable decides them: a file written for other work would fail every task, or
change its numbers. KERAS_HOME keeps its meaning as the folder of what Keras downloads.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Keras imports them where they are installed, for galleries and wrappers: a fifth of its import, and 85 MB.
SPARE = ("matplotlib", "sklearn")
DECIDED = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,
}  # below a device no keras.json is read or made
UNWANTED = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS",
)


@contextmanager
def without(names: tuple[str, ...]) -> Iterator[None]:
    """Let no import within the block find these packages; what is imported already stays, and after it all are found."""
    spared = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(spared))
    try:
        yield
    finally:
        for name in spared:
            del sys.modules[name]


@contextmanager
def undecided_by_the_user() -> Iterator[None]:
    """Within the block, Keras finds our configuration; after it, the user's KERAS_HOME is what it was."""
    home = os.environ.get("KERAS_HOME")
    for name in UNWANTED:
        os.environ.pop(name, None)
    os.environ.update(DECIDED)
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]
        if home is not None:
            os.environ["KERAS_HOME"] = home


def _home() -> str:
    """Return the folder of Keras' downloads, as Keras itself finds it (keras/src/backend/config.py)."""
    home = os.path.expanduser("~")
    return os.environ.get("KERAS_HOME") or os.path.join(
        home if os.access(home, os.W_OK) else "/tmp", ".keras"
    )


with without(SPARE), undecided_by_the_user():
    import keras
    import tensorflow as tf
    from keras.src.backend import config

config._KERAS_DIR = _home()  # Keras has no other way to set it than before its import

__all__ = ["keras", "tf"]
