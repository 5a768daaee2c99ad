"""Importing Keras and TensorFlow: without unneeded packages, whatever the user has set."""

import json
import os
import platform
import subprocess
import sys

import pytest

from job.learning import processor, provenance
from job.learning.backend import UNNEEDED, hide

pytestmark = pytest.mark.slow
IMPORTED = """
import sys
from job.work import stages
from job.learning.backend import UNNEEDED
print([name for name in UNNEEDED if name in sys.modules])
import matplotlib.pyplot, scipy.sparse, sklearn.metrics
print([name for name in UNNEEDED if name in sys.modules])
"""
CONFIGURED = """
import os
from job.learning.backend import keras
from keras.src.backend.config import keras_home
made = keras.layers.Dense(1)
made.build((None, 2))
config = keras.config
print(keras.backend.backend(), config.image_data_format(), made.kernel.dtype, config.epsilon())
print(keras_home(), os.environ.get("KERAS_HOME"))
"""

KERNELS = """
from job.learning.backend import tf
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""


def run_code(code: str, **environ) -> list[str]:
    """Return the lines that a separate process prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=os.environ | environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_task_imports_no_unneeded_package():
    """A task imports TensorFlow but no unneeded package; a custom model may import them later."""
    assert run_code(IMPORTED) == ["[]", str(list(UNNEEDED))]


OTHER_WORK = {
    "backend": "jax",
    "image_data_format": "channels_first",
    "floatx": "float16",
    "epsilon": 0.5,
}


@pytest.mark.parametrize(
    "configuration", [OTHER_WORK, {"floatx": "of my own"}], ids=["of other work", "invalid"]
)
def test_a_users_configuration_is_ignored(tmp_path, configuration):
    """Neither keras.json nor variables choose a backend, format or number.

    The download folder stays the user's.
    """
    (tmp_path / "keras.json").write_text(json.dumps(configuration))
    home = str(tmp_path)
    lines = run_code(CONFIGURED, KERAS_HOME=home, KERAS_BACKEND="torch", KERAS_MAX_EPOCHS="none")
    assert lines == ["tensorflow channels_last float32 1e-07", f"{tmp_path} {tmp_path}"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere TensorFlow decides")
def test_onednn_is_on_whatever_the_shell_says():
    """TensorFlow computes with oneDNN on every x86 processor, and the shell cannot change bits."""
    assert run_code(KERNELS, TF_ENABLE_ONEDNN_OPTS="0") == ["True"]


@pytest.mark.parametrize(("flags", "build"), [({"avx2"}, " with oneDNN"), ({"avx_vnni"}, "")])
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_a_machine_says_where_onednn_was_added(monkeypatch, flags, build, architecture):
    """Where TensorFlow turns oneDNN on by itself, results of the first versions have our bits."""
    monkeypatch.setattr(processor, "cpu_flags", lambda: flags)
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    expected = provenance.versions()["tensorflow"] + (build if architecture == "x86_64" else "")
    assert provenance.machine.__wrapped__()["tensorflow"] == expected


def test_nothing_is_written_into_a_home(tmp_path):
    """Without KERAS_HOME, Keras' folder is in the home, and importing creates no file there."""
    environ = {"HOME": str(tmp_path), "KERAS_HOME": ""}
    assert run_code(CONFIGURED, **environ)[1] == f"{tmp_path}/.keras "
    assert list(tmp_path.iterdir()) == []


def test_after_the_block_everything_is_as_it_was():
    """Packages imported before the block stay imported, even when an import inside it fails."""
    before = {name: sys.modules.get(name) for name in UNNEEDED}
    sys.modules[UNNEEDED[0]] = imported = object()
    try:
        with pytest.raises(ImportError), hide(UNNEEDED):
            assert sys.modules[UNNEEDED[0]] is imported
            raise ImportError
        assert sys.modules[UNNEEDED[0]] is imported
        assert (UNNEEDED[1] in sys.modules) == (before[UNNEEDED[1]] is not None)
    finally:
        del sys.modules[UNNEEDED[0]]
        sys.modules.update({name: module for name, module in before.items() if module})
