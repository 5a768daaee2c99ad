"""A tiny CIFAR-10 as its archive has it, pickled by Python 2 or by Python 3."""

import pickle
import struct

import numpy as np

from job.data.formats import cifar10


def python2_string(data):
    """Return a string pickled as Python 2 did."""
    if len(data) < 256:
        return b"U" + bytes([len(data)]) + data
    return b"T" + struct.pack("<i", len(data)) + data


def python2_batch(data, labels):
    """Return a batch as Python 2 and its NumPy pickled it: byte strings, protocol 2."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01"
    array += b"M" + struct.pack("<H", len(data)) + b"M" + struct.pack("<H", 3072) + b"\x86"
    array += b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN"
    array += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    array += python2_string(data.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = python2_string(b"data") + array + python2_string(b"labels") + numbers
    return b"\x80\x02}(" + items + b"u."


def python3_batch(data, labels):
    """Return a batch pickled as Python 3 does."""
    return pickle.dumps({b"data": data, b"labels": list(labels)}, protocol=2)


def cifar_files(batch=python3_batch):
    """Return a tiny CIFAR-10: members, images [60, 3, 32, 32] and labels.

    Fifty images are in the five training batches, ten in the test batch.
    """
    images = np.random.default_rng(0).integers(0, 256, (60, 3072), np.uint8)
    labels = [i % 10 for i in range(60)]
    meta = {b"label_names": [f"class{i}".encode() for i in range(10)], b"num_vis": 3072}
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps(meta, protocol=2)}
    for i, name in enumerate([*cifar10.TRAIN, "test_batch"]):
        rows = slice(i * 10, i * 10 + 10)
        files[f"cifar-10-batches-py/{name}"] = batch(images[rows], labels[rows])
    files["cifar-10-batches-py/readme.html"] = b"<p>"
    return files, images.reshape(-1, 3, 32, 32), labels
