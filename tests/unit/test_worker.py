"""What a worker does around its task."""

import gc

import pytest

from job.worker import _uncollected


def test_the_collector_rests_during_an_import_only():
    """It collects again after the import, also after one that failed; what was imported it never looks at again."""
    try:
        with pytest.raises(ImportError), _uncollected():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() and gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
