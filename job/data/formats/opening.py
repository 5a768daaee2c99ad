"""Find out which format a file or a folder is of, by its names, and open it."""

from pathlib import Path, PurePosixPath

from job.data import names
from job.data.formats import cifar, idx, layout, npz, parquet, tfrecords, tree, webdataset
from job.data.formats.arrays import Arrays
from job.data.formats.plan import Plan
from job.data.formats.tree import Tree
from job.data.options import Options
from job.data.workspace import Workspace
from job.errors import Invalid

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")


def is_known(name: str) -> bool:
    """Tell whether a file is called as one that can be opened."""
    is_archive = name.lower().endswith((".npz", *ARCHIVES))
    return is_archive or parquet.is_of(name) or tfrecords.is_of(name)


def open_data(path: Path, options: Options, work: Workspace) -> Plan | Arrays:
    """Return the arrays of a data set, or the plan of its image files.

    Args:
        path: a folder, or a file that `is_known`.
        options: of the experiment.
        work: for downloads and large arrays.

    Raises:
        Invalid: damaged, unsafe or of an unsupported format.
    """
    groups = options.groups
    labels = options.labels
    if path.name.lower().endswith(".npz") and not path.is_dir():
        _refuse(options, "an .npz", "labels", "nested")
        return npz.read(path, groups, work)
    if not path.is_dir() and parquet.is_of(path.name):
        _refuse(options, "a Parquet file", "nested")
        return parquet.read(path, None, labels, groups)
    if not path.is_dir() and not path.name.lower().endswith(ARCHIVES):
        _refuse(options, "a TFRecords file", "nested")
        return tfrecords.read(path, None, labels, groups)
    listing = tree.read(path, groups)
    return _open_listed(listing, options, work)


def _open_listed(listing: Tree, options: Options, work: Workspace) -> Plan | Arrays:
    path = listing.path
    labels = options.labels
    files = [*listing.files.values()]
    has_images = () in listing.depths
    if path.is_dir():
        if of := [name for name in files if parquet.is_of(name)]:
            _refuse_images(listing, of[0])
            _refuse(options, "a folder of Parquet files", "nested")
            return parquet.read(path, of, labels, options.groups)
        if of := [name for name in files if tfrecords.is_of(name)]:
            _refuse_images(listing, of[0])
            _refuse(options, "a folder of TFRecords", "nested")
            return tfrecords.read(path, of, labels, options.groups)
        of = [name for name in files if webdataset.is_shard(name)]
        if of and not has_images:  # else they are perhaps what the class folders were unpacked from
            _refuse(options, "a folder of tars", "groups", "nested")
            return webdataset.read(path, of, labels)
    if any(map(idx.is_of, files)):
        _refuse_images(listing, next(filter(idx.is_of, files)))
        _refuse(options, "a set of IDX files", "groups", "labels", "nested")
        return idx.read(listing, work)
    if not has_images and (form := cifar.form_of(listing)):
        _refuse(options, form.title, "groups", "nested")
        return cifar.read(listing, form, labels)
    if has_images and not path.is_dir() and _is_webdataset(listing, labels):
        _refuse(options, "a WebDataset", "groups", "nested")
        return webdataset.read(path, None, labels)
    return layout.plan(listing, labels, work.folder, options.join)


def _refuse_images(listing: Tree, record: str) -> None:
    """Raise Invalid if there are image files beside a file of records or arrays."""
    images = listing.images(())
    if images:
        raise Invalid(
            f"{listing.path} has {names.quote(record)} and {len(images)} image files, such as"
            f" {names.quote(listing.files[images[0]])}: name the folder or the file that is the"
            " data, or move the others out of it"
        )


def _is_webdataset(listing: Tree, labels: str | None) -> bool:
    if webdataset.has_samples(listing):
        return True
    is_table = labels is None or PurePosixPath(labels).suffix or "/" in labels
    return not is_table and webdataset.has_described_samples(listing)


def _refuse(options: Options, what: str, *keys: str) -> None:
    """Raise Invalid for the first of these keys of [data] that is set: this format has none."""
    for key in keys:
        value = {"groups": options.groups, "labels": options.labels}.get(key)
        if key == "nested" and options.join:
            value = "join"
        if value is not None:
            raise Invalid(
                f"data.{key} = {names.quote(value)}: {what} has none that can be read; remove the"
                " key"
            )
