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
WHOLE = "give the archive, or the folder, with all its files"
UNPACK = "name the inner archive itself, or unpack it"
FORMS = (
    Form(r"(^|/)data_batch_[1-5](\.bin)?$", "CIFAR-10, of which files are missing", WHOLE),
    Form(r"(^|/)cifar-100-", "CIFAR-100", "name it in data.source, with all its files"),
    Form(r"\.mat$", "MATLAB files", CONVERT),
    Form(r"\.arrow$", "Arrow files", "save them as Parquet, or name a folder of images"),
    Form(r"\.(parquet|tfrecords?)$", "tables in an archive", "unpack them, and name their folder"),
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
