"""Recognize unsupported forms of data by the names of their files."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from job.data import names


class Form(NamedTuple):
    """A form of data that is not read."""

    pattern: str  # matches a file's name, in any case
    what: str
    advice: str


CONVERT = (
    "write its images as train/<class>/<image>, or its arrays x_train and y_train into an .npz"
)
USE_PYTHON = 'set data.source = "cifar10" and give this by --data, as its .tar.gz'
USE_NOT_BINARY = 'set data.source = "cifar10", which reads the Python version'
UNPACK = "name the inner archive itself, or unpack it"
FORMS = (
    Form(r"(^|/)data_batch_1$", "CIFAR-10 for Python", USE_PYTHON),
    Form(r"(^|/)data_batch_1\.bin$", "CIFAR-10 in its binary form", USE_NOT_BINARY),
    Form(r"(^|/)cifar-100-python/|^meta$", "CIFAR-100 for Python", CONVERT),
    Form(
        r"(^|/)cifar-100-binary/|^fine_label_names\.txt$",
        "CIFAR-100 in its binary form",
        CONVERT,
    ),
    Form(r"-idx[13]-ubyte(\.gz)?$", "MNIST's idx files", CONVERT),
    Form(r"\.mat$", "MATLAB files", CONVERT),
    Form(r"\.tfrecords?(-\d+-of-\d+)?$", "TFRecords", CONVERT),
    Form(r"\.(parquet|arrow)$", "a Parquet or Arrow table", CONVERT),
    Form(r"\.(h5|hdf5)$", "HDF5", CONVERT),
    Form(r"\.npz$", "an .npz in a folder", "name the .npz itself"),
    Form(
        r"\.(zip|tar|tgz|tar\.(gz|bz2|xz))$",
        "an archive in a folder or in another archive",
        UNPACK,
    ),
)


def looks_like(files: Iterable[str]) -> str | None:
    """Return which unsupported form of data these files look like, and what to do about it.

    Args:
        files: the names of the files in a folder or an archive.

    Returns:
        A clause for an error; None if no known form fits.
    """
    for form in FORMS:
        matches = [name for name in files if re.search(form.pattern, name, re.IGNORECASE)]
        if matches:
            return f"it looks like {form.what} ({names.list_some(matches, 2)}): {form.advice}"
    return None
