"""Imported last, this spares a process what it has imported and will read again.

Python's garbage collection leaves out what exists now. TensorFlow alone is a million objects: a
full collection of them takes 0.2 s, and in a forked child it copies their pages. The files that
botocore parses for each client are parsed once; they are three quarters of what a client takes.
"""

import functools
import gc

import boto3
from botocore.loaders import JSONFileLoader

load_file = functools.cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: load_file(path)
boto3.Session("key", "secret", region_name="us-east-1").client("s3")
gc.collect()
gc.freeze()
