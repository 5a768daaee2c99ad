"""Random numbers as a function of names: the same names, the same numbers, on every worker."""

import hashlib

import numpy as np


def derive(*names) -> int:
    """Return a seed from 0 to 2**31 - 1 for (experiment seed, model, stage, index, ...)."""
    text = "/".join(str(n) for n in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generator(*names) -> np.random.Generator:
    """Return a NumPy generator for these names."""
    return np.random.default_rng(derive(*names))
