"""A checkpoint is whole or known to be damaged."""

import numpy as np
import pytest

from job import checkpoint


def test_there_and_back():
    """Arrays come back in order with dtype and shape, the state with them."""
    arrays = [np.arange(3, dtype=np.float32), np.zeros((2, 0), np.int64), np.array(7, np.uint32)]
    again, state = checkpoint.unpack(checkpoint.pack(arrays, {"step": 5}))
    assert state == {"step": 5}
    assert [(a.dtype, a.shape, a.tolist()) for a in again] == [(a.dtype, a.shape, a.tolist()) for a in arrays]


def test_damage_is_noticed():
    """Truncated anywhere, or with one bit turned, it is refused."""
    bundle = checkpoint.pack([np.arange(10)], {})
    for cut in (0, 10, 65, 200, len(bundle) - 1):
        with pytest.raises(checkpoint.Damaged):
            checkpoint.unpack(bundle[:cut])
    for place in (3, 100, len(bundle) - 5):
        turned = bytearray(bundle)
        turned[place] ^= 1
        with pytest.raises(checkpoint.Damaged):
            checkpoint.unpack(bytes(turned))
