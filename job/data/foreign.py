"""Data of other forms, which is not read: told by the names in it."""

import re
from collections.abc import Iterable

from job.data import names

OURS = "write its images as train/<class>/<image>, or its arrays x_train and y_train into an .npz"
KNOWN = (  # what the names in it look like, what that is, what to do
    (
        r"(^|/)data_batch_1$",
        "CIFAR-10 for Python",
        'set data.source = "cifar10" and give this by --data, as its .tar.gz',
    ),
    (
        r"(^|/)data_batch_1\.bin$",
        "CIFAR-10 in its binary form",
        'set data.source = "cifar10", which takes the one for Python',
    ),
    (r"(^|/)cifar-100-python/|^meta$", "CIFAR-100 for Python", OURS),
    (r"(^|/)cifar-100-binary/|^fine_label_names\.txt$", "CIFAR-100 in its binary form", OURS),
    (r"-idx[13]-ubyte(\.gz)?$", "MNIST's idx files", OURS),
    (r"\.mat$", "MATLAB files", OURS),
    (r"\.tfrecords?(-\d+-of-\d+)?$", "TFRecords", OURS),
    (r"\.(parquet|arrow)$", "a table of Parquet or Arrow", OURS),
    (r"\.(h5|hdf5)$", "HDF5", OURS),
    (r"\.npz$", "an .npz in a folder", "name the .npz itself"),
    (
        r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$",
        "an archive in a folder or in another archive",
        "name the inner archive itself, or unpack it",
    ),
)


def looks_like(found: Iterable[str]) -> str | None:
    """Return what names in a folder or archive look like, of the forms of data that are not read, and what to do."""
    for pattern, what, todo in KNOWN:
        if seen := [name for name in sorted(found) if re.search(pattern, name, re.IGNORECASE)]:
            return f"it looks like {what} ({names.some(seen, 2)}): {todo}"
    return None
