# pyright: strict
"""Random numbers as a function of names: the same names give the same numbers on every worker."""

import hashlib

import numpy as np


def derive(*names: object) -> int:
    """Return a seed from 0 to 2**31 - 1 for (experiment seed, model, stage, index, ...)."""
    text = "/".join(str(n) for n in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def generator(*names: object) -> np.random.Generator:
    """Return a NumPy generator whose seed derives from these names."""
    return np.random.default_rng(derive(*names))
