"""What `job prepare` keeps of data, for tests that stage none: they do the tasks by hand."""

from job.experiment.manifest import Prepared

DATA = Prepared(
    id="d",
    source="digits",
    classes=["a", "b"],
    image_shape=(8, 8, 3),
    train=100,
    validation=20,
    test=40,
    train_counts=[50, 50],
    test_counts=[20, 20],
    duplicates={"train": 0, "train_test": 0},
    files={},
)
STAGED = {"data": DATA, "weights": {}, "splits": {}}
