"""This processor: its name, its features, and whose kernels TensorFlow is to use on it."""

import platform
from functools import cache
from pathlib import Path

# TensorFlow 2.21 uses oneDNN's kernels by itself on an x86 processor with one of these features
# (source: DefaultOneDnnPolicy in tensorflow/core/util/port.cc). It leaves them off on others, where
# they are faster too: docs/measured/speed.md.
HAS_ONEDNN = {"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"}


def cpu_model() -> str:
    """Return the processor's name: only the same one reproduces a CPU result bit for bit."""
    for line in _description():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Return the feature flags of this processor, empty where /proc/cpuinfo has none."""
    for line in _description():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def adds_onednn() -> bool:
    """Return whether we turn oneDNN on where TensorFlow would not: on x86 without its features."""
    return platform.machine() == "x86_64" and not HAS_ONEDNN & cpu_flags()


@cache
def _description() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
