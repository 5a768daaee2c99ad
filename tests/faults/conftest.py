"""The faults of the protocol of tasks, around trainings that need no TensorFlow."""

import pytest


@pytest.fixture
def stub() -> bool:
    """Whether the processes of the site train nets without TensorFlow."""
    return True
