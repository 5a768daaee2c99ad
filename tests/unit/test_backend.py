"""TensorFlow's import without what a task has no use for."""

import subprocess
import sys

import pytest

from job.lean import SPARE, lean

CODE = """
import sys
from job.lean import SPARE, lean
with lean():
    from job import runs
print(sorted(name for name in SPARE if name in sys.modules))
import matplotlib.pyplot, sklearn.metrics
print(sorted(name for name in SPARE if name in sys.modules))
"""


def test_a_task_imports_neither_package():
    """A task's import brings TensorFlow and none of the spared packages; after it they are found, as an own model may want."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["[]", str(list(SPARE))], done.stderr


def test_after_the_block_everything_is_as_it_was():
    """What was imported before stays, also when the import within fails."""
    before = {name: sys.modules.get(name) for name in SPARE}
    sys.modules[SPARE[0]] = imported = object()
    try:
        with pytest.raises(ImportError), lean():
            assert sys.modules[SPARE[0]] is imported
            raise ImportError
        assert sys.modules[SPARE[0]] is imported
        assert (SPARE[1] in sys.modules) == (before[SPARE[1]] is not None)
    finally:
        del sys.modules[SPARE[0]]
        sys.modules.update({name: module for name, module in before.items() if module})
